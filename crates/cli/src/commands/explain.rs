//! `pgfsck explain`: what a code means, how it was checked, what else it can be, what to do.

use crate::args::{ExplainArgs, ListFormat};
use crate::output::print;
use anyhow::bail;
use pgfsck_check::codes::{self, Problem};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Explains one code, or lists them all.
pub fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let text = match (&args.code, args.format) {
        (Some(code), format) => {
            let Some(problem) = codes::find(code) else {
                bail!("unknown code \"{}\"; `pgfsck explain` lists them all", code);
            };
            match format {
                ListFormat::Text => explain(problem),
                ListFormat::Json => document(&json_of(problem)),
            }
        }
        (None, ListFormat::Text) => list(),
        (None, ListFormat::Json) => document(&codes::ALL.iter().map(|p| json_of(p)).collect()),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn document(value: &Value) -> String {
    format!("{value:#}\n")
}

fn json_of(p: &Problem) -> Value {
    json!({
        "code": p.name, "severity": p.severity.name(), "meaning": p.meaning, "checked": p.checked,
        "innocent_causes": p.innocent, "advice": p.advice, "source": p.source,
    })
}

/// Columns of the terminal that the text is wrapped to.
const WIDTH: usize = 96;

fn explain(p: &Problem) -> String {
    let mut out = format!("{} ({})\n", p.name, p.severity.name());
    for (title, text) in [
        ("What it means", p.meaning),
        ("How it is checked", p.checked),
        ("Innocent causes", p.innocent),
        ("What to do", p.advice),
        ("Where PostgreSQL says so", p.source),
    ] {
        let _ = write!(out, "\n{title}\n{}", wrap(text, "    "));
    }
    out
}

fn list() -> String {
    let mut out = String::new();
    for p in codes::ALL {
        let first = p
            .meaning
            .split_inclusive(". ")
            .next()
            .unwrap_or_default()
            .trim();
        let _ = writeln!(out, "{:<32} {:<8} {first}", p.name, p.severity.name());
    }
    out
}

/// Words in lines of at most [`WIDTH`] columns, indented.
pub(crate) fn wrap(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut line = indent.to_owned();
    for word in text.split_whitespace() {
        if line.len() > indent.len() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = indent.to_owned();
        }
        if line.len() > indent.len() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
    out
}
