//! What all tests of the whole program share: running the program, clusters that are made once, and
//! copies of them that can be damaged.

mod clusters;
mod ground;

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use pgfsck_fixtures::scratch;
use serde_json::Value;

pub use clusters::{Stopped, carried_copy, fresh, server, stopped_from, used};
pub use ground::{BLOCK, Ground, link_cluster};

/// The program, told nothing by the caller's environment.
pub fn pgfsck() -> Command {
    quiet(Command::new(env!("CARGO_BIN_EXE_pgfsck")))
}

fn quiet(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(&name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
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

/// A finding as far as tests look at it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub severity: String,
    pub code: String,
    pub path: String,
    pub block: Option<u64>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.severity, self.code, self.path)?;
        self.block
            .map_or(Ok(()), |block| write!(f, " block {block}"))
    }
}

/// One run of `pgfsck audit --format json`.
pub struct Audit {
    pub exit: Option<i32>,
    pub report: Value,
    pub stderr: String,
}

/// Audits a data directory.
pub fn audit(data: &Path) -> Audit {
    audit_with(data, &[])
}

/// Audits a data directory with more arguments.
pub fn audit_with(data: &Path, args: &[&str]) -> Audit {
    audit_by(pgfsck(), data, args)
}

/// Audits a data directory by a command that runs the program.
pub fn audit_by(mut command: Command, data: &Path, args: &[&str]) -> Audit {
    command
        .args(["audit", "--format", "json"])
        .args(args)
        .arg(data);
    Audit::of(command.output().expect("the program runs"))
}

impl Audit {
    /// Reads the output of a run with `--format json`.
    pub fn of(output: Output) -> Audit {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("no JSON ({e}), {}; stderr: {stderr}", output.status));
        Audit {
            exit: output.status.code(),
            report,
            stderr,
        }
    }

    /// All findings.
    pub fn findings(&self) -> &[Value] {
        self.report["findings"]
            .as_array()
            .expect("an array of findings")
    }

    fn seen(&self, wanted: impl Fn(&str) -> bool) -> Vec<Seen> {
        let text =
            |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        let mut seen: Vec<Seen> = self
            .findings()
            .iter()
            .map(|finding| Seen {
                severity: text(finding, "severity"),
                code: text(finding, "code"),
                path: text(finding, "path"),
                block: finding["block"].as_u64(),
            })
            .filter(|seen| wanted(&seen.severity))
            .collect();
        seen.sort();
        seen
    }

    /// Errors and warnings.
    pub fn problems(&self) -> Vec<Seen> {
        self.seen(|severity| severity != "note")
    }

    /// Notes.
    pub fn notes(&self) -> Vec<Seen> {
        self.seen(|severity| severity == "note")
    }

    /// How many findings have this code.
    pub fn count(&self, code: &str) -> u64 {
        self.report["summary"]["by_code"][code]
            .as_u64()
            .unwrap_or(0)
    }

    /// A number of the coverage, such as `/files/seen`.
    pub fn coverage(&self, pointer: &str) -> u64 {
        let number = self.report["coverage"]
            .pointer(pointer)
            .and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("no number at {pointer}"))
    }

    /// What was not examined.
    pub fn skipped(&self) -> &[Value] {
        self.report["coverage"]["skipped"]
            .as_array()
            .expect("an array of skips")
    }

    /// Neither an error nor a warning nor a skip, and exit code 0.
    #[track_caller]
    pub fn assert_clean(&self, what: &str) {
        assert!(self.problems().is_empty(), "{what}: {}", self.explain());
        assert!(self.skipped().is_empty(), "{what}: {:#?}", self.skipped());
        assert_eq!(self.exit, Some(0), "{what}: {}", self.stderr);
        assert_eq!(self.report["verdict"], "clean", "{what}");
        assert_eq!(self.report["exit_code"], 0, "{what}");
        assert_eq!(
            self.coverage("/files/seen"),
            self.coverage("/files/examined") + self.coverage("/files/skipped"),
            "{what}: every file is accounted for"
        );
        assert_eq!(
            self.coverage("/blocks/seen"),
            self.coverage("/blocks/examined"),
            "{what}"
        );
    }

    /// The first findings, the worst before the others, each on a line, for messages.
    pub fn explain(&self) -> String {
        let mut findings: Vec<&Value> = self.findings().iter().collect();
        findings.sort_by_key(|finding| match finding["severity"].as_str() {
            Some("error") => 0,
            Some("warning") => 1,
            _ => 2,
        });
        let mut out = String::new();
        for finding in findings.into_iter().take(12) {
            let field = |name: &str| match &finding[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            out += &format!(
                "\n  {} {} {} block {} item {}: {} (have {}, expect {}; {})",
                field("severity"),
                field("code"),
                field("path"),
                field("block"),
                field("item"),
                field("message"),
                field("have"),
                field("expect"),
                finding["relation"]["name"],
            );
        }
        format!(
            "{} findings, exit {:?}{out}",
            self.findings().len(),
            self.exit
        )
    }
}
