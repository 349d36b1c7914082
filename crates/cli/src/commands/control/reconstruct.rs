//! `pgfsck control --reconstruct`: what pg_resetwal should be told when pg_control is lost. Nothing is written.

use crate::args::{ControlArgs, ListFormat};
use crate::commands::{open, open_archives};
use crate::output::{complain, print, print_json};
use anyhow::bail;
use pgfsck_check::reconstruct::{Reconstruction, reconstruct};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Prints the options and what they rest on.
pub fn run(args: &ControlArgs) -> anyhow::Result<ExitCode> {
    let volume = open(&args.data, args.path.as_deref())?;
    let archives = open_archives(&args.archives, &args.data)?;
    let Some(found) = reconstruct(volume.as_ref(), &archives) else {
        bail!(
            "the format of the cluster cannot be told: neither pg_control nor the other files say it"
        );
    };
    if found.presumed {
        complain("note: pg_control cannot be believed; the format is what other files tell");
    }
    match args.format {
        ListFormat::Text => print(&text(&found, &volume.display_path()))?,
        ListFormat::Json => print_json(&document(&found))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(found: &Reconstruction, path: &str) -> String {
    let mut out = String::new();
    for r in &found.resets {
        let _ = writeln!(out, "{:<14} {:<25} {}", r.option, r.value, r.evidence);
    }
    let _ = writeln!(
        out,
        "\nThe last resort, on a copy: what was not yet in the files is lost, and rows may contradict each other after it."
    );
    let _ = write!(
        out,
        "touch {path}/global/pg_control && {} -f",
        found.program.name
    );
    for r in &found.resets {
        let sep = if r.option.starts_with("--") { '=' } else { ' ' };
        let _ = write!(out, " {}{sep}{}", r.option, r.value);
    }
    let _ = writeln!(out, " -D {path}");
    out
}

fn document(found: &Reconstruction) -> Value {
    let options: Vec<Value> = found
        .resets
        .iter()
        .map(|r| json!({"option": r.option, "value": r.value, "evidence": r.evidence}))
        .collect();
    json!({
        "schema": "pgfsck.control_reconstruct/1",
        "program": found.program.name,
        "format_presumed": found.presumed,
        "options": options,
    })
}
