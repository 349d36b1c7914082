//! `pgfsck completions`: completion scripts.

use crate::args::{Cli, CompletionsArgs};
use crate::output::print_styled;
use clap::CommandFactory;
use std::process::ExitCode;

/// Writes the script for a shell to stdout.
pub fn run(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pgfsck", &mut out);
    print_styled(&String::from_utf8_lossy(&out))?;
    Ok(ExitCode::SUCCESS)
}
