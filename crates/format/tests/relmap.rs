//! pg_filenode.map of real clusters.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::Path;

use pgfsck_format::relmap::{RelMap, expected, known_name};
use pgfsck_format::{ByteOrder, Major, Oid};

fn decode(name: &str, order: ByteOrder) -> RelMap {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data/control");
    let bytes = std::fs::read(dir.join(name)).expect(name);
    assert_eq!(RelMap::order_of(&bytes), Some(order));
    RelMap::decode(&bytes, order).unwrap()
}

#[test]
fn real_maps_are_sound_and_list_what_is_expected() {
    for (name, order, major, shared) in [
        ("pg96.global.map", ByteOrder::Little, Major::V9_6, true),
        ("s390x_pg15.global.map", ByteOrder::Big, Major::V15, true),
        ("s390x_pg15.database.map", ByteOrder::Big, Major::V15, false),
        ("x86_pg19.global.map", ByteOrder::Little, Major::V19, true),
        (
            "x86_pg19.database.map",
            ByteOrder::Little,
            Major::V19,
            false,
        ),
    ] {
        let map = decode(name, order);
        assert!(map.is_sound(), "{name}");
        assert_eq!(map.layout.file_bytes(), major.row().relmap_bytes);
        assert_eq!(map.stray, None, "{name}");
        assert_eq!(
            map.duplicate_oids().count() + map.duplicate_numbers().count(),
            0,
            "{name}"
        );
        let have: BTreeSet<Oid> = map.mappings.iter().map(|m| m.oid).collect();
        let want: BTreeSet<Oid> = expected(major, shared).map(|r| r.oid).collect();
        assert_eq!(have, want, "{name}");
        assert!(have.iter().all(|oid| known_name(*oid).is_some()));
    }
}
