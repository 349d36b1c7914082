//! `pgfsck relmap`: a pg_filenode.map, its entries by name, and whether it may be believed.

use crate::args::{ListFormat, RelmapArgs};
use crate::output::{print, print_json};
use std::fmt::Write as _;
use std::process::ExitCode;

use pgfsck_format::ByteOrder;
use pgfsck_format::relmap::{MAGIC, MAPPED_RELATIONS, RelMap, RelMapLayout, known_name};
use serde_json::{Value, json};

/// Prints a map; exit code 1 if it is not sound.
pub fn run(args: &RelmapArgs) -> anyhow::Result<ExitCode> {
    let bytes = super::read_file(&args.file, READ_LIMIT)?;
    let order = RelMap::order_of(&bytes).unwrap_or(ByteOrder::NATIVE);
    let map = RelMap::decode(&bytes, order)?;
    match args.format {
        ListFormat::Text => print(&text(&map, order))?,
        ListFormat::Json => print_json(&json(&map, order))?,
    }
    Ok(ExitCode::from(u8::from(!map.is_sound())))
}

/// More than a map has.
const READ_LIMIT: usize = 4096;

/// The map for people: what it is, whether it is sound, one line per entry in file order.
pub fn text(map: &RelMap, order: ByteOrder) -> String {
    let mut out = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(out, "{:<18}{value}", format!("{label}:"));
    };
    line(
        "Layout",
        format!(
            "{} bytes, PostgreSQL {}",
            map.layout.file_bytes(),
            majors(map.layout)
        ),
    );
    line("Byte order", format!("{}-endian", order.name()));
    line(
        "Magic",
        if map.magic == MAGIC {
            format!("{MAGIC:#x}")
        } else {
            format!("{:#x}, should be {MAGIC:#x}", map.magic)
        },
    );
    line(
        "Mappings",
        if map.count_is_possible() {
            format!(
                "{} of at most {}",
                map.num_mappings,
                map.layout.max_mappings()
            )
        } else {
            format!(
                "{}, at most {} are possible",
                map.num_mappings,
                map.layout.max_mappings()
            )
        },
    );
    line(
        "CRC",
        if map.crc.matches() {
            format!("{:08x}, correct", map.crc.stored)
        } else {
            format!("{:08x}, should be {:08x}", map.crc.stored, map.crc.computed)
        },
    );
    if let Some(at) = map.stray {
        line("Unused entries", format!("not zero at byte {at}"));
    }
    if !map.mappings.is_empty() {
        let _ = writeln!(out, "\n{:>10}  {:>10}  Name", "OID", "Filenode");
    }
    for m in &map.mappings {
        let name = known_name(m.oid).unwrap_or("(not a mapped catalog)");
        let _ = writeln!(out, "{:>10}  {:>10}  {name}", m.oid, m.number);
    }
    for m in map.duplicate_oids() {
        let _ = writeln!(
            out,
            "OID {} is there twice; a server takes the first entry",
            m.oid
        );
    }
    for m in map.duplicate_numbers() {
        let _ = writeln!(out, "Filenode {} is there twice", m.number);
    }
    out
}

/// The map as one JSON object.
pub fn json(map: &RelMap, order: ByteOrder) -> Value {
    let entries: Vec<Value> = map
        .mappings
        .iter()
        .map(|m| {
            let known = MAPPED_RELATIONS.iter().find(|r| r.oid == m.oid);
            json!({
                "oid": m.oid.0,
                "filenode": m.number.0,
                "name": known.map(|r| r.name),
                "shared": known.map(|r| r.shared),
            })
        })
        .collect();
    json!({
        "schema": "pgfsck.relmap/1",
        "file_bytes": map.layout.file_bytes(),
        "byte_order": order.name(),
        "sound": map.is_sound(),
        "magic": format!("{:#x}", map.magic),
        "crc": {
            "stored": format!("{:#010x}", map.crc.stored),
            "computed": format!("{:#010x}", map.crc.computed),
            "matches": map.crc.matches(),
        },
        "num_mappings": map.num_mappings,
        "max_mappings": map.layout.max_mappings(),
        "trailing_nonzero": map.stray,
        "duplicate_oids": map.duplicate_oids().map(|m| m.oid.0).collect::<Vec<_>>(),
        "duplicate_filenodes": map.duplicate_numbers().map(|m| m.number.0).collect::<Vec<_>>(),
        "mappings": entries,
    })
}

/// The majors that write that layout.
fn majors(layout: RelMapLayout) -> String {
    let mut of = pgfsck_format::Major::ALL
        .into_iter()
        .filter(|m| RelMapLayout::of_major(*m) == layout);
    match (of.next(), of.next_back()) {
        (Some(first), Some(last)) => format!("{first} to {last}"),
        (Some(only), None) => only.to_string(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Vec<u8> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../fixtures/data/control")
            .join(name);
        std::fs::read(path).expect(name)
    }

    #[test]
    fn a_sound_map() {
        let bytes = file("x86_pg19.database.map");
        let order = RelMap::order_of(&bytes).expect("a map");
        let map = RelMap::decode(&bytes, order).expect("decodes");
        let out = text(&map, order);
        let (head, rest) = out.split_once("\n\n").expect("two parts");
        let crc = format!("{:08x}", map.crc.stored);
        assert_eq!(
            head,
            format!(
                "Layout:           524 bytes, PostgreSQL 16 to 19\n\
                 Byte order:       little-endian\n\
                 Magic:            0x592717\n\
                 Mappings:         17 of at most 64\n\
                 CRC:              {crc}, correct"
            )
        );
        assert_eq!(rest.lines().count(), 18);
        assert!(
            rest.contains("      1259        1259  pg_class\n"),
            "{rest}"
        );
        let v = json(&map, order);
        assert_eq!(
            (&v["sound"], &v["num_mappings"]),
            (&json!(true), &json!(17))
        );
    }

    #[test]
    fn a_damaged_map_of_a_big_endian_machine() {
        let mut bytes = file("s390x_pg15.database.map");
        bytes[8..12].copy_from_slice(&1249_u32.to_be_bytes()); // the first OID becomes another one's
        let order = RelMap::order_of(&bytes).expect("a map");
        let map = RelMap::decode(&bytes, order).expect("decodes");
        let out = text(&map, order);
        for line in [
            "Layout:           512 bytes, PostgreSQL 9.6 to 15\n",
            "Byte order:       big-endian\n",
            ", should be ",
            "OID 1249 is there twice; a server takes the first entry\n",
        ] {
            assert!(out.contains(line), "{out}");
        }
        let v = json(&map, order);
        assert_eq!(
            (&v["sound"], &v["duplicate_oids"]),
            (&json!(false), &json!([1249]))
        );
    }
}
