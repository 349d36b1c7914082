//! The whole audit, of a tiny cluster with a few things wrong. Faults aim at the fields that decoders and checks read;
//! pages keep right checksums, pg_control, maps, prepared transactions, slots and records a right CRC, so that what is
//! wrong gets to the checks behind.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use pgfsck_check::audit::{Options, PIECE_BYTES, audit};
use pgfsck_check::context::Level;
use pgfsck_check::sink::Silent;
use pgfsck_format::control::ControlFile;
use pgfsck_format::relmap::RelMap;
use pgfsck_format::replorigin::OriginCheckpoint;
use pgfsck_format::replslot::ReplicationSlot;
use pgfsck_format::twophase::TwoPhaseState;
use pgfsck_format::{ByteOrder, ClusterFormat};
use pgfsck_fuzz::{seal, seal_crc, seal_records, small};
use pgfsck_volume::{Memory, VolPath};
use std::sync::OnceLock;

const BLOCK: usize = 8192;
/// Where `ControlFileData` has `state`, and what is there while a server runs (`DB_IN_PRODUCTION`).
const STATE: usize = 16;
const IN_PRODUCTION: u32 = 6;
/// Faults of one input, at most.
const FAULTS: usize = 6;

/// Which bytes of a page are hit.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Aim {
    /// The page's header.
    Header(u8),
    /// A line pointer: which, and which of its bytes.
    Pointer(u8, u8),
    /// The first bytes of an item: a tuple's header.
    Item(u8, u8),
    /// Further into an item: its values.
    Value(u8, u16),
    /// The access method's own bytes at the end.
    Special(u8),
    /// Anywhere.
    Any(u16),
}

/// What becomes of them.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Change {
    Set1(u8),
    Set2(u16),
    Set4(u32),
    Add(i8),
    Flip(u8),
    Ones,
}

/// One thing that went wrong with one file.
#[derive(Debug, Arbitrary)]
enum Fault {
    /// Some bytes of a page, which gets a right checksum.
    Page(u8, Aim, Change),
    /// The same of two fields of one page: a mistake that agrees with itself.
    Pair(u8, [(Aim, Change); 2]),
    /// Bytes of a file, with its CRC made right again.
    Bytes(u16, Change),
    /// Bytes that rot.
    Rot(u32, u8),
    /// A page of zeros.
    Zero(u8),
    /// A page of another file, or another block.
    Misdirected { from: u16, block: u8, to: u8 },
    /// Cut to so many bytes.
    Cut(u32),
    /// Gone.
    Missing,
    /// Some bytes at the end.
    Longer(u16),
    /// One of the files that a tiny cluster lacks: a label, a manifest, a history.
    Put(u8, u16, Change),
}

impl Aim {
    /// The place in the page.
    fn place(self, page: &[u8]) -> usize {
        let half = |at: usize| usize::from(u16::from_le_bytes([page[at], page[at + 1]]));
        let pointer = |n: u8| {
            let most = half(12).saturating_sub(24) / 4;
            24 + usize::from(n) % most.max(1) * 4
        };
        let item = |n: u8| half(pointer(n)) & 0x7FFF;
        let place = match self {
            Self::Header(at) => usize::from(at % 24),
            Self::Pointer(n, at) => pointer(n) + usize::from(at % 4),
            Self::Item(n, at) => item(n) + usize::from(at % 32),
            Self::Value(n, at) => item(n) + usize::from(at % 512),
            Self::Special(at) => half(16).min(BLOCK - 8) + usize::from(at % 16),
            Self::Any(at) => usize::from(at),
        };
        place % (BLOCK - 4)
    }
}

impl Change {
    fn apply(self, bytes: &mut [u8], at: usize) {
        let mut set = |new: &[u8]| {
            if let Some(old) = bytes.get_mut(at..at + new.len()) {
                old.copy_from_slice(new);
            }
        };
        match self {
            Self::Set1(v) => set(&[v]),
            Self::Set2(v) => set(&v.to_le_bytes()),
            Self::Set4(v) => set(&v.to_le_bytes()),
            Self::Ones => set(&[0xFF; 4]),
            Self::Add(by) => {
                if let Some(old) = bytes.get_mut(at) {
                    *old = old.wrapping_add_signed(by);
                }
            }
            Self::Flip(bit) => {
                if let Some(old) = bytes.get_mut(at) {
                    *old ^= 1 << (bit % 8);
                }
            }
        }
    }
}

fn format() -> ClusterFormat {
    static FORMAT: OnceLock<ClusterFormat> = OnceLock::new();
    *FORMAT.get_or_init(|| {
        let mut tiny = pgfsck_fuzz::tiny().clone();
        let control = tiny.content_mut(&VolPath::new("global/pg_control"));
        let known = ControlFile::decode(control.expect("it has one")).expect("a known one");
        known.control.cluster_format().expect("a sound one")
    })
}

/// Makes the CRC right, if the file has one.
fn seal_file(name: &str, content: &mut [u8]) {
    let fmt = format();
    let dir = name.split('/').next().unwrap_or_default();
    seal_crc(content, |bytes| {
        let crc = match dir {
            _ if name == "global/pg_control" => ControlFile::decode(bytes).ok()?.crc,
            _ if name.ends_with("pg_filenode.map") => {
                RelMap::decode(bytes, ByteOrder::Little).ok()?.crc
            }
            "pg_twophase" => TwoPhaseState::decode(bytes, fmt).ok()?.crc,
            "pg_replslot" => ReplicationSlot::decode(bytes, fmt).ok()?.crc,
            "pg_logical" => OriginCheckpoint::decode(bytes, fmt).ok()?.crc,
            _ => return None,
        };
        Some((crc.stored, crc.computed))
    });
    if dir == "pg_wal" {
        seal_records(content, BLOCK);
    }
}

fn wrong(volume: &mut Memory, names: &[VolPath], file: u16, fault: &Fault) {
    let name = &names[usize::from(file) % names.len()];
    let mut foreign = None;
    match fault {
        Fault::Missing => return volume.remove(name),
        Fault::Put(which, at, change) => {
            let (path, mut content) = small(*which);
            let at = usize::from(*at) % content.len().max(1);
            change.apply(&mut content, at);
            return volume.file(VolPath::new(path), content);
        }
        Fault::Misdirected { from, block, .. } => {
            let other = &names[usize::from(*from) % names.len()];
            let content = volume.content_mut(other).map(|c| c.as_slice());
            let at = usize::from(*block) * BLOCK;
            let page = content.and_then(|c| c.get(at..at + BLOCK));
            foreign = page.map(<[u8]>::to_vec);
        }
        _ => {}
    }
    let Some(content) = volume.content_mut(name) else {
        return;
    };
    let length = content.len();
    let blocks = length / BLOCK;
    let text = name.to_string();
    let is_pages = (text.starts_with("base/") || text.starts_with("global/")) && blocks > 0;
    let page_at = |block: u8| (usize::from(block) % blocks.max(1)) * BLOCK;
    let mut change_page = |block: u8, changes: &[(Aim, Change)]| {
        let from = page_at(block);
        let page = &mut content[from..from + BLOCK];
        for (aim, change) in changes {
            change.apply(page, aim.place(page));
        }
        if text != "global/pg_control" && page.iter().any(|&b| b != 0) {
            seal(page, (from / BLOCK) as u32, ByteOrder::Little);
        }
    };
    match fault {
        Fault::Page(block, aim, change) if blocks > 0 => change_page(*block, &[(*aim, *change)]),
        Fault::Pair(block, changes) if blocks > 0 => change_page(*block, changes),
        Fault::Bytes(at, change) => change.apply(content, usize::from(*at) % length.max(1)),
        Fault::Rot(at, by) if length > 0 => content[*at as usize % length] ^= by,
        Fault::Zero(block) if blocks > 0 => {
            let from = page_at(*block);
            content[from..from + BLOCK].fill(0);
        }
        Fault::Misdirected { to, .. } if blocks > 0 => {
            let at = page_at(*to);
            if let Some(mut page) = foreign {
                seal(&mut page, (at / BLOCK) as u32, ByteOrder::Little);
                content[at..at + BLOCK].copy_from_slice(&page);
            }
        }
        Fault::Cut(bytes) => content.truncate(*bytes as usize % (length + 1)),
        Fault::Longer(bytes) => content.resize(length + usize::from(*bytes), 7),
        _ => {}
    }
    if !matches!(fault, Fault::Rot(..)) && (!is_pages || text == "global/pg_control") {
        seal_file(&text, content);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let mut volume = pgfsck_fuzz::tiny().clone();
    let names: Vec<VolPath> = volume.files().cloned().collect();
    // A quarter was not stopped cleanly: what replay does is asked then.
    if u8::arbitrary(&mut input).is_ok_and(|kind| kind % 4 == 3)
        && let Some(control) = volume.content_mut(&VolPath::new("global/pg_control"))
    {
        control[STATE..STATE + 4].copy_from_slice(&IN_PRODUCTION.to_le_bytes());
        seal_file("global/pg_control", control);
    }
    for _ in 0..FAULTS {
        let (Ok(file), Ok(fault)) = (u16::arbitrary(&mut input), Fault::arbitrary(&mut input))
        else {
            break;
        };
        wrong(&mut volume, &names, file, &fault);
        if input.is_empty() {
            break;
        }
    }
    let run = |jobs, piece_bytes| {
        let options = Options {
            level: Level::Deep,
            jobs,
            piece_bytes,
            ..Options::default()
        };
        let mut report = audit(&volume, &options, &Silent);
        report.elapsed_seconds = 0.0;
        report
    };
    let report = run(1, PIECE_BYTES);
    // The same bytes give the same report, whatever the threads and their pieces: asked of every 16th input, for it takes
    // as long again.
    if data.len() % 16 == 0 {
        let text = |report| serde_json::to_string(report).expect("a report is JSON");
        assert_eq!(text(&report), text(&run(3, 1)));
    }
});
