//! The report for people: findings by relation, what to do next, and a last line with the verdict.

use crate::text::plain;
use anstyle::{AnsiColor, Style};
use pgfsck_check::codes;
use pgfsck_check::report::{Report, ReportFinding, Verdict};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Findings of one relation and code that are printed one by one.
const MAX_LISTED: usize = 20;
/// Skips that are printed one by one.
const MAX_SKIPS: usize = 20;

/// The report; notes only if `verbose`, nothing but errors and the verdict if `quiet`.
pub fn report(report: &Report, verbose: bool, quiet: bool) -> String {
    let mut out = String::new();
    if !quiet {
        head(&mut out, report);
    }
    let shown = |f: &&ReportFinding| match f.severity {
        "error" => true,
        "warning" => !quiet,
        _ => verbose,
    };
    let mut groups: BTreeMap<String, Vec<&ReportFinding>> = BTreeMap::new();
    for f in report.findings.iter().filter(shown) {
        groups.entry(title(f)).or_default().push(f);
    }
    for (title, findings) in &groups {
        let _ = writeln!(
            out,
            "\n{}{}{}",
            BOLD.render(),
            plain(title),
            BOLD.render_reset()
        );
        group(&mut out, findings);
    }
    if !quiet {
        advice(&mut out, report, verbose);
        skips(&mut out, report);
        if verbose {
            undecided(&mut out, report);
        }
    }
    verdict(&mut out, report, verbose);
    out
}

const BOLD: Style = Style::new().bold();

fn style(severity: &str) -> Style {
    match severity {
        "error" => AnsiColor::Red.on_default().bold(),
        "warning" => AnsiColor::Yellow.on_default().bold(),
        _ => AnsiColor::Cyan.on_default(),
    }
}

/// What was audited.
fn head(out: &mut String, report: &Report) {
    let _ = writeln!(
        out,
        "pgfsck {}: {}",
        report.tool.version,
        plain(&report.target.path)
    );
    if let Some(c) = &report.cluster {
        let _ = writeln!(
            out,
            "PostgreSQL {}, system {}, {}, {}-endian, {}-byte blocks, checksums {}",
            c.major.as_deref().unwrap_or("of unknown version"),
            c.system_identifier,
            c.state,
            c.byte_order,
            c.block_size,
            if c.data_checksums { "on" } else { "off" },
        );
    }
    if let Some(r) = &report.recovery {
        let _ = writeln!(
            out,
            "recovery: from {} to {} on timeline {}: {}{}",
            r.redo,
            r.end,
            r.timeline,
            r.outcome,
            r.reason
                .as_ref()
                .map(|why| format!(": {}", plain(why)))
                .unwrap_or_default(),
        );
    }
}

/// The relation, or the file where there is none.
fn title(f: &ReportFinding) -> String {
    let database = f.database.as_ref().and_then(|d| d.name.clone());
    match &f.relation {
        Some(r) => {
            let schema = r
                .schema
                .as_ref()
                .map(|s| format!("{s}."))
                .unwrap_or_default();
            let database = database
                .map(|d| format!(" in database {d}"))
                .unwrap_or_default();
            format!("{} {schema}{}{database}", r.kind, r.name)
        }
        None => match database {
            Some(d) => format!("database {d}"),
            None => "cluster".to_owned(),
        },
    }
}

/// The findings of one relation.
fn group(out: &mut String, findings: &[&ReportFinding]) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for f in findings {
        let n = counts.entry(f.code).or_default();
        *n += 1;
        if *n > MAX_LISTED {
            continue;
        }
        let style = style(f.severity);
        let _ = write!(
            out,
            "  {}{}{} {}",
            style.render(),
            f.severity,
            style.render_reset(),
            f.code
        );
        let _ = writeln!(out, "  {}", place(f));
        let _ = writeln!(out, "      {}", plain(&f.message));
        if let (Some(have), Some(expect)) = (&f.have, &f.expect) {
            let _ = writeln!(out, "      have {}, expect {}", plain(have), plain(expect));
        }
    }
    for (code, n) in counts.iter().filter(|(_, n)| **n > MAX_LISTED) {
        let _ = writeln!(out, "  … and {} more {code}", n - MAX_LISTED);
    }
}

/// File, block, item, attribute.
fn place(f: &ReportFinding) -> String {
    let mut out = plain(&f.path);
    if let Some(b) = f.block {
        let _ = write!(out, " block {b}");
    }
    if let Some(i) = f.item {
        let _ = write!(out, " item {i}");
    }
    if let Some(a) = f.attribute {
        let _ = write!(out, " attribute {a}");
    }
    out
}

/// What to do next: once per advice, errors first.
fn advice(out: &mut String, report: &Report, verbose: bool) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for wanted in ["error", "warning", "note"] {
        if wanted == "note" && !verbose {
            continue;
        }
        for f in report.findings.iter().filter(|f| f.severity == wanted) {
            let entry = (f.code, f.advice.as_ref());
            if !seen.contains(&entry) {
                seen.push(entry);
            }
        }
    }
    if seen.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n{}What to do next{}",
        BOLD.render(),
        BOLD.render_reset()
    );
    for (code, text) in seen {
        let _ = write!(
            out,
            "  {code}\n{}",
            crate::commands::explain::wrap(&plain(text), "      ")
        );
    }
}

/// What was not examined.
fn skips(out: &mut String, report: &Report) {
    let skipped = &report.coverage.skipped;
    if skipped.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n{}Not examined{}",
        BOLD.render(),
        BOLD.render_reset()
    );
    for s in skipped.iter().take(MAX_SKIPS) {
        let block = s.block.map(|b| format!(" block {b}")).unwrap_or_default();
        let path = if s.path.is_empty() { "." } else { &s.path };
        let _ = writeln!(out, "  {}{block}: {}", plain(path), plain(&s.reason));
    }
    let all = skipped.len() as u64 + report.coverage.skipped_not_listed;
    if all > MAX_SKIPS as u64 {
        let _ = writeln!(out, "  … and {} more", all - MAX_SKIPS as u64);
    }
}

/// What could not be decided of relations: each reason once, with an example.
fn undecided(out: &mut String, report: &Report) {
    let mut reasons: BTreeMap<(&str, &str), (usize, &str)> = BTreeMap::new();
    for relation in &report.coverage.relations {
        for u in relation.undecided.iter() {
            let entry = reasons.entry((u.what, &u.why));
            entry.or_insert((0, &relation.name)).0 += 1;
        }
    }
    if reasons.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}Not decided{}", BOLD.render(), BOLD.render_reset());
    for ((what, why), (n, example)) in reasons {
        let others = match n {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let _ = writeln!(out, "  {what}: {why} ({}{others})", plain(example));
    }
}

/// The last line.
fn verdict(out: &mut String, report: &Report, verbose: bool) {
    let s = &report.summary;
    let c = &report.coverage;
    let (word, style) = match report.verdict {
        Verdict::Clean => ("clean", AnsiColor::Green.on_default().bold()),
        Verdict::Damaged => ("damaged", AnsiColor::Red.on_default().bold()),
        Verdict::Incomplete => ("incomplete", AnsiColor::Yellow.on_default().bold()),
    };
    let notes = if s.note > 0 && !verbose {
        " (-v shows them)"
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "\n{}{word}{}: {} errors, {} warnings, {} notes{notes}; {} of {} files, {} of {} blocks examined, {} checksums verified, {} skipped; {:.2} s",
        style.render(),
        style.render_reset(),
        s.error,
        s.warning,
        s.note,
        c.files.examined,
        c.files.seen,
        c.blocks.examined,
        c.blocks.seen,
        c.blocks.checksum_verified,
        c.skipped.len() as u64 + c.skipped_not_listed,
        report.elapsed_seconds,
    );
    debug_assert!(
        report
            .summary
            .by_code
            .keys()
            .all(|k| codes::find(k).is_some())
    );
}
