//! `pgfsck`: arguments to a plan, the plan to a run, the run to an exit code.
//!
//! This crate prints and never decides: what is wrong is said by `pgfsck-check`.

mod args;
mod commands;
mod output;
mod progress;
mod render;
mod text;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    output::choose_colour();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return output::usage(&e),
    };
    let result = match &cli.command {
        Command::Audit(args) => commands::audit::run(args),
        Command::Control(args) => commands::control::run(args),
        Command::Relmap(args) => commands::relmap::run(args),
        Command::Relations(args) => commands::relations::run(args),
        Command::Locate(args) => commands::locate::run(args),
        Command::Page(args) => commands::page::run(args),
        Command::Xid(args) => commands::xid::run(args),
        Command::Wal(args) => commands::wal::run(args),
        Command::Explain(args) => commands::explain::run(args),
        Command::Completions(args) => commands::completions::run(args),
        Command::Man(args) => commands::man::run(args),
    };
    result.unwrap_or_else(|e| output::failure(&e))
}
