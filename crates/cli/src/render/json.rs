//! The report as JSON: one document, or lines. It is written as it is walked: a report can be large.

use crate::text::write_json;
use pgfsck_check::report::{Cluster, Coverage, Report, ReportFinding, ReportRecovery};
use pgfsck_check::report::{Summary, Target, Tool, Verdict};
use serde::Serialize;
use std::io::{self, Write};

/// The whole report as one object.
pub fn document(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    pretty(out, report)
}

/// The reports of several backups as one object.
pub fn documents(out: &mut dyn Write, reports: &[Report]) -> io::Result<()> {
    #[derive(Serialize)]
    struct Reports<'a> {
        schema: &'static str,
        exit_code: u8,
        reports: &'a [Report],
    }
    let all = Reports {
        schema: "pgfsck.reports/1",
        exit_code: exit_code(reports),
        reports,
    };
    pretty(out, &all)
}

/// The exit code of several reports: damage wins over incompleteness.
pub fn exit_code(reports: &[Report]) -> u8 {
    let codes = || reports.iter().map(|r| r.exit_code);
    codes().find(|c| *c == 1).or(codes().max()).unwrap_or(2)
}

/// The whole report as lines: one per finding, then the summary.
pub fn lines(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    for finding in &report.findings {
        finding_line(out, finding)?;
    }
    summary_line(out, report)
}

/// `{"type":"finding",…}`.
pub fn finding_line(out: &mut dyn Write, finding: &ReportFinding) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        r#type: &'static str,
        #[serde(flatten)]
        finding: &'a ReportFinding,
    }
    let r#type = "finding";
    line(out, &Line { r#type, finding })
}

/// `{"type":"summary",…}`: the report without its findings.
pub fn summary_line(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        r#type: &'static str,
        schema: &'a str,
        tool: &'a Tool,
        target: &'a Target,
        verdict: Verdict,
        exit_code: u8,
        cluster: &'a Option<Cluster>,
        recovery: &'a Option<ReportRecovery>,
        coverage: &'a Coverage,
        summary: &'a Summary,
        elapsed_seconds: f64,
    }
    // Taken apart, so that no field of the report is forgotten.
    let Report {
        schema,
        tool,
        target,
        verdict,
        exit_code,
        cluster,
        recovery,
        coverage,
        summary,
        findings: _,
        elapsed_seconds,
    } = report;
    let summary = Line {
        r#type: "summary",
        schema,
        tool,
        target,
        verdict: *verdict,
        exit_code: *exit_code,
        cluster,
        recovery,
        coverage,
        summary,
        elapsed_seconds: *elapsed_seconds,
    };
    line(out, &summary)
}

fn pretty(out: &mut dyn Write, what: &impl Serialize) -> io::Result<()> {
    write_json(out, what, true)?;
    out.write_all(b"\n")
}

fn line(out: &mut dyn Write, what: &impl Serialize) -> io::Result<()> {
    write_json(out, what, false)?;
    out.write_all(b"\n")
}
