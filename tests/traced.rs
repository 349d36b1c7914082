//! What every command asks of the system, traced: nothing below the target is opened but for reading, nothing is
//! mapped, nothing elsewhere is written but what the user asked for, no program is started, no socket is opened.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgfsck_fixtures::{Stop, audit::quiet, copy_cluster, sample};

use crate::common::{forgotten, fresh, invocations, new_dir, server};

/// Calls that touch no file's name, content or state, and are made by the thousand.
const UNINTERESTING: &str = "!futex,sched_yield,madvise,munmap,mprotect,brk,rt_sigaction,rt_sigprocmask,\
                             clock_nanosleep,read,pread64,close,lseek,fstat";

/// Calls that may name what lies below the target.
const LOOKS: [&str; 17] = [
    "open",
    "openat",
    "access",
    "faccessat",
    "faccessat2",
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "fstatfs",
    "statfs",
    "readlink",
    "readlinkat",
    "getdents64",
    "fcntl",
    "fadvise64",
    "execve",
];

/// Calls that change what is on a disk, by their names' beginnings.
const CHANGES: [&str; 27] = [
    "creat",
    "unlink",
    "rename",
    "truncate",
    "ftruncate",
    "mkdir",
    "rmdir",
    "chmod",
    "fchmod",
    "chown",
    "lchown",
    "fchown",
    "utime",
    "futimes",
    "link",
    "symlink",
    "mknod",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "fallocate",
    "mount",
    "umount",
    "pwrite",
];

/// Calls that leave the process.
const LEAVES: [&str; 9] = [
    "fork",
    "vfork",
    "socket",
    "connect",
    "bind",
    "io_uring",
    "ptrace",
    "bpf",
    "init_module",
];

/// Runs a program under strace and returns its calls, one in a line, and its exit code.
fn trace(program: &Path, arguments: &[String], log: &Path) -> (String, Option<i32>) {
    let mut command = quiet(Command::new("strace"));
    command
        .args(["-f", "--seccomp-bpf", "-qq", "-y", "-s", "256", "-e"])
        .arg(format!("trace={UNINTERESTING}"))
        .arg("-o")
        .arg(log)
        .arg(program)
        .args(arguments)
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = command
        .status()
        .expect("strace, which fixtures/install.sh installs");
    let text = String::from_utf8_lossy(&fs::read(log).expect("a trace")).into_owned();
    (text, status.code())
}

/// The calls that a program which only looks does not make.
fn offences<'l>(log: &'l str, targets: &[PathBuf], out: &Path) -> Vec<&'l str> {
    let out = out.to_str().expect("UTF-8");
    let mut started = 0;
    let mut is_offence = |call: &str| {
        let Some((name, arguments)) = call.split_once('(') else {
            return false; // the end of a call whose beginning was another line
        };
        let begins = |names: &[&str]| names.iter().any(|n| name.starts_with(n));
        let is_target = targets
            .iter()
            .any(|t| call.contains(t.to_str().expect("UTF-8")));
        let writes = [
            "O_WRONLY",
            "O_RDWR",
            "O_CREAT",
            "O_TRUNC",
            "O_APPEND",
            "O_TMPFILE",
        ]
        .iter()
        .any(|flag| arguments.contains(flag));
        started += u32::from(name.starts_with("execve"));
        if name.starts_with("exec") && started > 1 {
            return true;
        }
        if begins(&LEAVES) || (name.starts_with("clone") && !call.contains("CLONE_THREAD")) {
            return true;
        }
        if is_target {
            // What is written may name the target: that is a report on its way to where it was wanted.
            let is_report = name == "write"
                && !arguments.split_once('<').is_some_and(|(_, fd)| {
                    targets
                        .iter()
                        .any(|t| fd.starts_with(t.to_str().expect("UTF-8")))
                });
            return writes || !(LOOKS.contains(&name) || is_report);
        }
        (begins(&CHANGES) || (name.starts_with("open") && writes)) && !call.contains(out)
    };
    log.lines()
        .filter(|line| {
            let call = line
                .split_once(' ')
                .map_or(*line, |(_, call)| call.trim_start());
            is_offence(call)
        })
        .collect()
}

/// Traces every command on a target.
fn every_command_only_looks_at(target: &Path, others: &[PathBuf]) {
    let out = new_dir("written-");
    let log = new_dir("trace-");
    let program = Path::new(env!("CARGO_BIN_EXE_pgfsck"));
    let targets = [&[target.to_owned()], others].concat();
    let all = invocations(target, out.path());
    if target.is_dir() {
        assert_eq!(
            forgotten(&all),
            BTreeSet::new(),
            "commands that are not traced"
        );
    }
    for mut arguments in all {
        let takes_target = arguments
            .iter()
            .any(|a| a.contains(target.to_str().expect("UTF-8")));
        if takes_target && arguments[0] == "audit" {
            arguments.extend([
                "--temp-dir".into(),
                out.path().to_str().expect("UTF-8").into(),
            ]);
        }
        let (calls, exit) = trace(program, &arguments, &log.path().join("log"));
        assert!(
            exit.is_some_and(|code| code <= 2),
            "{arguments:?}: {exit:?}"
        );
        let looked = calls.contains(target.to_str().expect("UTF-8"));
        assert!(looked || !takes_target, "{arguments:?}: the trace is blind");
        let offences = offences(&calls, &targets, out.path());
        assert!(offences.is_empty(), "{arguments:?}: {offences:#?}");
    }
}

#[test]
fn every_command_only_looks_at_a_sample() {
    let dir = new_dir("traced-");
    let data = sample(dir.path().join("data")).expect("the sample");
    every_command_only_looks_at(&data, &[]);
}

#[test]
fn every_command_only_looks_at_a_compressed_backup() {
    let dir = new_dir("traced-");
    let archive = dir.path().join("base.tar.gz");
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data/sample.tar.gz");
    fs::copy(packed, &archive).expect("a copy");
    every_command_only_looks_at(&archive, &[]);
}

#[test]
fn every_command_only_looks_at_a_crashed_cluster() {
    let (Some(base), Some(server)) = (fresh("17"), server("17")) else {
        return;
    };
    let dir = new_dir("traced-");
    let data = copy_cluster(&base.data, dir.path().join("copy")).expect("a copy");
    let mut cluster = server.adopt(&data).expect("adopted");
    cluster.start().expect("a start");
    let statements =
        "CREATE TABLE t AS SELECT generate_series(1, 1000) AS a; CHECKPOINT; UPDATE t SET a = -a";
    cluster.sql("postgres", statements).expect("SQL");
    cluster.stop(Stop::Kill9).expect("killed");
    every_command_only_looks_at(&data, &[]);
}

/// The judge is not blind: what other programs do to the target is seen.
#[test]
fn a_program_that_changes_something_is_seen() {
    let dir = new_dir("traced-");
    let (target, out) = (dir.path().join("data"), dir.path().join("out"));
    for made in [&target, &out] {
        fs::create_dir(made).expect("a directory");
    }
    let log = dir.path().join("log");
    let there = target.to_str().expect("UTF-8");
    for script in [
        format!("echo > {there}/new"),
        format!("echo >> {there}/new"),
        format!("exec chmod 700 {there}/new"),
        format!("exec touch {there}/new"),
        format!("exec mv {there}/new {there}/old"),
        format!("exec ln {there}/old {there}/other"),
        format!("exec ln -s old {there}/symbolic"),
        format!("exec truncate -s 0 {there}/old"),
        format!("exec rm {there}/old"),
        format!("exec mkdir {there}/directory"),
        format!("exec rmdir {there}/directory"),
        format!("echo > {}/elsewhere", dir.path().display()),
        "true | true".to_owned(),
    ] {
        let arguments = ["-c".to_owned(), script.clone()];
        let (calls, exit) = trace(Path::new("/bin/sh"), &arguments, &log);
        assert_eq!(exit, Some(0), "{script}");
        // Starting another program is an offence by itself.
        let seen = offences(&calls, std::slice::from_ref(&target), &out);
        let seen = seen.iter().filter(|line| !line.contains("execve"));
        assert!(seen.count() > 0, "{script}: {calls}");
    }
    let (calls, _) = trace(
        Path::new("/bin/sh"),
        &[
            "-c".to_owned(),
            format!(
                "echo > {}/new; read -r line < {there}/symbolic",
                out.display()
            ),
        ],
        &log,
    );
    assert_eq!(offences(&calls, &[target], &out), Vec::<&str>::new());
}
