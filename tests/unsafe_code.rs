//! The listing of `unsafe` in docs/trust.md is complete: there is none in this workspace, and no crate may bring some.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files below a directory whose names end so, what cargo builds aside.
fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a listing") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn all(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), ending, &mut found);
    found
}

#[test]
fn every_crate_forbids_it() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("readable");
    let forbids = |toml: &str| {
        toml.lines()
            .any(|line| line.trim() == "unsafe_code = \"forbid\"")
    };
    assert!(forbids(&workspace), "the workspace");
    let crates = all("Cargo.toml");
    assert!(crates.len() >= 8, "{crates:?}");
    for path in crates {
        // What its macro defines is called from C, and is not for this workspace to write.
        if path.ends_with("fuzz/Cargo.toml") {
            continue;
        }
        let toml = fs::read_to_string(&path).expect("readable");
        let takes_over = toml.contains("[lints]\nworkspace = true");
        assert!(forbids(&toml) || takes_over, "{}", path.display());
    }
}

#[test]
fn there_is_none() {
    // In two parts, so that this file is searched too.
    let keyword = concat!("un", "safe");
    let sources = all(".rs");
    assert!(sources.len() > 300, "{}", sources.len());
    for path in sources {
        let text = fs::read_to_string(&path).expect("readable");
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            let mut words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            let place = format!("{}:{number}: {line}", path.display());
            assert!(!words.any(|word| word == keyword), "{place}");
        }
    }
}
