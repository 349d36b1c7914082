//! One file per command.

pub mod audit;
pub mod completions;
pub mod control;
pub mod explain;
mod kept;
pub mod locate;
pub mod man;
pub mod page;
pub mod relations;
pub mod relmap;
mod sizes;
pub mod wal;
pub mod xid;

use crate::args::{DataDir, WalArchives};
use crate::output::complain;
use anyhow::{Context, anyhow};
use kept::Kept;
use pgfsck_format::ClusterFormat;
use pgfsck_format::control::{ControlFile, Recognised};
use pgfsck_volume::{Directory, VolPath, Volume, VolumeError, backup_label};
use std::path::{Path, PathBuf};

/// The data directory that was named: as an argument, by -D, or by PGDATA.
fn data_directory(data: &DataDir, positional: Option<&Path>) -> anyhow::Result<PathBuf> {
    positional
        .map(Path::to_path_buf)
        .or_else(|| data.pgdata.clone())
        .ok_or_else(|| anyhow!("no data directory specified (name it, use -D, or set PGDATA)"))
}

/// Opens it, and says so if it lies one level below.
fn open(data: &DataDir, positional: Option<&Path>) -> anyhow::Result<Box<dyn Volume>> {
    let path = data_directory(data, positional)?;
    let opened = pgfsck_volume::open(&path, &data.open_options())?;
    if let Some(below) = opened.below {
        complain(&format!(
            "note: the data directory is \"{}\"",
            below.to_string_lossy()
        ));
    }
    Ok(opened.volume)
}

/// Opens the archives that were named.
fn open_archives(archives: &WalArchives, data: &DataDir) -> anyhow::Result<Vec<Directory>> {
    let open = |path: &PathBuf| {
        Directory::new(path, Vec::new())
            .map(|directory| directory.throttled(data.max_rate.clone()))
            .with_context(|| format!("could not open \"{}\"", path.display()))
    };
    archives.wal.iter().map(open).collect()
}

/// The first `limit` bytes of a single file, read as quietly as those of a data directory: its access
/// time stays.
fn read_file(path: &Path, limit: usize) -> anyhow::Result<Vec<u8>> {
    let read = || {
        // The user named it, so a link is followed.
        let real = std::fs::canonicalize(path)?;
        let parent = real.parent().unwrap_or(Path::new("/"));
        let name = real.file_name().unwrap_or_default();
        let mut bytes = vec![0; limit];
        let length = Directory::new(parent, Vec::new())?
            .open(&VolPath::root().join(name))?
            .read_at(&mut bytes, 0)?;
        bytes.truncate(length);
        Ok::<_, VolumeError>(bytes)
    };
    read().with_context(|| format!("could not open \"{}\"", path.display()))
}

/// Reads pg_control for commands that cannot do without it.
fn read_control(volume: &dyn Volume) -> anyhow::Result<(Recognised, ClusterFormat)> {
    let bytes = volume
        .read_small(&VolPath::new("global/pg_control"), 1 << 16)
        .context("could not read pg_control")?;
    let recognised = ControlFile::decode(&bytes).context("could not decode pg_control")?;
    if !recognised.crc.matches() {
        complain(
            "warning: the CRC of pg_control is not that of its content; what follows rests on it",
        );
    }
    let fmt = recognised.control.cluster_format().map_err(|problems| {
        let all: Vec<String> = problems
            .iter()
            .map(|p| format!("{} is {}", p.field, p.have))
            .collect();
        anyhow!("pg_control does not describe a cluster: {}", all.join(", "))
    })?;
    Ok((recognised, fmt))
}

/// Whether nothing of what counts is only in the write-ahead log.
fn was_stopped_cleanly(volume: &dyn Volume, control: &ControlFile) -> bool {
    control.state == pgfsck_format::control::DbState::ShutDown && backup_label(volume).is_none()
}

/// The catalog as the server would see it after its next start.
fn load_catalog(volume: &dyn Volume) -> anyhow::Result<pgfsck_catalog::ClusterCatalog> {
    let (recognised, fmt) = read_control(volume)?;
    let control = &recognised.control;
    let clean = was_stopped_cleanly(volume, control);
    if !clean {
        complain(
            "note: the cluster was not stopped cleanly; rows that rest on the write-ahead log are as the files have them",
        );
    }
    let mut stop = pgfsck_catalog::Stop::new(&control.check_point_copy, clean);
    if let Some(label) = backup_label(volume) {
        stop.settled_before = label.start;
    }
    let catalog = pgfsck_catalog::ClusterCatalog::load(volume, fmt, control.catalog_version, stop);
    Ok(catalog)
}
