//! What all tests of the whole program share: running the program, clusters that are made once, and
//! copies of them that can be damaged.

mod clusters;
mod invocations;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use pgfsck_fixtures::audit::quiet;
use pgfsck_fixtures::scratch;

pub use clusters::{carried_copy, fresh, server, stopped_from, used};
pub use invocations::{forgotten, invocations};
pub use pgfsck_fixtures::recipes::{BLOCK, Ground, link_cluster};
pub use pgfsck_fixtures::{Audit, Pgfsck, Seen, Stopped};

/// The program, told nothing by the caller's environment.
pub fn pgfsck() -> Command {
    program().command()
}

/// The program.
pub fn program() -> Pgfsck {
    Pgfsck::at(env!("CARGO_BIN_EXE_pgfsck"))
}

/// Whether this process may become other users.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The program as the user `nobody`, for what is forbidden to all but root. Only root can ask for it.
pub fn pgfsck_as_nobody() -> Command {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    // The build directory may be closed to others.
    let program = COPY.get_or_init(|| {
        let copy = scratch_root().join("pgfsck");
        fs::copy(env!("CARGO_BIN_EXE_pgfsck"), &copy).expect("the program can be copied");
        copy
    });
    let mut command = quiet(Command::new(program));
    command.uid(65_534).gid(65_534).current_dir("/");
    command
}

/// The directory for all clusters of this run. It vanishes when the process ends, however it ends.
pub fn scratch_root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let dir = scratch().expect("a scratch directory").keep();
        // Statics are never dropped: a shell waits for the end of this process and tidies up.
        let janitor = Command::new("sh")
            .args([
                "-c",
                "trap '' INT TERM HUP; read -r _; chmod -R u+rwx \"$0\"; rm -rf -- \"$0\"",
            ])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        std::mem::forget(janitor);
        dir
    })
}

/// A new directory below [`scratch_root`].
pub fn new_dir(prefix: &str) -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    builder
        .prefix(prefix)
        .permissions(open)
        .tempdir_in(scratch_root())
        .expect("a directory")
}

/// Audits a data directory.
pub fn audit(data: &Path) -> Audit {
    audit_with(data, &[])
}

/// Audits a data directory with more arguments.
pub fn audit_with(data: &Path, args: &[&str]) -> Audit {
    program().audit(data, args).expect("the program runs")
}

/// Audits a data directory by a command that runs the program.
pub fn audit_by(mut command: Command, data: &Path, args: &[&str]) -> Audit {
    command
        .args(["audit", "--format", "json"])
        .args(args)
        .arg(data);
    report_of(command.output().expect("the program runs"))
}

/// Reads the output of a run with `--format json`.
pub fn report_of(output: Output) -> Audit {
    Audit::read(output).expect("a report")
}

/// A copy of a cluster to be damaged.
pub fn ground(base: &Stopped) -> Ground<'_> {
    Ground::new(base, new_dir("ground-"), program())
}
