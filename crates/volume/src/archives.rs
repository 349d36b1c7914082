//! A backup in tar format: one archive, or `base.tar` with those of its tablespaces and its log.
//!
//! `pg_basebackup -Ft` writes `base.tar`, `<OID>.tar` for each tablespace, `pg_wal.tar` (10+), each compressed
//! or not, and `backup_manifest` (13+) beside them. Other programs write one archive, with the data directory
//! at its top or below other directories.
//!
//! An archive that is not compressed is read in place. A compressed one is decoded once (`spool.rs`).

use crate::decoder::{Compression, Decoder};
use crate::directory::open_quietly;
use crate::spool::{Spool, SpoolError, SpoolLimits};
use crate::tar::{TarEntry, TarKind, walk};
use crate::throttle::{Throttle, Throttled};
use crate::tree::{Added, Content, Node, Tree};
use crate::{Defect, DefectKind, Entry, File, OpenOptions, ReadAt, VolPath, Volume, VolumeError};
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Names in all archives of one backup: more than three files for each of a million relations.
const MAX_NAMES: usize = 1 << 23;
/// What these names, links and maps of sparse files may take, in bytes.
const MAX_NAME_BYTES: usize = 1 << 29;
/// Defects of one kind that are kept.
const MAX_DEFECTS: usize = 1000;
/// How many bytes of content a compressed byte can honestly stand for, and what is allowed on top: a new
/// table's zeros take a thousandth of their size in any of the formats.
const MAX_RATIO: u64 = 1100;
const RATIO_GRACE_BYTES: u64 = 1 << 30;
/// The same for what holes and second names of files promise beyond an archive's bytes: segments of the log that
/// nobody has written to are the largest holes that an honest data directory has.
const MAX_PROMISED_RATIO: u64 = 16;
/// Bytes of compressed input that are read at a time.
const INPUT_BYTES: usize = 1 << 20;

/// One archive of a backup.
#[derive(Debug, Clone)]
pub struct Member {
    /// Where it is; `None` for the standard input.
    pub path: Option<PathBuf>,
    /// Where its entries belong in the data directory.
    pub mount: VolPath,
}

/// A backup in tar format.
pub struct Archives {
    display: String,
    tree: Tree,
    /// Files beside the archives that belong to the data directory's top.
    beside: Vec<(VolPath, PathBuf)>,
    defects: Vec<Defect>,
}

/// The bytes of an archive that was opened.
struct Source {
    name: String,
    bytes: u64,
    content: Arc<dyn ReadAt>,
    problem: Option<SpoolError>,
}

impl Archives {
    /// Reads the headers of all archives.
    ///
    /// # Errors
    /// If one cannot be opened at all, or is no archive.
    pub fn open(
        display: String,
        members: &[Member],
        beside: Vec<(VolPath, PathBuf)>,
        options: &OpenOptions<'_>,
    ) -> Result<Self, VolumeError> {
        let temp_left = AtomicU64::new(options.temp_limit_bytes);
        let sources: Vec<Result<Source, VolumeError>> = thread::scope(|scope| {
            let started: Vec<_> = members
                .iter()
                .map(|member| scope.spawn(|| source(member, options, &temp_left)))
                .collect();
            let join = |t: thread::ScopedJoinHandle<'_, _>| {
                t.join().unwrap_or_else(|_| {
                    Err(VolumeError::from(io::Error::other("the decoder panicked")))
                })
            };
            started.into_iter().map(join).collect()
        });
        let mut set = Self {
            display,
            tree: Tree::default(),
            beside,
            defects: Vec::new(),
        };
        for (member, source) in members.iter().zip(sources) {
            set.index(&member.mount, source?);
        }
        Ok(set)
    }

    /// An archive that is not compressed, in memory.
    #[must_use]
    pub fn of_content(name: &str, content: Vec<u8>) -> Self {
        let mut set = Self {
            display: name.to_owned(),
            tree: Tree::default(),
            beside: Vec::new(),
            defects: Vec::new(),
        };
        let source = Source {
            name: name.to_owned(),
            bytes: content.len() as u64,
            content: Arc::new(content),
            problem: None,
        };
        set.index(&VolPath::root(), source);
        set
    }

    /// Takes the names of one archive.
    fn index(&mut self, mount: &VolPath, source: Source) {
        let archive = self.tree.add_archive(source.content.clone());
        let in_archive = |at, kind, message| Defect {
            path: VolPath::from(source.name.clone()),
            offset: Some(at),
            kind,
            message,
        };
        if mount.components().next().is_some() {
            // What stands there is a link to where the tablespace was.
            self.tree.add(mount.clone(), Node::Directory);
        }
        let mut defects = Vec::new();
        let tree = &mut self.tree;
        // What holes and second names promise beyond the bytes that are there.
        let mut promised = 0_u64;
        let mut memory = 0_usize;
        let honest = source.bytes.saturating_mul(MAX_PROMISED_RATIO);
        let honest = honest.saturating_add(RATIO_GRACE_BYTES);
        let mut found = Vec::new();
        walk(
            source.content.as_ref(),
            source.bytes,
            &mut |entry| {
                let at = entry.header_at;
                let name = String::from_utf8_lossy(&entry.name).into_owned();
                let mut defect = |kind, what: &str| {
                    let message = format!("entry \"{}\" {what}", VolPath::from(name.clone()));
                    if defects.len() < MAX_DEFECTS {
                        defects.push(in_archive(at, kind, message));
                    }
                };
                if tree.len() >= MAX_NAMES || memory > MAX_NAME_BYTES {
                    defect(DefectKind::Limit, "and all that follow are too many");
                    return false;
                }
                let Some(path) = inside(mount, &entry.name) else {
                    defect(DefectKind::Name, "leads out of the archive: left out");
                    return true;
                };
                if path == *mount || path == VolPath::root() {
                    return true; // the top itself
                }
                let is_again = matches!(entry.kind, TarKind::HardLink(_));
                let Some(node) = node(tree, mount, archive, entry) else {
                    defect(
                        DefectKind::Name,
                        "is another name for one that is not there",
                    );
                    return true;
                };
                if let Some(bytes) = node.promises(is_again) {
                    promised = promised.saturating_add(bytes);
                    if promised > honest {
                        defect(
                            DefectKind::Limit,
                            "has more content than the archive can honestly hold: left out",
                        );
                        return true;
                    }
                }
                memory += path.as_bytes().len() + node.memory();
                if tree.add(path, node) == Added::Again {
                    defect(
                        DefectKind::Name,
                        "is there more than once: the last one counts, as when it is unpacked",
                    );
                }
                true
            },
            &mut |d| {
                let kind = if d.loses {
                    DefectKind::Damaged
                } else {
                    DefectKind::Name
                };
                // What a broken stream lost is said by its own error.
                if source.problem.is_none() {
                    found.push(in_archive(d.at, kind, d.what));
                }
            },
        );
        found.truncate(MAX_DEFECTS);
        defects.append(&mut found);
        if let Some(problem) = &source.problem {
            let (kind, message) = match problem {
                SpoolError::Stream(e) => {
                    (DefectKind::Damaged, format!("the stream is damaged: {e}"))
                }
                SpoolError::Temporary(e) => (
                    DefectKind::Limit,
                    format!("the temporary space cannot be written: {e}"),
                ),
                SpoolError::Limit(what) => {
                    (DefectKind::Limit, format!("not read to its end: {what}"))
                }
            };
            let message = format!("{message}; content was read up to byte {}", source.bytes);
            defects.push(in_archive(source.bytes, kind, message));
        }
        self.defects.append(&mut defects);
    }

    /// The directories in which a data directory's marks lie.
    #[must_use]
    pub fn tops(&self) -> Vec<VolPath> {
        let marks: [&[u8]; 2] = [b"global/pg_control", b"PG_VERSION"];
        let mut tops: BTreeSet<VolPath> = BTreeSet::new();
        for mark in marks {
            for path in self.tree.files() {
                let Some(top) = path.as_bytes().strip_suffix(mark) else {
                    continue;
                };
                let top = match top {
                    [] => VolPath::root(),
                    [top @ .., b'/'] => VolPath::root().join(OsStr::from_bytes(top)),
                    _ => continue,
                };
                // Each database directory has a PG_VERSION of its own.
                if mark.starts_with(b"global") || self.is_top(&top) {
                    tops.insert(top);
                }
            }
            if !tops.is_empty() {
                break;
            }
        }
        tops.into_iter().collect()
    }

    fn is_top(&self, top: &VolPath) -> bool {
        ["base", "global"]
            .iter()
            .any(|name| matches!(self.tree.get(&top.join(name)), Some(Node::Directory)))
    }

    /// Takes the directory as the data directory.
    pub fn descend(&mut self, top: &VolPath) {
        let elsewhere = self.tree.descend(top);
        if elsewhere > 0 {
            let message = format!("{elsewhere} entries lie beside the data directory \"{top}\"");
            self.defects.push(Defect {
                path: VolPath::root(),
                offset: Some(0),
                kind: DefectKind::Name,
                message,
            });
        }
    }

    /// Whether there is anything at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.len() == 0
    }
}

/// The path of an entry's name; `None` if it would lead out.
fn inside(mount: &VolPath, name: &[u8]) -> Option<VolPath> {
    let mut path = mount.clone();
    for part in name.split(|&c| c == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => path = path.join(OsStr::from_bytes(part)),
        }
    }
    Some(path)
}

/// What an entry is in the tree; `None` for another name of what is not there.
fn node(tree: &Tree, mount: &VolPath, archive: usize, entry: TarEntry) -> Option<Node> {
    let (bytes, modified) = (entry.bytes, entry.modified);
    let file = |content| Node::File {
        archive,
        content,
        bytes,
        modified,
    };
    Some(match entry.kind {
        TarKind::File { at } => file(Content::At(at)),
        TarKind::Sparse(map) => file(Content::Sparse(map.into())),
        TarKind::Directory => Node::Directory,
        TarKind::Link(target) => Node::Link(target),
        TarKind::Special(what) => Node::Special(what),
        TarKind::HardLink(target) => tree.get(&inside(mount, &target)?)?.clone(),
    })
}

/// Counts what is read of a compressed archive.
struct Counted<'a, R> {
    inner: R,
    bytes: &'a AtomicU64,
    throttle: Option<&'a Throttle>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
        if let Some(throttle) = self.throttle {
            throttle.pay(n);
        }
        Ok(n)
    }
}

/// Opens one archive, decoding it if it must be.
fn source(
    member: &Member,
    options: &OpenOptions<'_>,
    temp_left: &AtomicU64,
) -> Result<Source, VolumeError> {
    let Some(path) = &member.path else {
        return spooled("-".to_owned(), io::stdin(), options, temp_left);
    };
    let name = path.file_name().unwrap_or_default();
    let name = VolPath::root().join(name).to_string();
    let file = open_file(path)?;
    let mut head = [0; 4];
    let got = ReadAt::read_at(&file, &mut head, 0)?;
    if Compression::of_magic(head.get(..got).unwrap_or_default()).is_some() {
        return spooled(name, file, options, temp_left);
    }
    let bytes = file.metadata()?.len();
    let content: Arc<dyn ReadAt> = match options.throttle.clone() {
        None => Arc::new(file),
        Some(throttle) => Arc::new(Throttled {
            source: file,
            throttle,
        }),
    };
    Ok(Source {
        name,
        bytes,
        content,
        problem: None,
    })
}

/// A regular file that the user named; its access time stays.
pub(crate) fn open_file(path: &Path) -> Result<fs::File, VolumeError> {
    let real = fs::canonicalize(path)?;
    let file = fs::File::from(open_quietly(&real, OFlags::RDONLY | OFlags::NONBLOCK)?);
    if !file.metadata()?.is_file() {
        return Err(VolumeError::WrongKind {
            found: "special file",
            wanted: "file",
        });
    }
    Ok(file)
}

/// Reads a stream into temporary space, decoding it if it is compressed.
fn spooled(
    name: String,
    input: impl Read + Send,
    options: &OpenOptions<'_>,
    temp_left: &AtomicU64,
) -> Result<Source, VolumeError> {
    let read = AtomicU64::new(0);
    let counted = Counted {
        inner: input,
        bytes: &read,
        throttle: options.throttle.as_deref(),
    };
    let mut input = BufReader::with_capacity(INPUT_BYTES, counted);
    let compression = Compression::of_magic(io::BufRead::fill_buf(&mut input)?);
    (options.announce)(&format!(
        "\"{name}\" is {} temporary space below \"{}\", at most {} MB",
        match compression {
            Some(c) => format!("decoded ({c}) once, into memory and"),
            None => "read once, into memory and".to_owned(),
        },
        VolPath::root().join(options.temp_dir.as_os_str()),
        options.temp_limit_bytes >> 20,
    ));
    let allowed = || {
        let ratio = if compression.is_some() { MAX_RATIO } else { 1 };
        let read = read.load(Ordering::Relaxed);
        read.saturating_mul(ratio).saturating_add(RATIO_GRACE_BYTES)
    };
    let limits = SpoolLimits {
        temp_dir: &options.temp_dir,
        temp_left,
        content_bytes: &allowed,
    };
    let (spool, result) = match compression {
        Some(compression) => Spool::fill(&mut Decoder::new(compression, input), &limits),
        None => Spool::fill(&mut input, &limits),
    };
    Ok(Source {
        name,
        bytes: spool.len(),
        content: Arc::new(spool),
        problem: result.err(),
    })
}

impl Volume for Archives {
    fn display_path(&self) -> String {
        VolPath::from(self.display.clone()).to_string()
    }

    fn kind(&self) -> &'static str {
        "tar"
    }

    fn defects(&self) -> &[Defect] {
        &self.defects
    }

    fn list(&self, dir: &VolPath, each: &mut dyn FnMut(Entry)) -> Result<(), VolumeError> {
        self.tree.list(dir, each)?;
        if *dir == VolPath::root() {
            for (name, path) in &self.beside {
                let Ok(meta) = fs::metadata(path) else {
                    continue;
                };
                each(Entry {
                    name: OsStr::from_bytes(name.as_bytes()).to_os_string(),
                    kind: crate::EntryKind::File {
                        bytes: meta.len(),
                        modified: meta.modified().ok(),
                    },
                    link: None,
                });
            }
        }
        Ok(())
    }

    fn open(&self, path: &VolPath) -> Result<File, VolumeError> {
        if let Some((_, real)) = self.beside.iter().find(|(name, _)| name == path) {
            let file = open_file(real)?;
            let meta = file.metadata()?;
            return Ok(File::whole(file, meta.len(), meta.modified().ok()));
        }
        self.tree.open(path)
    }
}
