//! What the targets share: formats, mutators that keep CRCs right, and small real clusters.

mod seal;

pub use seal::{mutate_sealed, seal, seal_crc, seal_headers, seal_manifest, seal_records};

use pgfsck_format::{ByteOrder, Checksums, ClusterFormat, Major};
use pgfsck_volume::{Memory, VolPath};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::OnceLock;

/// No decoder may make more of its input than this.
pub const MOST_BYTES: usize = 64 << 20;

/// A format, from the first two bytes, and the rest.
pub fn format(data: &[u8]) -> Option<(ClusterFormat, &[u8])> {
    let ([major, bits], rest) = data.split_first_chunk()?;
    let fmt = ClusterFormat {
        major: Major::ALL[usize::from(*major) % Major::ALL.len()],
        order: if bits & 1 == 0 {
            ByteOrder::Little
        } else {
            ByteOrder::Big
        },
        max_align: if bits & 2 == 0 { 8 } else { 4 },
        block_size: 1024 << (bits >> 2 & 7).min(5),
        segment_blocks: if bits & 32 == 0 { 131_072 } else { 4 },
        wal_block_size: if bits & 64 == 0 { 8192 } else { 1024 },
        wal_segment_bytes: 1 << 20,
        toast_max_chunk_bytes: 1996,
        checksums: if bits & 128 == 0 {
            Checksums::On
        } else {
            Checksums::Off
        },
    };
    Some((fmt, rest))
}

/// A small file that a cluster may have: its name and its content.
pub fn small(which: u8) -> (&'static str, Vec<u8>) {
    const LABEL: &[u8] = include_bytes!("../../fixtures/data/control/pg17_full.backup_label");
    const PARTIAL: &[u8] =
        include_bytes!("../../fixtures/data/control/pg17_incremental.backup_label");
    let (name, content): (_, &[u8]) = match which % 12 {
        0 => ("backup_label", LABEL),
        1 => ("backup_label", PARTIAL),
        2 => (
            "tablespace_map",
            b"16390 /srv/ts_a\n16391 /srv/with\\\nnewline\n",
        ),
        3 => (
            "pg_wal/00000002.history",
            b"1\t0/1000000\tno recovery target specified\n",
        ),
        4 => ("backup_manifest", MANIFEST),
        5 => ("standby.signal", b""),
        6 => ("recovery.signal", b""),
        7 => (
            "postmaster.pid",
            b"1\n/srv/data\n1700000000\n5432\n/tmp\nlocalhost\n  1 2\nready\n",
        ),
        8 => ("PG_VERSION", b"17\n"),
        9 => ("pg_tblspc/16390/PG_17_202406281/16384/16999", &[0; 8192]),
        10 => ("base/16384/INCREMENTAL.1259", &[0xAE; 40]),
        _ => (
            "pg_wal/summaries/0000000100000000010000280000000001000100.summary",
            &[0; 40],
        ),
    };
    let mut content = content.to_vec();
    if name == "backup_manifest" {
        seal_manifest(&mut content);
    }
    (name, content)
}

/// A manifest of two files; its own checksum is to be set.
pub const MANIFEST: &[u8] = b"{ \"PostgreSQL-Backup-Manifest-Version\": 2,
\"System-Identifier\": 7710469353950476965,
\"Files\": [
{ \"Path\": \"PG_VERSION\", \"Size\": 3, \"Last-Modified\": \"2026-01-01 00:00:00 GMT\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"64440205\" },
{ \"Path\": \"global/pg_control\", \"Size\": 8192, \"Last-Modified\": \"2026-01-01 00:00:00 GMT\" }
],
\"WAL-Ranges\": [
{ \"Timeline\": 1, \"Start-LSN\": \"0/1200000\", \"End-LSN\": \"0/1240000\" }
],
\"Manifest-Checksum\": \"@\"}
";

/// The repository's sample: a stopped cluster of 17, with one of its databases. For seeds: it is large.
pub fn sample() -> &'static Memory {
    static SAMPLE: OnceLock<Memory> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let mut all = unpack(include_bytes!("../../fixtures/data/sample.tar.gz"));
        // The templates' catalogs are the same again.
        all.retain(|name, _| {
            let skipped = ["base/1/", "base/4/", "base/5/"];
            !skipped.iter().any(|dir| name.starts_with(dir))
        });
        volume(all)
    })
}

/// The repository's tiny cluster, without the free space maps of its catalogs: one audit of it takes milliseconds.
pub fn tiny() -> &'static Memory {
    static TINY: OnceLock<Memory> = OnceLock::new();
    TINY.get_or_init(|| {
        let mut all = unpack(include_bytes!("../../fixtures/data/tiny.tar.gz"));
        let mut kept = 0;
        all.retain(|name, _| {
            // The names come in order, so the user's relations, which were made first, come first.
            let is_map = name.ends_with("_fsm");
            kept += usize::from(is_map);
            !is_map || kept <= 2
        });
        volume(all)
    })
}

/// What is in an archive: directories have no content.
fn unpack(archive: &[u8]) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let mut out = BTreeMap::new();
    for entry in tar.entries().expect("the fixture is an archive") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").display().to_string();
        let name = name.trim_start_matches("./").trim_end_matches('/');
        let mut content = None;
        if !entry.header().entry_type().is_dir() {
            let content = content.insert(Vec::new());
            entry.read_to_end(content).expect("its content");
        }
        out.insert(name.to_owned(), content);
    }
    out
}

fn volume(entries: BTreeMap<String, Option<Vec<u8>>>) -> Memory {
    let mut out = Memory::default();
    for (name, content) in entries {
        match content {
            Some(content) => out.file(VolPath::new(&name), content),
            None => out.directory(VolPath::new(&name)),
        }
    }
    out
}
