//! The backup against its backup_manifest: what pg_verifybackup finds, in the pass that verifies the pages.
//!
//! A relation's file is summed up while its pages are scanned ([`Digests`]); what no scan reads is read for
//! its checksum. With CRC-32C, pieces of a file are summed up apart and put together; the SHA-2 functions
//! want the bytes of a file in order, so that a file is one piece for them.
//!
//! A manifest tells of the moment at which the backup was taken. A server that was started on the directory
//! leaves the manifest behind and changes the files: then nothing is held against it.

use crate::codes;
use crate::context::{Cx, Level};
use crate::finding::{Finding, Place};
use crate::manifest_wal;
use crate::sink::Counters;
use pgfsck_format::Lsn;
use pgfsck_format::control::{ControlFile, DbState};
use pgfsck_format::manifest::{
    self, BackupManifest, ChecksumAlgorithm, ManifestError, ManifestFile, WalRange, hex,
};
use pgfsck_volume::{Entry, EntryKind, File, FileReader, VolPath, Volume, VolumeError};
use rayon::prelude::*;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, PoisonError};

/// The file's name.
pub const NAME: &str = "backup_manifest";
/// A larger manifest is not read: at 200 bytes a file, more than five million files.
const MANIFEST_LIMIT_BYTES: u64 = 1 << 30;
/// What is remembered of all files of a manifest, in bytes: six million files with a CRC-32C each.
const MEMORY_BYTES: usize = 1 << 30;
/// What is remembered of one file besides its path and checksum, in bytes.
const FILE_BYTES: usize = 96;
/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 18;
/// Directories below each other that are walked into.
const MAX_DEPTH: usize = 32;

/// A manifest, and what was summed up so far.
pub struct Manifest {
    head: BackupManifest,
    files: BTreeMap<VolPath, Expected>,
    parts: Mutex<BTreeMap<VolPath, Vec<Part>>>,
}

/// What the manifest says of one file.
struct Expected {
    bytes: u64,
    checksum: Option<(ChecksumAlgorithm, Box<[u8]>)>,
}

/// A stretch of a file that was summed up.
struct Part {
    at: u64,
    bytes: u64,
    sum: Sum,
}

/// A sum under way.
enum Sum {
    Crc32c(u32),
    Sha224(Sha224),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Sum {
    fn new(algorithm: ChecksumAlgorithm) -> Self {
        match algorithm {
            ChecksumAlgorithm::Crc32c => Self::Crc32c(0),
            ChecksumAlgorithm::Sha224 => Self::Sha224(Sha224::new()),
            ChecksumAlgorithm::Sha256 => Self::Sha256(Sha256::new()),
            ChecksumAlgorithm::Sha384 => Self::Sha384(Sha384::new()),
            ChecksumAlgorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, bytes),
            Self::Sha224(sum) => sum.update(bytes),
            Self::Sha256(sum) => sum.update(bytes),
            Self::Sha384(sum) => sum.update(bytes),
            Self::Sha512(sum) => sum.update(bytes),
        }
    }

    /// The checksum as a manifest of a little-endian machine has it.
    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32c(crc) => crc.to_le_bytes().to_vec(),
            Self::Sha224(sum) => sum.finalize().to_vec(),
            Self::Sha256(sum) => sum.finalize().to_vec(),
            Self::Sha384(sum) => sum.finalize().to_vec(),
            Self::Sha512(sum) => sum.finalize().to_vec(),
        }
    }
}

/// The sum of a stretch of a file, while it is scanned.
pub struct Digest {
    path: VolPath,
    part: Part,
}

impl Digest {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.part.sum.update(bytes);
        self.part.bytes += bytes.len() as u64;
    }
}

/// What pg_verifybackup ignores (`bin/pg_verifybackup/pg_verifybackup.c`): what users change in a backup, and
/// the log, whose segments come by another way.
fn is_ignored(path: &VolPath) -> bool {
    let name = path.as_bytes();
    let top: [&[u8]; 4] = [
        NAME.as_bytes(),
        b"postgresql.auto.conf",
        b"recovery.signal",
        b"standby.signal",
    ];
    top.contains(&name) || name == b"pg_wal" || name.starts_with(b"pg_wal/")
}

/// Whether a path of a manifest stays below the data directory.
fn is_inside(path: &[u8]) -> bool {
    !path.is_empty()
        && path
            .split(|&c| c == b'/')
            .all(|part| !part.is_empty() && part != b"." && part != b".." && !part.contains(&0))
}

impl Manifest {
    /// The volume's manifest, if it has one that can be believed; says what is wrong with it otherwise, and
    /// why it is not held against the files if it is not.
    pub fn read(cx: &Cx<'_>, control: Option<&ControlFile>) -> Option<Self> {
        let manifest = Self::parse(cx, cx.volume)?;
        if let Some(why) = manifest.in_use_since(cx, control) {
            let place = Place::file(VolPath::new(NAME));
            let message = format!("the files are not held against it: {why}");
            cx.sink
                .report(Finding::new(&codes::MANIFEST_OUTDATED, place, message));
            return None;
        }
        if let (Some(have), Some(control)) = (manifest.head.system_identifier, control)
            && have != control.system_identifier
        {
            let place = Place::file(VolPath::new(NAME));
            let finding = Finding::new(
                &codes::MANIFEST_FOREIGN,
                place,
                "the manifest is that of another cluster's backup: nothing is held against it",
            );
            cx.sink
                .report(finding.values(have, control.system_identifier));
            return None;
        }
        Some(manifest)
    }

    /// The stretches of the log that the backup needs.
    pub fn wal_ranges(&self) -> &[WalRange] {
        &self.head.wal_ranges
    }

    /// Where the last of them ends, and the backup with it.
    pub fn end_of_log(&self) -> Option<Lsn> {
        self.head.wal_ranges.iter().map(|r| r.end).max()
    }

    fn parse(cx: &Cx<'_>, volume: &dyn Volume) -> Option<Self> {
        let path = VolPath::new(NAME);
        let place = Place::file(path.clone());
        let invalid = |message: String| {
            cx.sink.report(Finding::new(
                &codes::MANIFEST_INVALID,
                place.clone(),
                message,
            ));
        };
        let file = match volume.open(&path) {
            Ok(file) => file,
            Err(VolumeError::NotFound) => return None,
            Err(e) => {
                cx.unreadable(place, &e);
                return None;
            }
        };
        if file.len() > MANIFEST_LIMIT_BYTES {
            cx.sink.skip(path, "the manifest is too large to be read");
            invalid(format!("{} bytes: it was not read", file.len()));
            return None;
        }
        let mut files = BTreeMap::new();
        let mut memory = 0;
        let mut each = |file: ManifestFile| {
            memory += file.path.len() + file.checksum.as_ref().map_or(0, |(_, sum)| sum.len());
            memory += FILE_BYTES;
            if memory > MEMORY_BYTES {
                let number = files.len();
                return Err(format!("more files than can be remembered: over {number}"));
            }
            let path = VolPath::root().join(OsStr::from_bytes(&file.path));
            if !is_inside(&file.path) {
                return Err(format!("the path \"{path}\" leads out of the backup"));
            }
            let checksum = file.checksum.map(|(a, sum)| (a, sum.into_boxed_slice()));
            let expected = Expected {
                bytes: file.bytes,
                checksum,
            };
            match files.insert(path.clone(), expected) {
                None => Ok(()),
                Some(_) => Err(format!("the path \"{path}\" is there twice")),
            }
        };
        Counters::add(&cx.sink.counters.bytes_read, file.len());
        match manifest::read(FileReader::new(&file), &mut each) {
            Ok(head) => {
                return Some(Self {
                    head,
                    files,
                    parts: Mutex::default(),
                });
            }
            Err(ManifestError::Checksum { have, expect }) => {
                let finding = Finding::new(
                    &codes::MANIFEST_INVALID,
                    place,
                    "the manifest's own checksum is wrong: nothing is held against it",
                );
                cx.sink.report(finding.values(have, expect));
            }
            Err(ManifestError::Io(e)) => cx.unreadable(place, &e.into()),
            Err(ManifestError::Form(why)) => invalid(format!(
                "it is no manifest, and nothing is held against it: {why}"
            )),
        }
        None
    }

    /// Why the directory cannot be as it was when the backup was taken: a server was started on it.
    fn in_use_since(&self, cx: &Cx<'_>, control: Option<&ControlFile>) -> Option<String> {
        let label = VolPath::new("backup_label");
        let exists = |path| cx.volume.open(&VolPath::new(path)).is_ok();
        if !self.files.contains_key(&label) || exists("backup_label") {
            return None;
        }
        if exists("backup_label.old") {
            return Some("backup_label was used up by a start".to_owned());
        }
        let control = control?;
        let end = self.end_of_log();
        if control.check_point > end.unwrap_or(Lsn(u64::MAX)) {
            return Some(format!(
                "the last checkpoint is at {}, behind the end of the backup",
                control.check_point
            ));
        }
        let stopped = matches!(
            control.state,
            DbState::ShutDown | DbState::ShutDownInRecovery
        );
        stopped.then(|| "a server was stopped on these files".to_owned())
    }

    /// Whether the bytes of this file must be summed up in order.
    pub fn wants_in_order(&self, path: &VolPath) -> bool {
        self.algorithm(path)
            .is_some_and(|a| a != ChecksumAlgorithm::Crc32c)
    }

    fn algorithm(&self, path: &VolPath) -> Option<ChecksumAlgorithm> {
        let (algorithm, _) = self.files.get(path)?.checksum.as_ref()?;
        Some(*algorithm)
    }

    /// A sum for a stretch of a file that begins at `at`, if the manifest has one.
    pub fn begin(&self, path: &VolPath, at: u64) -> Option<Digest> {
        let algorithm = self.algorithm(path)?;
        if at > 0 && algorithm != ChecksumAlgorithm::Crc32c {
            return None;
        }
        Some(Digest {
            path: path.clone(),
            part: Part {
                at,
                bytes: 0,
                sum: Sum::new(algorithm),
            },
        })
    }

    /// Takes a sum over.
    pub fn end(&self, digest: Digest) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.entry(digest.path).or_default().push(digest.part);
    }

    /// Holds all files against the manifest, now that the relations have been scanned.
    pub fn finish(&self, cx: &Cx<'_>) {
        self.verify(cx, cx.volume);
    }

    fn verify(&self, cx: &Cx<'_>, volume: &dyn Volume) {
        // Of several backups it is said which one has the file.
        let of = if cx.volume.links().is_empty() {
            String::new()
        } else {
            format!(" of \"{}\"", volume.display_path())
        };
        self.files.par_iter().for_each(|(path, expected)| {
            if is_ignored(path) || cx.sink.observer().cancelled() {
                return;
            }
            let summed = self
                .parts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(path)
                .unwrap_or_default();
            one_file(cx, (volume, &of), path, expected, summed);
        });
        walk(volume, &VolPath::root(), MAX_DEPTH, &mut |path| {
            if !is_ignored(path) && !self.files.contains_key(path) {
                let finding = Finding::new(
                    &codes::MANIFEST_FILE_EXTRA,
                    Place::file(path.clone()),
                    "the file is there, and the manifest does not have it",
                );
                cx.sink.report(finding);
            }
        });
    }
}

/// Holds the files of each backup of a chain against that backup's own manifest, and the log against the newest
/// one's: the log of the others is not needed.
pub fn check_links(cx: &Cx<'_>, control: Option<&ControlFile>) {
    for (i, link) in cx.volume.links().into_iter().enumerate() {
        if let Some(manifest) = Manifest::parse(cx, link) {
            manifest.verify(cx, link);
            if let Some(control) = control.filter(|_| i == 0) {
                manifest_wal::check(cx, control, manifest.wal_ranges());
            }
        }
    }
}

/// One file: is it there, has it the right size, and the right content?
fn one_file(
    cx: &Cx<'_>,
    (volume, of): (&dyn Volume, &str),
    path: &VolPath,
    expected: &Expected,
    summed: Vec<Part>,
) {
    let place = || Place::file(path.clone());
    let file = match volume.open(path) {
        Ok(file) => file,
        Err(VolumeError::NotFound) => {
            let message = format!("the file{of} is not there");
            let finding = Finding::new(&codes::MANIFEST_FILE_MISSING, place(), message);
            let expect = format!("{} bytes", expected.bytes);
            return cx.sink.report(finding.values("no file", expect));
        }
        Err(e) => return cx.unreadable(place(), &e),
    };
    if file.len() != expected.bytes {
        let message = format!("the file{of} has not the size that the manifest has");
        let finding = Finding::new(&codes::MANIFEST_SIZE_MISMATCH, place(), message);
        let (have, expect) = (file.len(), expected.bytes);
        return cx
            .sink
            .report(finding.values(format!("{have} bytes"), format!("{expect} bytes")));
    }
    let Some((algorithm, expect)) = &expected.checksum else {
        return;
    };
    if cx.level < Level::Pages {
        return;
    }
    let have = match put_together(summed, &file, *algorithm) {
        Ok(have) => have,
        Err(e) => return cx.unreadable(place(), &e),
    };
    // A big-endian machine writes a CRC's bytes the other way round.
    let mut mirrored = have.clone();
    mirrored.reverse();
    let is_crc = *algorithm == ChecksumAlgorithm::Crc32c;
    if have != **expect && !(is_crc && mirrored == **expect) {
        let message = format!(
            "the content of the file{of} has not the {} that the manifest has",
            algorithm.name()
        );
        let finding = Finding::new(&codes::MANIFEST_CHECKSUM_MISMATCH, place(), message);
        cx.sink.report(finding.values(hex(&have), hex(expect)));
    }
}

/// The checksum of a file, from what was summed up, and from what has to be read for it.
fn put_together(
    mut summed: Vec<Part>,
    file: &File,
    algorithm: ChecksumAlgorithm,
) -> Result<Vec<u8>, VolumeError> {
    summed.sort_by_key(|part| part.at);
    let mut whole = Sum::new(algorithm);
    let mut end = 0;
    for part in summed {
        if part.at != end {
            continue; // a stretch before it could not be read: all behind is read again
        }
        whole = match (whole, part.sum) {
            (Sum::Crc32c(before), Sum::Crc32c(crc)) => {
                let bytes = usize::try_from(part.bytes).unwrap_or(usize::MAX);
                Sum::Crc32c(crc32c::crc32c_combine(before, crc, bytes))
            }
            (_, sum) => sum, // the only one, from the beginning
        };
        end += part.bytes;
    }
    let mut buf = vec![0; READ_BYTES];
    while end < file.len() {
        let got = file.read_at(&mut buf, end)?;
        if got == 0 {
            break; // it became shorter: the checksum will say so
        }
        whole.update(buf.get(..got).unwrap_or_default());
        end += got as u64;
    }
    Ok(whole.finish())
}

/// All files below a directory.
fn walk(volume: &dyn Volume, dir: &VolPath, depth: usize, each: &mut dyn FnMut(&VolPath)) {
    let mut below = Vec::new();
    let result = volume.list(dir, &mut |entry: Entry| {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::File { .. } => each(&path),
            EntryKind::Directory => below.push(path),
            _ => {}
        }
    });
    if result.is_err() || depth == 0 {
        return; // the audit of that directory has said so
    }
    for path in below {
        walk(volume, &path, depth - 1, each);
    }
}
