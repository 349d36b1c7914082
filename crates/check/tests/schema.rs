//! `docs/report.schema.json` is what the report's types say.
//!
//! `UPDATE_EXPECTED=1` rewrites it; the change is then part of the review.

#![allow(clippy::unwrap_used)]

#[test]
fn the_kept_schema_is_that_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/report.schema.json");
    let text = format!(
        "{:#}\n",
        serde_json::to_value(pgfsck_check::report::schema()).unwrap()
    );
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        text,
        "run the test with UPDATE_EXPECTED=1"
    );
}
