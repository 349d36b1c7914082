//! Which of several files holds a segment.

use super::*;
use std::fs;
use std::path::Path;

/// Segments of 1 MiB.
fn format() -> ClusterFormat {
    ClusterFormat {
        wal_segment_bytes: 1 << 20,
        ..crate::testing::format()
    }
}

/// A page whose header says that it is the first of that segment of 17, marked behind the header.
fn segment(number: u64, timeline: u32, mark: u8) -> Vec<u8> {
    let mut out = vec![0; 1 << 20];
    out[..2].copy_from_slice(&0xD116_u16.to_le_bytes());
    out[2] = 2;
    out[4..8].copy_from_slice(&timeline.to_le_bytes());
    out[8..16].copy_from_slice(&(number << 20).to_le_bytes());
    out[100] = mark;
    out[8192 + 100] = mark;
    out
}

/// A data directory and two archives.
struct Case {
    tmp: tempfile::TempDir,
    archives: Vec<Directory>,
}

impl Case {
    fn new() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        for d in ["data/pg_wal", "a", "b"] {
            fs::create_dir_all(tmp.path().join(d)).unwrap();
        }
        let archive = |d: &str| Directory::new(&tmp.path().join(d), Vec::new()).unwrap();
        let archives = vec![archive("a"), archive("b")];
        Self { tmp, archives }
    }

    fn put(&self, path: &str, content: &[u8]) {
        fs::write(self.tmp.path().join(path), content).unwrap();
    }

    /// The mark of each segment from 1 on, as the log has them.
    fn marks(&self, timeline: u32) -> Vec<Option<u8>> {
        let data = Directory::new(&self.tmp.path().join("data"), Vec::new()).unwrap();
        let mut log = WalLog::list(&data, format(), TimeLineId(timeline), &self.archives).unwrap();
        (1..5)
            .map(|n| {
                let mut page = vec![0; 8192];
                let got = log.read(log.start_of(n), &mut page).unwrap();
                (got > 0).then(|| page[100])
            })
            .collect()
    }

    fn root(&self) -> &Path {
        self.tmp.path()
    }
}

fn gz(content: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    e.write_all(content).unwrap();
    e.finish().unwrap()
}

#[test]
fn the_own_file_comes_first_unless_it_was_never_written() {
    let case = Case::new();
    let name = |n: u64| format!("00000001000000000000000{n}");
    for n in 1..4 {
        case.put(&format!("a/{}.gz", name(n)), &gz(&segment(n, 1, b'a')));
        case.put(&format!("b/{}", name(n)), &segment(n, 1, b'b'));
    }
    case.put(&format!("data/pg_wal/{}", name(1)), &segment(1, 1, b'o'));
    // Recycled: the pages of an older segment.
    case.put(&format!("data/pg_wal/{}", name(2)), &segment(1, 1, b'o'));
    // Preallocated.
    case.put(&format!("data/pg_wal/{}", name(3)), &vec![0; 1 << 20]);
    // Recycled, and there is nothing better.
    case.put(&format!("data/pg_wal/{}", name(4)), &segment(1, 1, b'r'));
    let marks = [b'o', b'a', b'a', b'r'].map(Some);
    assert_eq!(case.marks(1), marks);
}

#[test]
fn partial_files_stand_in_and_timelines_go_their_way() {
    let case = Case::new();
    case.put("a/000000010000000000000001.partial", &segment(1, 1, b'p'));
    case.put("b/000000010000000000000001", &segment(1, 1, b'b'));
    case.put(
        "a/000000010000000000000002.gz.partial",
        &gz(&segment(2, 1, b'p')),
    );
    // Left in segment 3 at its second page.
    case.put("b/000000010000000000000003", &segment(3, 1, b'1'));
    case.put("a/00000002.history.gz", &gz(b"1\t0/302000\tno reason\n"));
    case.put("a/000000020000000000000002", &segment(2, 2, b'x'));
    case.put("a/000000020000000000000004", &segment(4, 2, b'2'));
    assert_eq!(case.marks(2), [b'b', b'p', b'1', b'2'].map(Some));
    assert_eq!(case.marks(1), [Some(b'b'), Some(b'p'), Some(b'1'), None]);

    // Behind the switch, the old timeline's file has nothing to say.
    let data = Directory::new(&case.root().join("data"), Vec::new()).unwrap();
    let mut log = WalLog::list(&data, format(), TimeLineId(2), &case.archives).unwrap();
    let mut pages = vec![1; 4 * 8192];
    assert_eq!(log.read(log.start_of(3), &mut pages), Ok(4 * 8192));
    assert_eq!((pages[100], pages[8192 + 100]), (b'1', 0));
    assert_eq!(log.read(Lsn(0x30_4000), &mut pages), Ok(4 * 8192));
    assert!(pages.iter().all(|b| *b == 0));
    let file = log.file_of(2).unwrap();
    let shown = case.root().join("a/000000010000000000000002.gz.partial");
    assert_eq!(log.shown(file).to_string(), shown.to_str().unwrap());
    assert!(file.partial && log.is_whole(file).unwrap());

    case.put("data/pg_wal/00000002.history", b"nonsense\n");
    let read = timeline_history(&data, format(), TimeLineId(2), &case.archives);
    assert!(matches!(read, Err(HistoryError::Decode(_))));
}

#[test]
fn a_compressed_segment_gives_no_more_than_a_segment() {
    let case = Case::new();
    let mut bomb = segment(1, 1, b'a');
    bomb.resize(8 << 20, 0);
    case.put("a/000000010000000000000001.gz", &gz(&bomb));
    case.put(
        "a/000000010000000000000002.gz",
        &gz(&segment(2, 1, b'a')[..1 << 19]),
    );
    let data = Directory::new(&case.root().join("data"), Vec::new()).unwrap();
    let mut log = WalLog::list(&data, format(), TimeLineId(1), &case.archives).unwrap();
    let mut buf = vec![0; 2 << 20];
    assert_eq!(log.read(log.start_of(1), &mut buf), Ok(1 << 20));
    assert_eq!(log.read(log.start_of(2), &mut buf), Ok(1 << 19));
    assert!(log.is_whole(log.file_of(1).unwrap()).unwrap());
    assert!(!log.is_whole(log.file_of(2).unwrap()).unwrap());
}
