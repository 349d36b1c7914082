//! pg_control, the relation maps, and everything that names a version.

use pgfsck_format::control::ControlFile;
use pgfsck_format::{ByteOrder, Major};

use super::Recipe;
use crate::common::{Ground, fresh};

const CONTROL: &str = "global/pg_control";

/// `pg_control_version` and `state`, at the same places in every major.
const CONTROL_VERSION_AT: usize = 8;
const STATE_AT: usize = 16;
/// `DB_IN_PRODUCTION`.
const IN_PRODUCTION: u32 = 6;

pub const RECIPES: &[Recipe] = &[
    Recipe {
        name: "pg_control is gone",
        code: "control.missing",
        apply: |g| {
            g.remove(CONTROL);
            g.expect("control.missing", CONTROL, None);
        },
    },
    Recipe {
        name: "pg_control ends in its middle",
        code: "control.short",
        apply: |g| {
            g.cut(CONTROL, 100);
            g.expect("control.short", CONTROL, None);
        },
    },
    Recipe {
        name: "pg_control is empty",
        code: "control.short",
        apply: |g| {
            g.cut(CONTROL, 0);
            g.expect("control.short", CONTROL, None);
        },
    },
    Recipe {
        name: "a byte of pg_control's checkpoint is altered",
        code: "control.crc-mismatch",
        apply: |g| {
            g.flip(CONTROL, 50, 0x10);
            g.expect("control.crc-mismatch", CONTROL, None);
        },
    },
    Recipe {
        name: "pg_control has a version that never was",
        code: "control.version-unknown",
        apply: |g| {
            change_control(g, CONTROL_VERSION_AT, 0x7777, false);
            g.expect("control.version-unknown", CONTROL, None);
        },
    },
    Recipe {
        name: "pg_control has an impossible state",
        code: "control.field-invalid",
        apply: |g| {
            change_control(g, STATE_AT, 77, true);
            g.expect("control.field-invalid", CONTROL, None);
        },
    },
    Recipe {
        name: "pg_control says that the server runs",
        code: "cluster.not-shut-down",
        apply: |g| {
            change_control(g, STATE_AT, IN_PRODUCTION, true);
            g.expect_as("note", "cluster.not-shut-down", CONTROL, None);
        },
    },
    Recipe {
        name: "pg_control says that there are no checksums",
        code: "cluster.checksums-off",
        apply: |g| {
            without_checksums(g);
            g.expect_as("note", "cluster.checksums-off", CONTROL, None);
        },
    },
    Recipe {
        name: "the cluster's PG_VERSION is another major's",
        code: "version.mismatch",
        apply: |g| {
            g.write("PG_VERSION", b"14\n");
            g.expect("version.mismatch", "PG_VERSION", None);
        },
    },
    Recipe {
        name: "a database's PG_VERSION is another major's",
        code: "version.mismatch",
        apply: |g| {
            let path = g.database_dir("used") + "/PG_VERSION";
            g.write(&path, b"9.6\n");
            g.expect("version.mismatch", &path, None);
        },
    },
    Recipe {
        name: "a tablespace's directory is another major's",
        code: "version.mismatch",
        apply: |g| {
            let own = version_directory(g);
            let other = format!(
                "{}/PG_13_202007201",
                own.rsplit_once('/').expect("two parts").0
            );
            std::fs::rename(g.at(&own), g.at(&other)).expect("renamed");
            g.expect("version.mismatch", &other, None);
        },
    },
    Recipe {
        name: "a WAL segment is another major's",
        code: "version.mismatch",
        apply: |g| {
            let path = first_wal_segment(g);
            let magic = Major::V10.row().wal_magic.to_le_bytes();
            g.damage(&path)
                .overwrite(&path, 0, &magic)
                .expect("written");
            g.expect("version.mismatch", &path, None);
        },
    },
    Recipe {
        name: "the cluster's PG_VERSION is gone",
        code: "version.missing",
        apply: |g| {
            g.remove("PG_VERSION");
            g.expect("version.missing", "PG_VERSION", None);
        },
    },
    Recipe {
        name: "a database's PG_VERSION is gone",
        code: "version.missing",
        apply: |g| {
            let path = g.database_dir("used") + "/PG_VERSION";
            g.remove(&path);
            g.expect("version.missing", &path, None);
        },
    },
    Recipe {
        name: "a database's PG_VERSION holds rubbish",
        code: "version.missing",
        apply: |g| {
            let path = g.database_dir("used") + "/PG_VERSION";
            g.write(&path, &[0; 3]);
            g.expect("version.missing", &path, None);
        },
    },
    Recipe {
        name: "the shared relation map is gone",
        code: "relmap.missing",
        apply: |g| {
            g.remove(GLOBAL_MAP);
            g.expect("relmap.missing", GLOBAL_MAP, None);
        },
    },
    Recipe {
        name: "a database's relation map is gone",
        code: "relmap.missing",
        apply: |g| {
            let path = map_of(g, "used");
            g.remove(&path);
            g.expect("relmap.missing", &path, None);
        },
    },
    Recipe {
        name: "a relation map is cut in its middle",
        code: "relmap.short",
        apply: |g| {
            let path = map_of(g, "used");
            g.cut(&path, 200);
            g.expect("relmap.short", &path, None);
        },
    },
    Recipe {
        name: "a relation map does not begin as one",
        code: "relmap.bad-magic",
        apply: |g| {
            let path = map_of(g, "used");
            g.flip(&path, 1, 0xFF);
            g.expect("relmap.bad-magic", &path, None);
        },
    },
    Recipe {
        name: "a relation map counts more entries than it can have",
        code: "relmap.bad-magic",
        apply: |g| {
            let path = map_of(g, "used");
            g.damage(&path)
                .overwrite(&path, 4, &1000_u32.to_le_bytes())
                .expect("written");
            g.expect("relmap.bad-magic", &path, None);
        },
    },
    Recipe {
        name: "a file number in a database's relation map is altered",
        code: "relmap.crc-mismatch",
        apply: |g| {
            let path = map_of(g, "used");
            g.flip(&path, 12, 0x04);
            g.expect("relmap.crc-mismatch", &path, None);
        },
    },
    Recipe {
        name: "an OID in the shared relation map is altered",
        code: "relmap.crc-mismatch",
        apply: |g| {
            g.flip(GLOBAL_MAP, 17, 0x40);
            g.expect("relmap.crc-mismatch", GLOBAL_MAP, None);
        },
    },
    Recipe {
        name: "the unused room of a relation map is altered",
        code: "relmap.crc-mismatch",
        apply: |g| {
            let path = map_of(g, "postgres");
            let at = map_crc_at(&g.read(&path)) as u64 - 1;
            g.flip(&path, at, 0x01);
            g.expect("relmap.crc-mismatch", &path, None);
        },
    },
    Recipe {
        name: "a relation map names a catalog twice",
        code: "relmap.duplicate-oid",
        apply: |g| {
            // Over pg_proc_proname_args_nsp_index, which nothing else in the map depends on.
            let path = map_of(g, "postgres");
            let map = g.read(&path);
            let (from, to) = (entry_of(&map, 1255), entry_of(&map, 2691));
            change_map(g, &path, |map| map.copy_within(from..from + 8, to));
            g.expect("relmap.duplicate-oid", &path, None);
            // The same OID twice is also the same file twice; and the entry that was there is lacking.
            g.may("relmap.duplicate-oid", &path);
            g.may("relmap.entry-invalid", &path);
            // The index that lost its entry has a file that nobody claims, and cannot be found.
            let orphan = format!("{}/2691", g.database_dir("postgres"));
            g.may("file.orphan", &orphan);
        },
    },
    Recipe {
        name: "a relation map names what is no mapped catalog",
        code: "relmap.entry-invalid",
        apply: |g| {
            let path = map_of(g, "postgres");
            let count = word(&g.read(&path), 4) as usize;
            change_map(g, &path, |map| {
                map[4..8].copy_from_slice(&(count as u32 + 1).to_le_bytes());
                map[8 + 8 * count..][..4].copy_from_slice(&60_000_u32.to_le_bytes());
                map[12 + 8 * count..][..4].copy_from_slice(&60_001_u32.to_le_bytes());
            });
            g.expect("relmap.entry-invalid", &path, None);
        },
    },
    Recipe {
        name: "the WAL segment of the last checkpoint is gone",
        code: "wal.segment-missing",
        apply: |g| {
            let path = format!("pg_wal/{}", checkpoint_segment(g));
            g.remove(&path);
            g.expect("wal.segment-missing", &path, None);
        },
    },
    Recipe {
        name: "the WAL segment of the last checkpoint begins with garbage",
        code: "wal.page-header-invalid",
        apply: |g| {
            let path = format!("pg_wal/{}", checkpoint_segment(g));
            g.flip(&path, 0, 0xff);
            g.flip(&path, 1, 0x0f);
            g.expect("wal.page-header-invalid", &path, None);
        },
    },
    Recipe {
        name: "the WAL segment of the last checkpoint is cut",
        code: "wal.page-header-invalid",
        apply: |g| {
            let path = format!("pg_wal/{}", checkpoint_segment(g));
            g.cut(&path, 24 * 1024);
            g.expect("wal.page-header-invalid", &path, None);
        },
    },
    Recipe {
        name: "the file of a prepared transaction is altered",
        code: "twophase.invalid",
        apply: |g| {
            let names = std::fs::read_dir(g.base.data.join("pg_twophase")).expect("pg_twophase");
            let mut names: Vec<_> = names.map(|e| e.expect("an entry").file_name()).collect();
            names.sort();
            let first = names.first().expect("a prepared transaction");
            let path = format!("pg_twophase/{}", first.to_str().expect("a number"));
            g.flip(&path, 40, 0x20);
            g.expect("twophase.invalid", &path, None);
        },
    },
    Recipe {
        name: "a WAL segment of another cluster",
        code: "wal.sysid-mismatch",
        apply: |g| {
            let other = match g.base.major {
                12 => fresh("12"),
                _ => fresh("17"),
            };
            let other = &other.expect("a server of this major").data;
            let mut names: Vec<_> = std::fs::read_dir(other.join("pg_wal"))
                .expect("pg_wal")
                .map(|entry| entry.expect("an entry").path())
                .filter(|path| path.is_file())
                .collect();
            names.sort();
            let content = std::fs::read(&names[0]).expect("a segment");
            let path = "pg_wal/0000000100000000000000F0";
            g.add(path, &content);
            g.expect("wal.sysid-mismatch", path, None);
        },
    },
];

const GLOBAL_MAP: &str = "global/pg_filenode.map";

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Where a healthy pg_control keeps the CRC of what is before it.
pub fn crc_at(control: &[u8]) -> usize {
    (200..512)
        .step_by(4)
        .find(|&at| crc32c::crc32c(&control[..at]) == word(control, at))
        .expect("a CRC in pg_control")
}

/// Changes four bytes of pg_control, with a CRC that agrees or with the old one.
pub fn change_control(g: &mut Ground, at: usize, value: u32, sealed: bool) {
    let mut control = g.read(CONTROL);
    let crc = crc_at(&control);
    control[at..at + 4].copy_from_slice(&value.to_le_bytes());
    if sealed {
        let sum = crc32c::crc32c(&control[..crc]);
        control[crc..crc + 4].copy_from_slice(&sum.to_le_bytes());
    }
    g.write(CONTROL, &control);
}

/// Lets pg_control say that the cluster has no checksums.
pub fn without_checksums(g: &mut Ground) {
    // data_checksum_version is followed by the 32 bytes of the mock nonce and the CRC, up to 17.
    let at = crc_at(&g.read(CONTROL)) - 36;
    assert_eq!(word(&g.read(CONTROL), at), 1, "it has checksums");
    change_control(g, at, 0, true);
}

/// Removes the log before the last checkpoint, as the server itself does in time.
pub fn forget_log(g: &mut Ground) {
    let oldest = checkpoint_segment(g);
    for name in wal_segments(g) {
        if name < oldest {
            g.remove(&format!("pg_wal/{name}"));
        }
    }
}

/// The segment of the log that holds the last checkpoint.
fn checkpoint_segment(g: &Ground) -> String {
    let control = ControlFile::decode(&g.read(CONTROL))
        .expect("pg_control")
        .control;
    let segment = control.check_point_copy.redo.0 / u64::from(control.xlog_seg_size);
    let (high, low) = (segment / 256, segment % 256);
    format!("{:08X}{high:08X}{low:08X}", 1)
}

/// The names of the log's segments, in their order.
fn wal_segments(g: &Ground) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(g.at("pg_wal"))
        .expect("pg_wal")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("UTF-8"))
        .filter(|name| name.len() == 24)
        .collect();
    names.sort();
    names
}

fn map_of(g: &Ground, database: &str) -> String {
    g.database_dir(database) + "/pg_filenode.map"
}

/// Where the CRC of a relation map is: its layout changed in 16.
fn map_crc_at(map: &[u8]) -> usize {
    match map.len() {
        512 => 504,
        524 => 520,
        other => panic!("a relation map of {other} bytes"),
    }
}

/// Where the entry of this OID is.
fn entry_of(map: &[u8], oid: u32) -> usize {
    let count = word(map, 4) as usize;
    (0..count)
        .map(|entry| 8 + 8 * entry)
        .find(|&at| word(map, at) == oid)
        .expect("an entry")
}

/// Changes a relation map, with a CRC that agrees.
fn change_map(g: &mut Ground, path: &str, change: impl FnOnce(&mut [u8])) {
    let mut map = g.read(path);
    let at = map_crc_at(&map);
    assert_eq!(crc32c::crc32c(&map[..at]), word(&map, at), "a healthy map");
    change(&mut map);
    let sum = crc32c::crc32c(&map[..at]);
    map[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    g.write(path, &map);
    // All majors that there are servers of are little-endian here.
    assert_eq!(
        pgfsck_format::relmap::RelMap::order_of(&map),
        Some(ByteOrder::Little)
    );
}

/// The directory of this cluster in tablespace ts_a: `pg_tblspc/16385/PG_17_202406281`.
pub fn version_directory(g: &Ground) -> String {
    let path = g.probe("in_space");
    path.split('/').take(3).collect::<Vec<_>>().join("/")
}

fn first_wal_segment(g: &Ground) -> String {
    format!("pg_wal/{}", wal_segments(g)[0])
}
