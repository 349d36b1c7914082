//! stdout and stderr: a closed pipe ends quietly, errors look as PostgreSQL's programs print them.

use crate::text::plain;
use pgfsck_volume::OpenError;
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

/// Prints to stdout.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints to stdout what is too long to be one text.
pub fn write_out(each: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    each(&mut out)?;
    out.flush()?;
    Ok(())
}

/// Prints a line to stderr, and does not mind if nobody listens.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "pgfsck: {text}");
}

/// A command that could not do its work.
pub fn failure(e: &anyhow::Error) -> ExitCode {
    let closed = e.chain().filter_map(|c| c.downcast_ref::<io::Error>());
    if closed
        .into_iter()
        .any(|io| io.kind() == io::ErrorKind::BrokenPipe)
    {
        return ExitCode::SUCCESS;
    }
    complain(&format!("error: {}", plain(&format!("{e:#}"))));
    if let Some(OpenError::NotADataDirectory { detail, .. }) = e.downcast_ref() {
        complain(&format!("detail: {}", plain(detail)));
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
            (Some(error), _) => complain(&format!("error: {}", plain(error))),
            (_, Some(tip)) => complain(&format!("hint: {}", plain(tip))),
            _ if line.starts_with("For more information") => {
                complain("hint: Try \"pgfsck --help\" for more information.")
            }
            _ => complain(&format!("detail: {}", plain(line))),
        }
    }
    ExitCode::from(INCOMPLETE)
}
