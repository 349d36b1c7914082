//! The damage that an audit must find: each recipe is one corruption of a healthy cluster, and the
//! code, path and block that it must be reported with, and nothing else.

use std::collections::BTreeSet;

use pgfsck_check::codes;
use pgfsck_fixtures::recipes::{self, Outcome};

use crate::common::{ground, used};

/// Codes that need another state of the cluster than a damaged copy, and the tests that provoke them.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "relation.segment-oversized",
        "losses::an_oversized_segment_of_another_geometry",
    ),
    (
        "relation.segment-missing",
        "losses::segments_of_one_gigabyte",
    ),
    ("relation.segment-short", "losses::segments_of_one_gigabyte"),
    (
        "cluster.running",
        "not_stopped::a_running_server_is_refused",
    ),
    (
        "io.permission-denied",
        "not_stopped::unreadable_files_are_skipped_and_named",
    ),
    (
        "io.read-error",
        "failing::a_bad_sector_costs_its_block_and_is_hardly_asked_again",
    ),
    (
        "archive.damaged",
        "hostile::hostile_archives_end_in_findings",
    ),
    (
        "archive.entry-name",
        "hostile::hostile_archives_end_in_findings",
    ),
    (
        "archive.not-read",
        "hostile::hostile_archives_end_in_findings",
    ),
    (
        "chain.link-missing",
        "chains::a_chain_of_incremental_backups_is_one_cluster",
    ),
    (
        "chain.link-foreign",
        "chains::a_chain_of_incremental_backups_is_one_cluster",
    ),
    (
        "chain.file-incomplete",
        "chains::damage_in_the_middle_of_a_chain_is_named_with_its_backup",
    ),
    (
        "manifest.invalid",
        "verifybackup::t005_bad_manifest_and_t007_wal",
    ),
    ("manifest.file-missing", "verifybackup::t003_corruption"),
    ("manifest.file-extra", "verifybackup::t003_corruption"),
    ("manifest.size-mismatch", "verifybackup::t003_corruption"),
    (
        "manifest.checksum-mismatch",
        "verifybackup::t003_corruption",
    ),
    (
        "manifest.wal-incomplete",
        "verifybackup::t005_bad_manifest_and_t007_wal",
    ),
    (
        "manifest.foreign",
        "backups::the_manifest_of_another_cluster_is_named",
    ),
    (
        "manifest.outdated",
        "backups::the_manifest_of_a_backup_that_was_started_is_not_held_against_it",
    ),
];

/// Applies every recipe to a copy of a well-used cluster of this major.
fn run(major: &'static str) {
    let Some(base) = used(major) else { return };
    let only = std::env::var("PGFSCK_RECIPE").unwrap_or_default();
    let mut failures = Vec::new();
    let mut provoked: BTreeSet<&str> = ELSEWHERE.iter().map(|(code, _)| *code).collect();
    for recipe in recipes::all().filter(|recipe| recipe.name.contains(&only)) {
        match recipes::attempt(recipe, || ground(base)) {
            Ok(Outcome::Found) => drop(provoked.insert(recipe.code)),
            Ok(Outcome::Missed) => {}
            Err(why) => failures.push(format!("{} ({}): {why}", recipe.name, recipe.code)),
        }
    }
    if only.is_empty() && failures.is_empty() {
        let known: BTreeSet<&str> = codes::ALL.iter().map(|problem| problem.name).collect();
        let uncovered: Vec<_> = known.difference(&provoked).collect();
        assert!(uncovered.is_empty(), "nothing provokes {uncovered:?}");
    }
    assert!(
        failures.is_empty(),
        "{} recipes failed on {major}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn every_recipe_is_found_on_17() {
    run("17");
}

#[test]
fn every_recipe_is_found_on_12() {
    run("12");
}

#[test]
fn recipes_have_codes_that_exist() {
    let known: BTreeSet<&str> = codes::ALL.iter().map(|problem| problem.name).collect();
    for code in recipes::all()
        .map(|recipe| recipe.code)
        .chain(ELSEWHERE.iter().map(|(code, _)| *code))
    {
        assert!(known.contains(code), "no such code: {code}");
    }
}

#[test]
fn recipes_have_names_of_their_own() {
    let mut names = BTreeSet::new();
    for recipe in recipes::all() {
        assert!(
            names.insert(recipe.name),
            "two recipes are called {:?}",
            recipe.name
        );
    }
}

/// The page that says which recipe stands for which scenario of PostgreSQL's own tests.
const SCENARIOS: &str = include_str!("../docs/scenarios.md");

#[test]
fn scenarios_of_postgresql_have_recipes() {
    let names: BTreeSet<&str> = recipes::all().map(|recipe| recipe.name).collect();
    let rows = SCENARIOS.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let said: BTreeSet<&str> = cells
        .filter_map(|cell| cell.trim().strip_prefix('`')?.strip_suffix('`'))
        .collect();
    let nowhere: Vec<_> = said.difference(&names).collect();
    assert!(nowhere.is_empty(), "no such recipe: {nowhere:?}");
    let of_tests = |name: &&&str| {
        name.split(['_', ' '])
            .next()
            .is_some_and(|n| n.len() == 3 && n.parse::<u32>().is_ok())
    };
    let silent: Vec<_> = names
        .iter()
        .filter(of_tests)
        .filter(|n| !said.contains(**n))
        .collect();
    assert!(silent.is_empty(), "not in docs/scenarios.md: {silent:?}");
}
