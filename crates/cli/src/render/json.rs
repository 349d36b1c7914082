//! The report as JSON: one document, or lines.

use pgfsck_check::report::{Report, ReportFinding};
use serde::Serialize;
use serde_json::{Value, json};

/// The whole report as one object.
pub fn document(report: &Report) -> String {
    format!("{:#}\n", to_value(report))
}

/// The reports of several backups as one object.
pub fn documents(reports: &[Report]) -> String {
    let all = json!({
        "schema": "pgfsck.reports/1",
        "exit_code": exit_code(reports),
        "reports": to_value(&reports),
    });
    format!("{all:#}\n")
}

/// The exit code of several reports: damage wins over incompleteness.
pub fn exit_code(reports: &[Report]) -> u8 {
    let codes = || reports.iter().map(|r| r.exit_code);
    codes().find(|c| *c == 1).or(codes().max()).unwrap_or(2)
}

/// The whole report as lines: one per finding, then the summary.
pub fn lines(report: &Report) -> String {
    let mut out: String = report.findings.iter().map(finding_line).collect();
    out.push_str(&summary_line(report));
    out
}

/// `{"type":"finding",…}`.
pub fn finding_line(finding: &ReportFinding) -> String {
    typed("finding", to_value(finding))
}

/// `{"type":"summary",…}`: the report without its findings.
pub fn summary_line(report: &Report) -> String {
    let mut value = to_value(report);
    if let Value::Object(map) = &mut value {
        map.shift_remove("findings");
    }
    typed("summary", value)
}

/// A line that begins with its type.
fn typed(kind: &str, value: Value) -> String {
    let mut line = json!({ "type": kind });
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, value) {
        line.extend(fields);
    }
    format!("{line}\n")
}

/// The report's types have string keys only and cannot fail to serialise.
fn to_value(what: &impl Serialize) -> Value {
    serde_json::to_value(what).unwrap_or(Value::Null)
}
