//! Where nothing is ever written: what is being examined.

use crate::args::DataDir;
use anyhow::{Context, bail};
use pgfsck_volume::{Directory, EntryKind, VolPath, Volume};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Directories and archives that are being examined, with all links resolved.
pub struct Kept(Vec<PathBuf>);

impl Kept {
    /// The archives of the log, the backups of a chain, and where tablespaces were moved to.
    pub fn new(archives: &[Directory], data: &DataDir) -> Self {
        let mut out: Vec<PathBuf> = archives
            .iter()
            .filter_map(Volume::root)
            .map(Path::to_path_buf)
            .collect();
        let mapped = data.tablespace_mapping.iter().map(|m| &m.new);
        out.extend(
            mapped
                .chain(&data.chain)
                .filter_map(|p| fs::canonicalize(p).ok()),
        );
        Self(out)
    }

    /// A data directory, and where its links lead; or an archive.
    pub fn add(&mut self, volume: &dyn Volume) {
        let Some(root) = volume.root() else {
            self.0.extend(fs::canonicalize(volume.display_path()).ok());
            for link in volume.links() {
                self.add(link);
            }
            return;
        };
        self.0.push(root.to_path_buf());
        for dir in [VolPath::root(), VolPath::new("pg_tblspc")] {
            // What cannot be listed has no links that could be followed.
            let _ = volume.list(&dir, &mut |entry| {
                if entry.link.is_some() && entry.kind == EntryKind::Directory {
                    let path = dir.join(&entry.name).below(root);
                    self.0.extend(fs::canonicalize(path));
                }
                if let Some(link) = entry.link.filter(|l| l.as_bytes().starts_with(b"/")) {
                    self.0.extend(fs::canonicalize(link));
                }
            });
        }
    }

    /// Fails if the file would lie in what is being examined, or is it.
    pub fn refuse(&self, file: &Path) -> anyhow::Result<()> {
        let parent = match file.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let real = fs::canonicalize(parent)
            .with_context(|| format!("could not write \"{}\"", file.display()))?;
        // A link in another place would be followed into it.
        let itself = fs::canonicalize(file)
            .unwrap_or_else(|_| real.join(file.file_name().unwrap_or_default()));
        for kept in &self.0 {
            if real.starts_with(kept) || itself.starts_with(kept) {
                bail!(
                    "\"{}\" would lie in \"{}\", where nothing is ever written",
                    file.display(),
                    kept.display()
                );
            }
        }
        Ok(())
    }
}
