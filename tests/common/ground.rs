//! A copy of a cluster to be damaged.
//!
//! The copy shares its files with the original by hard links, so that it costs nothing; a file is
//! copied for good when it is about to be changed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use pgfsck_fixtures::{Damager, Relation, workload};
use pgfsck_format::checksum::page_checksum;
use pgfsck_format::{BlockNumber, ByteOrder};
use tempfile::TempDir;

use super::{Audit, Seen, Stopped, audit, new_dir};

/// The block size of all servers that can be had.
pub const BLOCK: u64 = 8192;

/// Where `pd_checksum` lies in a page.
const PD_CHECKSUM: std::ops::Range<usize> = 8..10;

/// A copy of a cluster, what was done to it, and what the audit must say.
pub struct Ground {
    /// Removed with everything in it when the test is done.
    dir: TempDir,
    pub data: PathBuf,
    pub base: &'static Stopped,
    damager: Damager,
    expected: Vec<Seen>,
    consequences: Vec<(&'static str, String)>,
    exit: Option<i32>,
}

/// Copies a data directory to `to/data` and its tablespaces to `to/tablespaces/OID`, by hard links.
pub fn link_cluster(data: &Path, to: &Path) -> PathBuf {
    let copy = to.join("data");
    link_dir(data, &copy);
    fs::create_dir(to.join("tablespaces")).expect("a directory");
    for entry in fs::read_dir(data.join("pg_tblspc")).expect("pg_tblspc") {
        let link = entry.expect("an entry");
        let Ok(target) = link.path().canonicalize() else {
            continue;
        };
        let moved = to.join("tablespaces").join(link.file_name());
        link_dir(&target, &moved);
        let copied = copy.join("pg_tblspc").join(link.file_name());
        fs::remove_file(&copied).expect("the link");
        symlink(&moved, &copied).expect("a link");
    }
    copy
}

fn link_dir(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    fs::set_permissions(to, fs::metadata(from).expect("it is there").permissions())
        .expect("its mode");
    for entry in fs::read_dir(from).expect("a listing") {
        let entry = entry.expect("an entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            link_dir(&source, &target);
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source).expect("a target"), &target).expect("a link");
        } else {
            fs::hard_link(&source, &target).expect("a hard link");
        }
    }
}

impl Ground {
    pub fn new(base: &'static Stopped) -> Ground {
        let dir = new_dir("ground-");
        let data = link_cluster(&base.data, dir.path());
        Ground {
            damager: Damager::new(&data),
            dir,
            data,
            base,
            expected: Vec::new(),
            consequences: Vec::new(),
            exit: None,
        }
    }

    /// The directory that holds the data directory as `data`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The absolute path of a path within the data directory.
    pub fn at(&self, path: &str) -> PathBuf {
        self.data.join(path)
    }

    /// Makes a file this copy's own, and lets it be damaged.
    pub fn damage(&mut self, path: &str) -> &mut Damager {
        self.own(path, u64::MAX);
        &mut self.damager
    }

    /// Replaces a file that is shared with the original by a copy of its first bytes.
    fn own(&self, path: &str, length_bytes: u64) {
        let full = self.at(path);
        let aside = full.with_extension("aside");
        let mut head = File::open(&full)
            .unwrap_or_else(|e| panic!("{path}: {e}"))
            .take(length_bytes);
        let mut copy = File::create(&aside).expect("a file");
        io::copy(&mut head, &mut copy).expect("a copy");
        fs::rename(&aside, &full).expect("a rename");
    }

    /// Cuts a file.
    pub fn cut(&mut self, path: &str, length_bytes: u64) {
        assert!(
            length_bytes < self.bytes(path),
            "{path} is that short already"
        );
        self.own(path, length_bytes);
    }

    /// Removes a file.
    pub fn remove(&mut self, path: &str) {
        self.damager.remove_file(path).expect("removed");
    }

    /// Removes a directory.
    pub fn remove_dir(&mut self, path: &str) {
        self.damager.remove_dir(path).expect("removed");
    }

    /// Exchanges two files.
    pub fn swap(&mut self, one: &str, other: &str) {
        self.damager.swap_files(one, other).expect("exchanged");
    }

    /// Adds a file.
    pub fn add(&mut self, path: &str, content: &[u8]) {
        self.damager.add_file(path, content).expect("added");
    }

    /// Copies a file of this cluster to a new place in it.
    pub fn duplicate(&mut self, path: &str, to: &str) {
        assert!(!self.at(to).exists(), "{to} is there already");
        fs::hard_link(self.at(path), self.at(to)).expect("a hard link");
    }

    /// The content of a file.
    pub fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.at(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Gives a file other content.
    pub fn write(&mut self, path: &str, content: &[u8]) {
        self.own(path, 0);
        fs::write(self.at(path), content).expect("written");
    }

    /// The size of a file.
    pub fn bytes(&self, path: &str) -> u64 {
        fs::metadata(self.at(path))
            .unwrap_or_else(|e| panic!("{path}: {e}"))
            .len()
    }

    /// How many blocks a file has.
    pub fn blocks(&self, path: &str) -> u64 {
        self.bytes(path) / BLOCK
    }

    /// Fills a block of the file with zeros.
    pub fn zero_block(&mut self, path: &str, block: u64) {
        self.damage(path)
            .zero_block(path, block, BLOCK)
            .expect("zeroed");
    }

    /// Inverts bits of one byte.
    pub fn flip(&mut self, path: &str, offset: u64, mask: u8) {
        self.damage(path)
            .flip_byte(path, offset, mask)
            .expect("flipped");
    }

    /// One block of a file.
    pub fn page(&self, path: &str, block: u64) -> Vec<u8> {
        self.damager
            .read(path, block * BLOCK, BLOCK as usize)
            .expect("a page")
    }

    /// Changes one block of a first segment file and gives it the checksum that goes with its new
    /// content: damage that a server, or bad memory, wrote.
    pub fn edit_page(&mut self, path: &str, block: u64, edit: impl FnOnce(&mut [u8])) {
        let mut page = self.page(path, block);
        edit(&mut page);
        let number = BlockNumber(u32::try_from(block).expect("a block number"));
        let checksum = page_checksum(&page, number, ByteOrder::Little);
        page[PD_CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        self.damage(path)
            .overwrite(path, block * BLOCK, &page)
            .expect("written");
    }

    /// The relation of this schema and name in the database that has it: the probe's are in
    /// `postgres`, all others, catalogs too, in `used`.
    pub fn relation(&self, schema: &str, name: &str) -> &'static Relation {
        let database = if schema == "probe" {
            "postgres"
        } else {
            workload::DATABASE
        };
        self.relation_in(database, schema, name)
    }

    /// The relation of this schema and name in a database.
    pub fn relation_in(&self, database: &str, schema: &str, name: &str) -> &'static Relation {
        let mut relations = self.base.truth.relations.iter();
        let found = relations.find(|r| {
            r.database.name.as_deref() == Some(database) && r.schema == schema && r.name == name
        });
        found.unwrap_or_else(|| panic!("{database} has no {schema}.{name}"))
    }

    /// The path of a relation of the probe.
    pub fn probe(&self, name: &str) -> String {
        self.relation("probe", name).path.clone()
    }

    /// The path of a relation's TOAST table.
    pub fn toast_of(&self, schema: &str, name: &str) -> &'static Relation {
        let table = self.relation(schema, name);
        let mut relations = self.base.truth.relations.iter();
        let toast =
            relations.find(|r| Some(r.oid) == table.toast_oid && r.database == table.database);
        toast.expect("a TOAST table")
    }

    /// The directory of a database.
    pub fn database_dir(&self, name: &str) -> String {
        let rows = &self.base.truth.databases;
        let row = rows
            .iter()
            .find(|row| row["datname"] == name)
            .expect("a database");
        format!("base/{}", row["oid"])
    }

    /// The audit must report this as an error.
    pub fn expect(&mut self, code: &str, path: &str, block: Option<u64>) {
        self.expect_as("error", code, path, block);
    }

    /// The audit must report this.
    pub fn expect_as(&mut self, severity: &str, code: &str, path: &str, block: Option<u64>) {
        self.expected.push(Seen {
            severity: severity.to_owned(),
            code: code.to_owned(),
            path: path.to_owned(),
            block,
        });
    }

    /// The audit may report this code at this path too, any number of times, because it follows
    /// from the damage. Each caller says why.
    pub fn may(&mut self, code: &'static str, path: &str) {
        self.consequences.push((code, path.to_owned()));
    }

    /// Another exit code than 1 for an error and 0 without one.
    pub fn exit(&mut self, code: i32) {
        self.exit = Some(code);
    }

    /// Audits the copy.
    pub fn audit(&self) -> Audit {
        audit(&self.data)
    }

    /// Audits the copy: everything that is expected, and nothing else, is an error or a warning
    /// (a note, if one is expected).
    pub fn verdict(&self) -> Result<Audit, String> {
        let audit = self.audit();
        let mut left: Vec<Seen> = audit.problems();
        left.extend(audit.notes());
        let mut missing = Vec::new();
        for expected in &self.expected {
            match left.iter().position(|seen| seen == expected) {
                Some(at) => drop(left.remove(at)),
                None => missing.push(expected),
            }
        }
        left.retain(|seen| {
            seen.severity != "note"
                && !self
                    .consequences
                    .iter()
                    .any(|(code, path)| seen.code == *code && seen.path == *path)
        });
        let has_error = audit.report["summary"]["error"] != 0;
        let exit = self.exit.unwrap_or(i32::from(has_error));
        if missing.is_empty() && left.is_empty() && audit.exit == Some(exit) {
            return Ok(audit);
        }
        Err(format!(
            "missing {missing:?}; too much {:?}; exit {:?}, expected {exit}; skipped {:?}\n  {}",
            &left[..left.len().min(20)],
            audit.exit,
            &audit.skipped()[..audit.skipped().len().min(5)],
            audit.explain(),
        ))
    }
}
