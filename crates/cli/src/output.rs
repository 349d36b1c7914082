//! stdout and stderr: a closed pipe ends quietly, errors look as PostgreSQL's programs print them.

use crate::text::{json, plain, plain_lines};
use anyhow::Context;
use pgfsck_volume::OpenError;
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// The exit code for "could not examine".
pub const INCOMPLETE: u8 = 2;

/// Obeys `PG_COLOR` (`always`, `auto`, `never`), as PostgreSQL's programs do; `NO_COLOR` and whether there
/// is a terminal are looked at by the stream itself.
pub fn choose_colour() {
    let choice = match std::env::var("PG_COLOR").as_deref() {
        Ok("always") => anstream::ColorChoice::Always,
        Ok("never") => anstream::ColorChoice::Never,
        _ => return,
    };
    choice.write_global();
}

/// What is said when stdout takes no more: a disk is full.
pub const CUT_OFF: &str = "the output is not complete: could not write to standard output";

/// Prints lines of text to stdout, with whatever is in them made harmless.
pub fn print(text: &str) -> anyhow::Result<()> {
    print_styled(&plain_lines(text))
}

/// Prints one JSON document to stdout.
pub fn print_json(document: &impl Serialize) -> anyhow::Result<()> {
    print_styled(&format!("{}\n", json(document, true)?))
}

/// Prints text whose control characters are the program's own: colours.
pub fn print_styled(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.context(CUT_OFF)
}

/// Prints to stdout what is too long to be one text, and harmless already.
pub fn write_out(each: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    each(&mut out).and_then(|()| out.flush()).context(CUT_OFF)
}

/// Prints a line to stderr, and does not mind if nobody listens.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "pgfsck: {}", plain(text));
}

/// Whether nobody reads any more what is printed.
pub fn is_closed(e: &anyhow::Error) -> bool {
    let mut causes = e.chain().filter_map(|c| c.downcast_ref::<io::Error>());
    causes.any(|io| io.kind() == io::ErrorKind::BrokenPipe)
}

/// A command that could not do its work.
pub fn failure(e: &anyhow::Error) -> ExitCode {
    if is_closed(e) {
        return ExitCode::SUCCESS;
    }
    complain(&format!("error: {e:#}"));
    if let Some(OpenError::NotADataDirectory { detail, .. }) = e.downcast_ref() {
        complain(&format!("detail: {detail}"));
        complain("hint: Name the directory that holds PG_VERSION and global/pg_control.");
    }
    if let Some(OpenError::Several { .. }) = e.downcast_ref() {
        complain("hint: Name one of them.");
    }
    ExitCode::from(INCOMPLETE)
}

/// A command line that could not be understood, or a request for help or the version.
pub fn usage(e: &clap::Error) -> ExitCode {
    if !e.use_stderr()
        || e.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    {
        let _ = e.print();
        return ExitCode::from(if e.use_stderr() { INCOMPLETE } else { 0 });
    }
    // In the form of PostgreSQL's programs: error, then hints.
    let text = e.to_string();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with("Usage:"))
    {
        match (line.strip_prefix("error: "), line.strip_prefix("tip: ")) {
            (Some(error), _) => complain(&format!("error: {error}")),
            (_, Some(tip)) => complain(&format!("hint: {tip}")),
            _ if line.starts_with("For more information") => {
                complain("hint: Try \"pgfsck --help\" for more information.")
            }
            _ => complain(&format!("detail: {line}")),
        }
    }
    ExitCode::from(INCOMPLETE)
}
