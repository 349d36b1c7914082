//! The outside that scripts rely on: the report's shape, its order, its exit codes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{Ground, audit, audit_with, fresh, ground, pgfsck, used};

/// A cluster with many kinds of damage.
fn damaged() -> Ground<'static> {
    let mut g = ground(used("17").expect("a server"));
    for (name, block) in [("keyed", 2), ("keyed", 9), ("both", 3), ("plain", 1)] {
        let path = g.probe(name);
        g.flip(&path, block * 8192 + 4000, 0x11);
    }
    let path = g.relation("pg_catalog", "pg_class").path.clone();
    g.zero_block(&path, 1);
    let path = g.probe("vacuumed");
    g.cut(&path, 4 * 8192 + 100);
    let orphan = format!("{}/99999", g.database_dir("latin"));
    g.duplicate(&g.probe("both"), &orphan);
    g.remove("pg_multixact/members/0000");
    g.add("base/README", b"foreign");
    std::os::unix::fs::symlink("/nowhere", g.at("pg_tblspc/99999")).expect("a link");
    g
}

fn kept_schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/report.schema.json");
    serde_json::from_slice(&fs::read(path).expect("the schema")).expect("JSON")
}

#[test]
fn reports_follow_the_schema() {
    let validator = jsonschema::validator_for(&kept_schema()).expect("a schema");
    let unknown = {
        let mut g = ground(fresh("17").expect("a server"));
        g.write("PG_VERSION", b"20\n");
        g.write("global/pg_control", &[0x55; 8192]);
        g
    };
    let gone = {
        let mut g = ground(fresh("17").expect("a server"));
        g.remove("global/pg_control");
        g
    };
    for (what, result) in [
        ("clean", audit(&used("17").expect("a server").data)),
        ("damaged", audit(&damaged().data)),
        ("deep", audit_with(&damaged().data, &["--deep"])),
        ("quick", audit_with(&damaged().data, &["--quick"])),
        ("few", audit_with(&damaged().data, &["--max-findings", "3"])),
        ("unknown", audit(&unknown.data)),
        ("gone", audit(&gone.data)),
    ] {
        let errors: Vec<String> = validator
            .iter_errors(&result.report)
            .map(|e| format!("{e} at {}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}");
        assert_eq!(result.report["schema"], "pgfsck.report/1", "{what}");
        assert_eq!(
            result.report["exit_code"].as_i64(),
            result.exit.map(i64::from),
            "{what}"
        );
        assert_eq!(result.report["tool"]["name"], "pgfsck", "{what}");
        assert_counts(&result.report, what);
    }
}

/// The summary counts what is listed.
fn assert_counts(report: &Value, what: &str) {
    let findings = report["findings"].as_array().expect("findings");
    let summary = &report["summary"];
    let total: u64 = ["error", "warning", "note"]
        .iter()
        .filter_map(|s| summary[s].as_u64())
        .sum();
    let not_listed = summary["not_listed"].as_u64().expect("a number");
    assert_eq!(findings.len() as u64 + not_listed, total, "{what}");
    let by_code: u64 = summary["by_code"]
        .as_object()
        .expect("codes")
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(by_code, total, "{what}");
    for finding in findings {
        let code = finding["code"].as_str().expect("a code");
        assert!(pgfsck_check::codes::find(code).is_some(), "{what}: {code}");
        assert!(
            summary["by_code"][code].as_u64() > Some(0),
            "{what}: {code}"
        );
        for field in ["message", "advice"] {
            assert!(
                !finding[field].as_str().expect("a text").is_empty(),
                "{what}: {code} without {field}"
            );
        }
        let path = finding["path"].as_str().expect("a path");
        assert!(
            !path.starts_with('/'),
            "{what}: {path} is relative to the data directory"
        );
    }
}

#[test]
fn findings_are_sorted_and_two_runs_are_equal() {
    let g = damaged();
    let mut first = g.audit().report;
    let key = |finding: &Value| {
        let number = |field: &str| finding[field].as_u64();
        let text = |field: &str| finding[field].as_str().expect("a text").to_owned();
        (text("path"), number("block"), number("item"), text("code"))
    };
    let keys: Vec<_> = first["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(key)
        .collect();
    assert!(keys.len() > 10);
    assert!(keys.is_sorted(), "{keys:#?}");
    first["elapsed_seconds"] = Value::Null;
    for jobs in ["1", "2", "7"] {
        let mut again = audit_with(&g.data, &["--jobs", jobs]).report;
        again["elapsed_seconds"] = Value::Null;
        assert_eq!(first, again, "with {jobs} threads");
    }
}

#[test]
fn lines_of_json_end_with_a_summary() {
    let g = damaged();
    let whole = g.audit();
    let output = pgfsck()
        .args(["audit", "--format", "jsonl"])
        .arg(&g.data)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let summary = lines.pop().expect("a line");
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["exit_code"], 1);
    assert_eq!(summary["verdict"], "damaged");
    assert_eq!(summary["summary"], whole.report["summary"]);
    assert_eq!(
        summary["coverage"]["blocks"],
        whole.report["coverage"]["blocks"]
    );
    assert!(lines.iter().all(|line| line["type"] == "finding"));
    // In the order in which they were found; the same ones.
    let texts = |findings: &[Value]| {
        let mut texts: Vec<String> = findings
            .iter()
            .map(|finding| {
                let mut finding = finding.clone();
                finding
                    .as_object_mut()
                    .expect("an object")
                    .shift_remove("type");
                finding.to_string()
            })
            .collect();
        texts.sort();
        texts
    };
    assert_eq!(texts(&lines), texts(whole.findings()));
}

#[test]
fn one_run_writes_several_reports() {
    let g = damaged();
    let file = |name: &str| g.dir().join(name);
    let report = |format: &str, name: &str| format!("{format}={}", file(name).display());
    let output = pgfsck()
        .args(["audit", "--format", "text"])
        .args([
            "--report",
            &report("json", "r.json"),
            "--report",
            &report("jsonl", "r.jsonl"),
        ])
        .args(["--report", &report("text", "r.txt")])
        .arg(&g.data)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let json: Value =
        serde_json::from_slice(&fs::read(file("r.json")).expect("a report")).expect("JSON");
    assert_eq!(json["findings"], g.audit().report["findings"]);
    let lines = fs::read_to_string(file("r.jsonl")).expect("a report");
    assert_eq!(
        lines.lines().count(),
        json["findings"].as_array().expect("findings").len() + 1
    );
    let text = fs::read_to_string(file("r.txt")).expect("a report");
    assert_eq!(text, String::from_utf8(output.stdout).expect("UTF-8"));
    // Where no report can be written, the run fails, and says where.
    let nowhere = pgfsck()
        .args(["audit", "--report", "json=/nowhere/at/all"])
        .arg(&g.data)
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&nowhere.stderr);
    assert_eq!(nowhere.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("/nowhere/at/all"), "{stderr}");
}

#[test]
fn exit_codes() {
    let clean = used("17").expect("a server");
    assert_eq!(audit(&clean.data).exit, Some(0));
    assert_eq!(
        audit_with(&clean.data, &["--fail-on", "warning"]).exit,
        Some(0),
        "notes never fail"
    );
    let mut g = ground(clean);
    let orphan = format!("{}/99999", g.database_dir("used"));
    g.duplicate(&g.probe("both"), &orphan);
    assert_eq!(g.audit().exit, Some(0), "a warning");
    let result = audit_with(&g.data, &["--fail-on", "warning"]);
    assert_eq!(result.exit, Some(1));
    assert_eq!(result.report["verdict"], "damaged");
    // Damage wins over incompleteness.
    std::os::unix::fs::symlink("/etc/passwd", g.at("base/99998")).expect("a link");
    assert_eq!(g.audit().exit, Some(2));
    let path = g.probe("keyed");
    g.flip(&path, 5000, 1);
    let result = g.audit();
    assert_eq!(result.exit, Some(1));
    assert_eq!(result.report["verdict"], "damaged");
    assert!(!result.skipped().is_empty());
    for usage in [
        vec!["audit", "--level", "bottomless"],
        vec!["audit", "--no-such-option"],
        vec!["no-such-command"],
    ] {
        assert_eq!(
            pgfsck()
                .args(&usage)
                .output()
                .expect("it runs")
                .status
                .code(),
            Some(2),
            "{usage:?}"
        );
    }
}

#[test]
fn text_says_the_verdict_last_and_quiet_says_less() {
    let g = damaged();
    let text = |args: &[&str]| {
        let output = pgfsck()
            .arg("audit")
            .args(args)
            .arg(&g.data)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(
            output.stderr.is_empty(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let normal = text(&[]);
    assert!(
        normal.contains("page.checksum-mismatch") && normal.contains("probe.keyed"),
        "{normal}"
    );
    let quiet = text(&["-q"]);
    assert!(
        quiet.contains("page.checksum-mismatch"),
        "errors stay: {quiet}"
    );
    assert!(!quiet.contains("file.orphan"), "{quiet}");
    assert!(quiet.len() < normal.len());
    let verbose = text(&["-v"]);
    assert!(verbose.contains("file.unexpected"), "notes too: {verbose}");
    for said in [&normal, &quiet, &verbose] {
        let last = said.lines().last().expect("a line");
        assert!(last.contains("damage"), "{last}");
        assert!(!said.contains('\u{1b}'), "no colours without a terminal");
    }
}

#[test]
fn the_data_directory_is_named_as_postgresql_does() {
    let data = &fresh("17").expect("a server").data;
    let by = |arguments: &[&str], pgdata: Option<&Path>| {
        let mut command = pgfsck();
        command.args(arguments);
        if let Some(pgdata) = pgdata {
            command.env("PGDATA", pgdata);
        }
        command.output().expect("it runs").status.code()
    };
    let path = data.to_str().expect("UTF-8");
    assert_eq!(by(&["audit", path], None), Some(0));
    assert_eq!(by(&["audit", "-D", path], None), Some(0));
    assert_eq!(by(&["audit", "--pgdata", path], None), Some(0));
    assert_eq!(by(&["audit"], Some(data)), Some(0));
    assert_eq!(by(&["-V"], None), Some(0));
    assert_eq!(by(&["-?"], None), Some(0));
    // What is named wins over the environment.
    assert_eq!(by(&["audit", path], Some(Path::new("/nowhere"))), Some(0));
}
