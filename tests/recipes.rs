//! The damage that an audit must find: each recipe is one corruption of a healthy cluster, and the
//! code, path and block that it must be reported with, and nothing else.

use std::collections::BTreeSet;
use std::panic::catch_unwind;

use pgfsck_check::codes;
use pgfsck_fixtures::recipes;

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
        "not_stopped::a_failing_disk_is_reported_block_by_block",
    ),
];

/// Applies every recipe to a copy of a well-used cluster of this major.
fn run(major: &'static str) {
    let Some(base) = used(major) else { return };
    let only = std::env::var("PGFSCK_RECIPE").unwrap_or_default();
    let mut failures = Vec::new();
    for recipe in recipes::all().filter(|recipe| recipe.name.contains(&only)) {
        let verdict = catch_unwind(|| {
            let mut ground = ground(base);
            (recipe.apply)(&mut ground);
            ground.verdict()
        });
        match verdict.unwrap_or_else(|_| Err("the damage could not be done".to_owned())) {
            Ok(audit) if audit.count(recipe.code) == 0 => failures.push(format!(
                "{} ({}): the code was not provoked: {}",
                recipe.name,
                recipe.code,
                audit.explain()
            )),
            Ok(_) => {}
            Err(why) => failures.push(format!("{} ({}): {why}", recipe.name, recipe.code)),
        }
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
fn every_code_has_a_recipe() {
    let covered: BTreeSet<&str> = recipes::all()
        .map(|recipe| recipe.code)
        .chain(ELSEWHERE.iter().map(|(code, _)| *code))
        .collect();
    let known: BTreeSet<&str> = codes::ALL.iter().map(|problem| problem.name).collect();
    let uncovered: Vec<_> = known.difference(&covered).collect();
    assert!(uncovered.is_empty(), "nothing provokes {uncovered:?}");
    let unknown: Vec<_> = covered.difference(&known).collect();
    assert!(unknown.is_empty(), "no such code: {unknown:?}");
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
