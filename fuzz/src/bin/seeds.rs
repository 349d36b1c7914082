//! Writes a corpus of real bytes to begin with: `seeds DIRECTORY`.

use pgfsck_format::wal::{WalReader, WalSource};
use pgfsck_format::{ByteOrder, ClusterFormat, Lsn, Major};
use pgfsck_fuzz::sample;
use pgfsck_volume::{Memory, VolPath};
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Records of each log that become seeds.
const RECORDS: usize = 400;

fn main() -> Outcome {
    let into = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: seeds DIRECTORY")?);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/data");
    let seed = |target: &str, name: &str, content: &[u8]| -> Outcome {
        let dir = into.join(target);
        fs::create_dir_all(&dir)?;
        Ok(fs::write(dir.join(format!("seed-{name}")), content)?)
    };
    let mut cluster: Memory = sample().clone();
    let names: Vec<VolPath> = cluster.files().cloned().collect();
    for path in &names {
        let text = path.to_string();
        let (_, name) = path.split_last();
        seed("names", &text.replace('/', "-"), name.as_encoded_bytes())?;
        let Some(content) = cluster.content_mut(path) else {
            continue;
        };
        match text.as_str() {
            "global/pg_control" => seed("control", "sample", content)?,
            _ if text.ends_with("pg_filenode.map") => {
                seed("relmap", &text.replace('/', "-"), content)?;
            }
            _ if text.starts_with("pg_wal/") && content.len() >= 1 << 20 => {
                let fmt = format_of(head(Major::V17, false))?;
                let name = name.to_string_lossy();
                seed(
                    "wal",
                    &name,
                    &[&head(Major::V17, false)[..], &content[..65_000]].concat(),
                )?;
                records(content, fmt, &name, &seed)?;
            }
            _ if text.starts_with("base/") || text.starts_with("global/") => {
                let last = content.len().saturating_sub(8192) / 8192 * 8192;
                if let Some(page) = content.get(last..last + 8192) {
                    let begin = [&head(Major::V17, false)[..], &[7, 0], page].concat();
                    seed("page", &text.replace('/', "-"), &begin)?;
                }
            }
            _ => {}
        }
    }
    for file in files(&data.join("control"))?
        .into_iter()
        .chain(files(&data.join("state"))?)
    {
        let content = fs::read(&file)?;
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match name.rsplit_once('.').map(|(_, end)| end) {
            Some("pg_control") => seed("control", &name, &content)?,
            Some("map") => seed("relmap", &name, &content)?,
            Some("backup_label") => small(&seed, &name, 0, &content)?,
            // A slot's file, a prepared transaction's, or that of replication origins: tried as all.
            _ => {
                small(&seed, &format!("{name}-8"), 8, &content)?;
                small(&seed, &format!("{name}-5"), 5, &content)?;
                small(&seed, &format!("{name}-6"), 6, &content)?;
            }
        }
    }
    for archive in ["sample.tar.gz", "pg17_bs16k.expected.json.zst"] {
        let content = fs::read(data.join(archive))?;
        seed("streams", archive, &content[..content.len().min(60_000)])?;
    }
    archives(&seed)?;
    pages(&data.join("pages"), &seed)?;
    let (_, manifest) = pgfsck_fuzz::small(4);
    seed("manifest", "two-files", &manifest)?;
    // A file of two blocks out of three: magic, count, length, numbers, and the blocks at the next boundary.
    let mut partial = head(Major::V17, false).to_vec();
    for word in [0xD3AE_1F0D_u32, 2, 3, 0, 2] {
        partial.extend(word.to_le_bytes());
    }
    partial.resize(2 + 8192, 0);
    partial.resize(2 + 3 * 8192, 7);
    seed("incremental_file", "two-blocks", &partial)?;
    // What the cluster's target makes faults of: bytes of any kind.
    let mut x = 0x9E37_79B9_7F4A_7C15_u64;
    for n in 0..200_usize {
        let mut bytes = Vec::new();
        for _ in 0..4 + n % 32 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes.push((x >> 32) as u8);
        }
        seed("cluster", &n.to_string(), &bytes)?;
    }
    Ok(())
}

/// Archives of every dialect, each with a name, a long name, a link and a sparse file where it has them.
fn archives(seed: &impl Fn(&str, &str, &[u8]) -> Outcome) -> Outcome {
    let long = format!("base/5/{}", "x".repeat(200));
    for dialect in ["v7", "ustar", "gnu", "pax"] {
        let mut archive = tar::Builder::new(Vec::new());
        let new = || match dialect {
            "v7" => tar::Header::new_old(),
            "gnu" => tar::Header::new_gnu(),
            _ => tar::Header::new_ustar(),
        };
        for name in ["PG_VERSION", "base/5/1259"] {
            let mut header = new();
            header.set_size(3);
            archive.append_data(&mut header, name, &b"17\n"[..])?;
        }
        let mut header = new();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "pg_tblspc/16390", "/srv/ts")?;
        header.set_entry_type(tar::EntryType::Link);
        archive.append_link(&mut header, "base/5/other", "PG_VERSION")?;
        let mut header = new();
        header.set_size(3);
        match dialect {
            "gnu" => {
                archive.append_data(&mut header, &long, &b"17\n"[..])?;
                header.set_path("base/5/sparse")?;
                header.set_entry_type(tar::EntryType::GNUSparse);
                if let Some(gnu) = header.as_gnu_mut() {
                    gnu.sparse[0].set_offset(8192);
                    gnu.sparse[0].set_length(3);
                    gnu.set_real_size(8195);
                }
                header.set_cksum();
                archive.append(&header, &b"17\n"[..])?;
            }
            "pax" => {
                let words: [&[(&str, &[u8])]; 4] = [
                    &[("path", long.as_bytes()), ("mtime", b"1700000000.5")],
                    // 0.0, 0.1, 1.0.
                    &[
                        ("GNU.sparse.size", b"8195"),
                        ("GNU.sparse.numblocks", b"1"),
                        ("GNU.sparse.offset", b"8192"),
                        ("GNU.sparse.numbytes", b"3"),
                    ],
                    &[
                        ("GNU.sparse.size", b"8195"),
                        ("GNU.sparse.numblocks", b"1"),
                        ("GNU.sparse.name", b"base/5/sparse"),
                        ("GNU.sparse.map", b"8192,3"),
                    ],
                    &[
                        ("GNU.sparse.major", b"1"),
                        ("GNU.sparse.minor", b"0"),
                        ("GNU.sparse.name", b"base/5/sparse"),
                        ("GNU.sparse.realsize", b"8195"),
                    ],
                ];
                for (n, words) in words.into_iter().enumerate() {
                    archive.append_pax_extensions(words.iter().copied())?;
                    let mut content = b"17\n".to_vec();
                    if n == 3 {
                        content = b"1\n8192\n3\n".to_vec();
                        content.resize(512, 0);
                        content.extend(b"17\n");
                    }
                    header.set_size(content.len() as u64);
                    archive.append_data(&mut header, format!("base/5/{n}"), &content[..])?;
                }
            }
            _ => {}
        }
        seed("tar", dialect, &archive.into_inner()?)?;
    }
    Ok(())
}

/// Pages of real servers, of every access method: `MAJOR-ORDER-WHAT-BLOCK.lz4`.
fn pages(dir: &Path, seed: &impl Fn(&str, &str, &[u8]) -> Outcome) -> Outcome {
    for file in files(dir)? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let mut words = name.split('-');
        let major = words.next().and_then(|word| word.parse::<Major>().ok());
        let is_big = words.next() == Some("be");
        let (Some(major), Ok(packed)) = (major, fs::read(&file)) else {
            continue;
        };
        let Ok(page) = lz4_flex::block::decompress(&packed, 32_768) else {
            continue;
        };
        let shift = page.len().ilog2().saturating_sub(10) as u8;
        let head = [head(major, is_big)[0], shift << 2 | u8::from(is_big)];
        seed("page", &name, &[&head[..], &[7, 0], &page].concat())?;
    }
    Ok(())
}

/// The two bytes that choose 8 KiB blocks of this major.
fn head(major: Major, big: bool) -> [u8; 2] {
    let number = Major::ALL.iter().position(|m| *m == major).unwrap_or(0);
    [u8::try_from(number).unwrap_or(0), 3 << 2 | u8::from(big)]
}

fn format_of(head: [u8; 2]) -> Result<ClusterFormat, &'static str> {
    pgfsck_fuzz::format(&head)
        .map(|(fmt, _)| fmt)
        .ok_or("no format")
}

fn small(
    seed: &impl Fn(&str, &str, &[u8]) -> Outcome,
    name: &str,
    kind: u8,
    content: &[u8],
) -> Outcome {
    let content = &content[..content.len().min(60_000)];
    seed(
        "small_files",
        name,
        &[&head(Major::V17, false)[..], &[kind], content].concat(),
    )
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

/// A segment of the log, read from its own beginning.
struct Segment<'a>(&'a [u8], u64);

impl WalSource for Segment<'_> {
    type Error = Infallible;

    fn read(&mut self, at: Lsn, buf: &mut [u8]) -> Result<usize, Infallible> {
        let at = usize::try_from(at.0.wrapping_sub(self.1)).unwrap_or(usize::MAX);
        let rest = self.0.get(at..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// The records of a segment, one seed each.
fn records(
    segment: &[u8],
    fmt: ClusterFormat,
    name: &str,
    seed: &impl Fn(&str, &str, &[u8]) -> Outcome,
) -> Outcome {
    // `xlp_pageaddr` of the first page.
    let start = segment
        .get(8..16)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_le_bytes);
    let fmt = ClusterFormat {
        wal_segment_bytes: u32::try_from(segment.len())?,
        order: ByteOrder::Little,
        ..fmt
    };
    let Ok(mut reader) = WalReader::at_first_record(Segment(segment, start), fmt, None, Lsn(start))
    else {
        return Ok(());
    };
    let mut taken = 0;
    while let Ok(record) = reader.next_record() {
        if taken >= RECORDS {
            break;
        }
        taken += 1;
        let bytes = [&head(Major::V17, false)[..], record.bytes].concat();
        seed("record", &format!("{name}-{taken}"), &bytes)?;
    }
    Ok(())
}
