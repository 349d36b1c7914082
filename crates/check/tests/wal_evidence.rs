//! The write-ahead log of healthy clusters accuses no page: every page and every fork of permanent
//! relations is asked about, and nothing may be contradicted.
//!
//! `PGFSCK_CLUSTERS=DIR:DIR…` names more cleanly stopped clusters to hold this against.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use pgfsck_check::budget::Budget;
use pgfsck_check::context::{Cx, Level, Stop};
use pgfsck_check::recovery::{self, Recovery, Touch};
use pgfsck_check::sink::{Observer, Sink};
use pgfsck_check::wal_evidence::{
    BlockAddress, Fate, LsnVerdict, Questions, Stamp, Unborn, WalEvidence,
};
use pgfsck_format::control::ControlFile;
use pgfsck_format::names::RelFileName;
use pgfsck_format::page::Page;
use pgfsck_format::{
    BlockNumber, ClusterFormat, ForkNumber, Lsn, Oid, RelFileLocator, RelFileNumber, TransactionId,
};
use pgfsck_volume::Directory;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

struct Silent;
impl Observer for Silent {}

/// A cluster's relation files, read whole.
struct Cluster {
    root: PathBuf,
    control: ControlFile,
    fmt: ClusterFormat,
    /// The main question: what page has which LSN; all-zero pages have none.
    pages: BTreeMap<BlockAddress, Option<Lsn>>,
    /// Blocks of every fork.
    sizes: BTreeMap<(RelFileLocator, ForkNumber), u32>,
}

impl Cluster {
    fn read(root: &Path) -> Self {
        let control = ControlFile::decode(&std::fs::read(root.join("global/pg_control")).unwrap())
            .unwrap()
            .control;
        let fmt = control.cluster_format().unwrap();
        let mut c = Self {
            root: root.into(),
            control,
            fmt,
            pages: BTreeMap::new(),
            sizes: BTreeMap::new(),
        };
        c.directory(&root.join("global"), Oid::PG_GLOBAL, Oid(0));
        for (oid, path) in numbered(&root.join("base")) {
            c.directory(&path, Oid::PG_DEFAULT, oid);
        }
        for (tablespace, path) in numbered(&root.join("pg_tblspc")) {
            for version in std::fs::read_dir(path).into_iter().flatten() {
                for (oid, path) in numbered(&version.unwrap().path()) {
                    c.directory(&path, tablespace, oid);
                }
            }
        }
        assert!(c.pages.len() > 100);
        c
    }

    fn directory(&mut self, path: &Path, tablespace: Oid, database: Oid) {
        let names: Vec<(RelFileName, PathBuf)> = std::fs::read_dir(path)
            .unwrap()
            .filter_map(|e| {
                let e = e.unwrap();
                Some((
                    RelFileName::parse(e.file_name().as_encoded_bytes())?,
                    e.path(),
                ))
            })
            .collect();
        let unlogged: BTreeSet<_> = names
            .iter()
            .filter(|(n, _)| n.fork == ForkNumber::Init)
            .map(|(n, _)| n.number)
            .collect();
        for (name, path) in names {
            if name.temp_backend.is_some()
                || (unlogged.contains(&name.number) && name.fork != ForkNumber::Init)
            {
                continue;
            }
            let locator = RelFileLocator {
                tablespace,
                database,
                number: name.number,
            };
            let bytes = std::fs::read(path).unwrap();
            let first = name.segment * self.fmt.segment_blocks;
            for (block, page) in (first..).zip(bytes.chunks_exact(self.fmt.block_len())) {
                let at = BlockAddress {
                    locator,
                    fork: name.fork,
                    block: BlockNumber(block),
                };
                let page = Page::new(page, at.block, self.fmt).unwrap();
                self.pages
                    .insert(at, (!page.is_all_zero()).then(|| page.lsn()));
                let size = self.sizes.entry((locator, name.fork)).or_default();
                *size = (*size).max(block + 1);
            }
            self.sizes.entry((locator, name.fork)).or_default();
        }
    }

    fn gather(&self, stop: Stop, questions: Questions) -> WalEvidence {
        self.with(stop, |cx| WalEvidence::gather(cx, &self.control, questions))
    }

    fn recovery(&self, stop: Stop) -> Option<Recovery> {
        self.with(stop, |cx| recovery::check(cx, &self.control))
    }

    fn with<T>(&self, stop: Stop, ask: impl FnOnce(&Cx<'_>) -> T) -> T {
        let volume = Directory::new(&self.root, Vec::new()).unwrap();
        let sink = Sink::new(10, &Silent);
        let budget = Budget::default();
        let cx = Cx {
            volume: &volume,
            archives: &[],
            fmt: self.fmt,
            stop,
            level: Level::Deep,
            sink: &sink,
            budget: &budget,
            piece_bytes: pgfsck_check::audit::PIECE_BYTES,
            manifest: None,
        };
        ask(&cx)
    }

    /// Every question that can be asked of its pages and forks.
    fn all_questions(&self) -> Questions {
        let mut q = Questions::default();
        for (at, lsn) in &self.pages {
            match lsn {
                Some(lsn) => q.page_lsn(*lsn),
                None => q.block(*at),
            }
        }
        for (locator, fork) in self.sizes.keys() {
            q.highest_block(*locator, *fork);
        }
        q.stamps();
        q
    }

    /// Asks all, and checks that nothing is contradicted; how many pages the log confirms.
    fn is_confirmed(&self) -> usize {
        let evidence = self.gather(Stop::Clean, self.all_questions());
        let name = self.root.display();
        assert!(evidence.is_conclusive(), "{name}: {:?}", evidence.reach());
        let mut agree = 0;
        for (at, lsn) in &self.pages {
            if let Some(lsn) = lsn.filter(|_| at.fork == ForkNumber::Main) {
                let stamp = evidence.stamp(*at, lsn);
                // Pages of a database that was copied file by file carry LSNs of the template's blocks.
                let copied =
                    stamp == Stamp::Strange && evidence.page_lsn(*at, lsn) == LsnVerdict::Agrees;
                assert!(
                    stamp == Stamp::Fits || copied,
                    "{name}: {at:?} at {lsn}: {stamp:?}"
                );
            }
            match lsn {
                Some(lsn) => match evidence.page_lsn(*at, *lsn) {
                    LsnVerdict::Agrees => agree += 1,
                    LsnVerdict::Unknown => {}
                    other => panic!("{name}: {at:?} at {lsn}: {other:?}"),
                },
                None => assert_eq!(evidence.content(*at), None, "{name}: {at:?} is all zero"),
            }
        }
        for ((locator, fork), blocks) in &self.sizes {
            if let Some((highest, event)) = evidence.highest_block(*locator, *fork) {
                assert!(
                    highest.0 < *blocks,
                    "{name}: {locator:?} {fork}: block {highest} of {blocks}: {event:?}"
                );
            }
        }
        println!(
            "{name}: {agree} of {} pages, {:?}",
            self.pages.len(),
            evidence.reach().unwrap()
        );
        agree
    }
}

/// The entries of a directory whose names are numbers.
fn numbered(dir: &Path) -> Vec<(Oid, PathBuf)> {
    std::fs::read_dir(dir)
        .unwrap()
        .filter_map(|e| {
            let e = e.unwrap();
            Some((Oid(e.file_name().to_str()?.parse().ok()?), e.path()))
        })
        .collect()
}

/// Carried clusters that were stopped, and those that the user named.
fn stopped() -> Vec<Cluster> {
    let carried = ["pg96", "s390x_pg15", "pg17_bs16k", "x86_pg19"].map(data_of);
    let named = std::env::var("PGFSCK_CLUSTERS").unwrap_or_default();
    let named = named
        .split(':')
        .filter(|r| !r.is_empty())
        .map(PathBuf::from);
    let roots = carried.into_iter().chain(named);
    roots.map(|root| Cluster::read(&root)).collect()
}

#[test]
fn a_healthy_cluster_is_not_contradicted() {
    for cluster in stopped() {
        cluster.is_confirmed();
    }
}

/// A question about one page makes the log be read from its beginning; without, parts of it are read side by side.
#[test]
fn parts_of_the_log_say_what_the_whole_says() {
    for cluster in stopped() {
        let name = cluster.root.display();
        let all = || {
            let mut q = Questions::default();
            q.stamps();
            q.unborn(Unborn::from(&cluster.control.check_point_copy));
            q
        };
        let mut from_the_beginning = all();
        from_the_beginning.page_lsn(Lsn(1));
        for (locator, fork) in cluster.sizes.keys() {
            from_the_beginning.highest_block(*locator, *fork);
        }
        for stop in [
            Stop::Clean,
            Stop::Unclean {
                redo: cluster.control.check_point_copy.redo,
            },
        ] {
            let parts = cluster.gather(stop, all());
            let whole = cluster.gather(stop, from_the_beginning.clone());
            assert_eq!(parts.reach(), whole.reach(), "{name}");
            let overtaken = |e: &WalEvidence| format!("{:?}", e.overtaken().collect::<Vec<_>>());
            assert_eq!(overtaken(&parts), overtaken(&whole), "{name}");
            let mut within = 0;
            for (locator, fork) in cluster.sizes.keys() {
                if let (Some((block, _)), ForkNumber::Main, Stop::Clean) =
                    (whole.highest_block(*locator, *fork), *fork, stop)
                {
                    assert!(!parts.is_within(*locator, block.0), "{name}: {locator:?}");
                    within += u32::from(parts.is_within(*locator, block.0 + 1));
                }
            }
            assert!(within > 0 || stop != Stop::Clean, "{name}");
            for (at, lsn) in &cluster.pages {
                let own = lsn.unwrap_or_default().0;
                for lsn in [0, own.saturating_sub(8), own, own + 8, u64::MAX].map(Lsn) {
                    let said = (parts.stamp(*at, lsn), whole.stamp(*at, lsn));
                    assert_eq!(said.0, said.1, "{name}: {at:?} at {lsn}");
                }
            }
        }
    }
}

/// Pages of one cluster whose LSN the log confirms.
fn confirmed(cluster: &Cluster) -> Vec<(BlockAddress, Lsn)> {
    let evidence = cluster.gather(Stop::Clean, cluster.all_questions());
    let pages = cluster
        .pages
        .iter()
        .filter_map(|(at, lsn)| Some((*at, (*lsn)?)));
    pages
        .filter(|(at, lsn)| evidence.page_lsn(*at, *lsn) == LsnVerdict::Agrees)
        .collect()
}

#[test]
fn a_page_of_another_relation_is_named() {
    let cluster = Cluster::read(&data_of("pg17_bs16k"));
    let pages = confirmed(&cluster);
    let (mine, _) = pages[0];
    let strangers = pages.iter().filter(|(at, _)| {
        at.fork == ForkNumber::Main
            && (at.locator.number != mine.locator.number || at.block != mine.block)
    });
    let mut q = Questions::default();
    strangers.clone().for_each(|(_, lsn)| q.page_lsn(*lsn));
    let evidence = cluster.gather(Stop::Clean, q);
    let mut contradicted = 0;
    for (at, lsn) in strangers {
        match evidence.page_lsn(mine, *lsn) {
            LsnVerdict::Contradicts { blocks, record } => {
                // Files copied with their database name the block they were copied from.
                let same = |b: &&BlockAddress| {
                    b.locator.number == at.locator.number && b.block == at.block
                };
                assert!(
                    blocks.iter().find(same).is_some() && record.lsn < *lsn,
                    "{at:?}: {blocks:?}"
                );
                contradicted += 1;
            }
            // A record may list both.
            LsnVerdict::Agrees => {}
            other => panic!("{at:?}: {other:?}"),
        }
    }
    assert!(contradicted > 1000, "{contradicted}");
}

#[test]
fn lost_content_and_lost_blocks_are_proven() {
    let cluster = Cluster::read(&data_of("pg96"));
    let pages = confirmed(&cluster);
    let mut q = Questions::default();
    for (at, _) in &pages {
        q.block(*at);
        q.highest_block(at.locator, at.fork);
    }
    let evidence = cluster.gather(Stop::Clean, q);
    for (at, lsn) in &pages {
        let content = evidence.content(*at).unwrap();
        assert!(content.lsn < *lsn, "{at:?}");
        let (highest, _) = evidence.highest_block(at.locator, at.fork).unwrap();
        assert!(highest >= at.block, "{at:?}");
    }
    // After a clean stop nothing is replayed.
    assert!(cluster.recovery(Stop::Clean).is_none());
    // Nobody asked about anything else.
    assert_eq!(evidence.fate(TransactionId(3)), None);
    assert_eq!(evidence.relation(pages[0].0.locator), None);
}

#[test]
fn what_replay_will_do_to_a_crashed_cluster() {
    let cluster = Cluster::read(&data_of("pg96_crash"));
    let redo = cluster.control.check_point_copy.redo;
    let mut q = Questions::default();
    cluster
        .sizes
        .keys()
        .for_each(|(locator, _)| q.relation(*locator));
    (500..800).for_each(|xid| q.transaction(TransactionId(xid)));
    let evidence = cluster.gather(Stop::Unclean { redo }, q);
    let reach = evidence.reach().unwrap();
    assert!(
        reach.complete && reach.end.is_some() && reach.to > redo,
        "{reach:?}"
    );
    let recovery = cluster.recovery(Stop::Unclean { redo }).unwrap();
    assert!(recovery.is_complete());
    let mut restored = 0;
    for at in cluster.pages.keys() {
        match recovery.touches.of(at) {
            Some(Touch::Restored(lsn) | Touch::Discarded(lsn)) => {
                assert!(lsn >= redo);
                restored += 1;
            }
            // With full_page_writes on, the first change after a checkpoint brings the page along.
            Some(Touch::Changed(lsn)) => panic!("{at:?} {lsn}"),
            None => {}
        }
    }
    // The free space map of a relation that is made is not logged: replay leaves its pages alone.
    assert_eq!(restored, 474);
    // The table that an open transaction made and filled after the last checkpoint.
    let made = |number| RelFileLocator {
        tablespace: Oid::PG_DEFAULT,
        database: Oid(12405),
        number: RelFileNumber(number),
    };
    let story = evidence.relation(made(16590)).unwrap();
    assert!(story.created.unwrap().lsn >= redo && story.dropped.is_none());
    assert_eq!(evidence.fate(story.touched.unwrap().xid), None);
    let fate = |xid| evidence.fate(TransactionId(xid));
    assert!(matches!(fate(621), Some(Fate::Committed(e)) if e.xid == TransactionId(621)));
    assert!(matches!(fate(622), Some(Fate::Committed(e)) if e.xid == TransactionId(621)));
    assert!(matches!(fate(623), Some(Fate::Aborted(_))));
    assert!(matches!(fate(632), Some(Fate::Prepared(_))));
}

#[test]
fn without_questions_nothing_is_read() {
    let cluster = Cluster::read(&data_of("pg96"));
    let evidence = cluster.gather(Stop::Clean, Questions::default());
    assert_eq!(evidence.reach(), None);
    assert!(!evidence.is_conclusive());
}

/// The data directory of a carried cluster.
fn data_of(name: &str) -> PathBuf {
    pgfsck_fixtures::carried(name).unwrap().join("data")
}
