//! Is a server using this data directory right now?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A postmaster that holds the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveServer {
    /// Its process id, as this machine numbers it.
    pub pid: u32,
    /// How it was recognised.
    pub evidence: &'static str,
}

/// Looks for a live server on the data directory at `root`.
///
/// A postmaster makes the data directory its working directory (`ChangeToDataDir`, `miscinit.c`),
/// and so do its children. The process id in postmaster.pid is not proof: in a copy or a snapshot
/// it may by now belong to anybody, and inside a container it is numbered otherwise. So a process
/// counts when its working directory *is* this directory (same device and inode) and it either is a
/// PostgreSQL server by name or has the pid in the file. Where working directories cannot be read, a process with the pid,
/// the name and a start time no later than the file's is taken for it.
#[must_use]
pub fn find_live_server(
    root: &Path,
    pid_in_file: Option<i64>,
    started_in_file: Option<i64>,
) -> Option<LiveServer> {
    let own = fs::metadata(root).ok()?;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok())
        else {
            continue;
        };
        let named_in_file = pid_in_file.map(i64::unsigned_abs) == Some(u64::from(pid));
        if !named_in_file && !is_postgres(pid) {
            continue;
        }
        match fs::metadata(entry.path().join("cwd")) {
            Ok(cwd) if (cwd.dev(), cwd.ino()) == (own.dev(), own.ino()) => {
                return Some(LiveServer {
                    pid: main_process(pid, &own).unwrap_or(pid),
                    evidence: "its working directory is this data directory",
                });
            }
            Ok(_) => {}
            Err(_)
                if pid_in_file.map(i64::unsigned_abs) == Some(u64::from(pid))
                    && started_together(pid, started_in_file) =>
            {
                return Some(LiveServer {
                    pid,
                    evidence: "a server process has the pid and start time of postmaster.pid",
                });
            }
            Err(_) => {}
        }
    }
    None
}

/// Whether the process is a PostgreSQL server, by its command name.
fn is_postgres(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .is_ok_and(|c| matches!(c.trim_end(), "postgres" | "postmaster"))
}

/// The parent, if it too is a server with the same working directory: children are not the postmaster.
fn main_process(pid: u32, own: &fs::Metadata) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent: u32 = status
        .lines()
        .find_map(|l| l.strip_prefix("PPid:"))?
        .trim()
        .parse()
        .ok()?;
    let cwd = fs::metadata(format!("/proc/{parent}/cwd")).ok()?;
    (is_postgres(parent) && (cwd.dev(), cwd.ino()) == (own.dev(), own.ino())).then_some(parent)
}

/// Whether the process was already there when the pid file says the server started (the file is
/// written a moment after the start); an unknown time does not speak against it.
fn started_together(pid: u32, started_in_file: Option<i64>) -> bool {
    const SLACK_SECONDS: i64 = 60;
    let (Some(in_file), Ok(meta)) = (started_in_file, fs::metadata(format!("/proc/{pid}"))) else {
        return true;
    };
    meta.mtime() <= in_file.saturating_add(SLACK_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_only_a_shell_stands_in_is_not_held() {
        let tmp = tempfile::tempdir().unwrap();
        assert_eq!(
            find_live_server(tmp.path(), Some(i64::from(std::process::id())), None),
            None
        );
    }
}
