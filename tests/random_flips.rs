//! One byte changed in each of five hundred random pages: every one is found, where it is, and nothing
//! else is said. PostgreSQL's own program finds the same, where there is one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use pgfsck_format::names::RelFileName;

use crate::common::{BLOCK, Seen, ground, used};

const FLIPS: usize = 500;

/// `pd_upper` in the page header: a page in which it is 0 counts as new, and is not verified.
const PD_UPPER: std::ops::Range<usize> = 14..16;

/// SplitMix64, so that every run damages the same bytes of the same cluster.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

/// Every page with content of every relation file: its file and its block in that file.
fn pages(data: &Path) -> Vec<(String, u64)> {
    let mut pages = Vec::new();
    for top in ["base", "global", "pg_tblspc"] {
        visit(data, top, &mut pages);
    }
    pages.sort();
    pages
}

fn visit(data: &Path, dir: &str, pages: &mut Vec<(String, u64)>) {
    for entry in fs::read_dir(data.join(dir)).expect("a listing") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8");
        let path = format!("{dir}/{name}");
        if data.join(&path).is_dir() {
            visit(data, &path, pages);
        } else if RelFileName::parse(name.as_bytes()).is_some() {
            let content = fs::read(data.join(&path)).expect("readable");
            let blocks = content.chunks_exact(BLOCK as usize).zip(0..);
            pages.extend(
                blocks
                    .filter(|(page, _)| page[PD_UPPER] != [0, 0])
                    .map(|(_, block)| (path.clone(), block)),
            );
        }
    }
}

#[test]
fn five_hundred_flipped_bytes_are_found_and_nothing_else() {
    let base = used("15").expect("a server");
    let mut ground = ground(base);
    let mut left = pages(&ground.data);
    assert!(left.len() > 2 * FLIPS, "{} pages", left.len());
    let mut random = Random(20_250_915);
    let mut expected = BTreeSet::new();
    // Catalogs are among them, and every kind of fork; all others are left to chance.
    let catalog = |name: &str| ground.relation("pg_catalog", name).path.as_str();
    let places = [
        "_fsm",
        "_vm",
        "_init",
        "global/",
        "pg_tblspc/",
        catalog("pg_class"),
        catalog("pg_attribute"),
    ];
    for number in 0..FLIPS {
        let wanted = places.get(number).copied().unwrap_or_default();
        let mut pick = random.below(left.len() as u64) as usize;
        while !left[pick].0.contains(wanted) {
            pick = random.below(left.len() as u64) as usize;
        }
        let (path, block) = left.swap_remove(pick);
        let offset = block * BLOCK + random.below(BLOCK);
        let mask = 1 + random.below(255) as u8;
        ground.flip(&path, offset, mask);
        let new = ground.page(&path, block)[PD_UPPER] == [0, 0];
        let code = if new {
            "page.zeroed"
        } else {
            "page.checksum-mismatch"
        };
        expected.insert(Seen {
            severity: "error".to_owned(),
            code: code.to_owned(),
            path,
            block: Some(block),
        });
    }

    let audit = ground.audit();
    assert_eq!(audit.exit, Some(1));
    let found: BTreeSet<Seen> = audit.problems().into_iter().collect();
    assert_eq!(found.len(), audit.problems().len(), "nothing is said twice");
    let missed: Vec<_> = expected.difference(&found).collect();
    let invented: Vec<_> = found.difference(&expected).collect();
    assert!(
        missed.is_empty() && invented.is_empty(),
        "missed {missed:#?}, invented {invented:#?}"
    );

    let Some(pg_checksums) = base.server.tool("pg_checksums") else {
        eprintln!("skipped: no pg_checksums of 15 on this machine");
        return;
    };
    let by_postgresql = verify(&pg_checksums, &ground.data);
    let mismatches = found
        .iter()
        .filter(|seen| seen.code == "page.checksum-mismatch");
    let by_us: BTreeSet<(String, u64)> = mismatches
        .map(|seen| (seen.path.clone(), seen.block.expect("a block")))
        .collect();
    assert_eq!(by_us, by_postgresql, "pg_checksums and pgfsck disagree");
}

/// Files and blocks that pg_checksums finds. (No relation here has a second segment, so that its
/// block number, which is the file's, is ours.)
fn verify(pg_checksums: &Path, data: &Path) -> BTreeSet<(String, u64)> {
    let output = Command::new(pg_checksums)
        .arg("--check")
        .arg(data)
        .env("LC_ALL", "C")
        .output()
        .expect("it runs");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let prefix = format!("{}/", data.display());
    let lines = stderr
        .lines()
        .filter(|line| line.contains("checksum verification failed in file"));
    lines
        .map(|line| {
            let (path, rest) = line
                .split_once("in file \"")
                .and_then(|(_, rest)| rest.split_once("\", block "))
                .expect(line);
            let block = rest.split_once(':').expect(line).0.parse().expect(line);
            (path.strip_prefix(&prefix).expect(line).to_owned(), block)
        })
        .collect()
}
