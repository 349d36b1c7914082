//! `pgfsck man`: manual pages.

use crate::args::{Cli, ManArgs};
use crate::output::print_styled;
use anyhow::Context;
use clap::CommandFactory;
use std::process::ExitCode;

/// Writes the main page to stdout, or all pages into a directory.
pub fn run(args: &ManArgs) -> anyhow::Result<ExitCode> {
    match &args.output {
        Some(dir) => {
            clap_mangen::generate_to(Cli::command(), dir).with_context(|| {
                format!("could not write manual pages to \"{}\"", dir.display())
            })?;
        }
        None => {
            let mut out = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut out)?;
            print_styled(&String::from_utf8_lossy(&out))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
