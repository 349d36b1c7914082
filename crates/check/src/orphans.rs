//! Relation files that no counting row of the catalog claims.
//!
//! An orphan is declared only where its opposite is excluded: the catalog was read whole, the cluster
//! was stopped cleanly, and no prepared transaction can still bring the row. Everything else that
//! nobody claims is said, as a note, with what is known of it.

use crate::codes;
use crate::context::{Cx, Level, Standing};
use crate::finding::{DatabaseRef, Finding, Place, Severity};
use crate::inventory::{RelFile, RelationDirectory};
use crate::scan::{ForkFiles, HeaderOnly, scan};
use crate::segments::chain;
use crate::sink::Counters;
use pgfsck_catalog::{Claim, DatabaseCatalog, RowFate};
use pgfsck_format::{ForkNumber, Oid, RelFileLocator};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

/// Looks at every file of a directory that no relation claims.
pub fn check(
    cx: &Cx<'_>,
    directory: &RelationDirectory,
    catalog: &DatabaseCatalog,
    log_is_sound: bool,
    claimed: &[RelFileLocator],
    database: &Arc<DatabaseRef>,
) {
    if catalog.complete && log_is_sound && report_abandoned_copy(cx, directory, claimed, database) {
        return scan_unclaimed_except(cx, directory, claimed, database);
    }
    for (first, files, locator) in unclaimed(directory, claimed) {
        let place = Place {
            path: directory.path_of(first),
            database: Some(database.clone()),
            fork: Some(first.name.fork),
            ..Place::default()
        };
        let standing = judge(
            (cx, directory),
            files,
            (catalog, log_is_sound),
            locator,
            place.clone(),
        );
        Counters::add(
            &cx.sink.counters.files_examined,
            files.iter().filter(|f| f.regular).count() as u64,
        );
        if cx.level >= Level::Pages {
            scan_pages(cx, directory, files, &place, standing);
        }
    }
}

/// The files of each relation that nobody claims: the first of them, all of them, and their locator.
/// Temporary relations are nobody's by their names.
fn unclaimed<'d>(
    directory: &'d RelationDirectory,
    claimed: &[RelFileLocator],
) -> impl Iterator<Item = (&'d RelFile, &'d [RelFile], RelFileLocator)> {
    directory.relations().filter_map(move |files| {
        let first = files.first()?;
        let locator = RelFileLocator {
            tablespace: directory.tablespace,
            database: directory.database,
            number: first.name.number,
        };
        let free = first.name.temp_backend.is_some() || claimed.binary_search(&locator).is_err();
        free.then_some((first, files, locator))
    })
}

/// Files with the numbers of system catalogs, in a tablespace that is not the database's own, are the rest
/// of an ALTER DATABASE SET TABLESPACE that did not finish: one finding for all of them.
fn report_abandoned_copy(
    cx: &Cx<'_>,
    directory: &RelationDirectory,
    claimed: &[RelFileLocator],
    database: &Arc<DatabaseRef>,
) -> bool {
    const ENOUGH: usize = 8;
    let count = unclaimed(directory, claimed)
        .filter(|(_, _, locator)| locator.number.0 < Oid::FIRST_NORMAL.0)
        .count();
    // The database's own catalogs are elsewhere.
    let moved = claimed.iter().any(|l| {
        l.database == directory.database
            && l.tablespace != directory.tablespace
            && l.number.0 < Oid::FIRST_NORMAL.0
    });
    if directory.database.0 == 0 || count < ENOUGH || !moved {
        return false;
    }
    let severity = if cx.standing().is_settled() {
        Severity::Warning
    } else {
        Severity::Note
    };
    let message = format!(
        "a copy of the database's catalogs ({count} of them) that nothing claims: the rest of an ALTER DATABASE SET TABLESPACE"
    );
    let place = Place {
        database: Some(database.clone()),
        ..Place::file(directory.path.clone())
    };
    cx.sink
        .report(Finding::new(&codes::DATABASE_DIRECTORY_ORPHAN, place, message).severity(severity));
    true
}

/// Reads the pages of a directory whose database is gone or going, without asking who claims what.
pub fn scan_unclaimed(cx: &Cx<'_>, directory: &RelationDirectory, database: &Arc<DatabaseRef>) {
    scan_unclaimed_except(cx, directory, &[], database);
}

/// The same for all but the claimed files.
fn scan_unclaimed_except(
    cx: &Cx<'_>,
    directory: &RelationDirectory,
    claimed: &[RelFileLocator],
    database: &Arc<DatabaseRef>,
) {
    for (first, files, _) in unclaimed(directory, claimed) {
        let place = Place {
            path: directory.path_of(first),
            database: Some(database.clone()),
            ..Place::default()
        };
        Counters::add(
            &cx.sink.counters.files_examined,
            files.iter().filter(|f| f.regular).count() as u64,
        );
        if cx.level >= Level::Pages {
            scan_pages(cx, directory, files, &place, Standing::Discarded);
        }
    }
}

/// Says what the files are; returns what their content is worth.
fn judge(
    (cx, directory): (&Cx<'_>, &RelationDirectory),
    files: &[RelFile],
    (catalog, log_is_sound): (&DatabaseCatalog, bool),
    locator: RelFileLocator,
    place: Place,
) -> Standing {
    let bytes: u64 = files.iter().map(|f| f.bytes).sum();
    let what = describe(cx, directory, files, bytes);
    if files.iter().any(|f| f.name.temp_backend.is_some()) {
        let message = format!("left by a temporary relation: {what}");
        cx.sink
            .report(Finding::new(&codes::FILE_TEMPORARY, place, message));
        return Standing::Discarded;
    }
    let claims = catalog.claims_on(locator);
    let describe_claim = |c: &Claim| c.describe(&catalog.names, catalog.schema(c.namespace));
    let open = claims
        .iter()
        .find(|c| matches!(c.fate, RowFate::InsertedInProgress { .. }));
    if let Some(claim) = open {
        // A prepared transaction's relation is nobody's yet and must not be removed.
        let message = format!(
            "no counting catalog row claims it yet: {}; {what}",
            describe_claim(claim)
        );
        cx.sink.report(
            Finding::new(&codes::FILE_UNCLAIMED, place, message)
                .advice("Nothing: COMMIT PREPARED or ROLLBACK PREPARED decides."),
        );
        return cx.standing();
    }
    let origin = claims.first().map_or_else(
        || "no row tells its origin".to_owned(),
        |c| format!("it was {}", describe_claim(c)),
    );
    let complete = catalog.complete && log_is_sound;
    let settled = cx.standing().is_settled();
    if settled
        && complete
        && bytes == 0
        && files
            .iter()
            .all(|f| f.name.segment == 0 && f.name.fork == ForkNumber::Main)
    {
        // DROP and TRUNCATE leave the first segment empty until the next checkpoint; after a clean stop
        // it has no claim any more, but there is nothing in it either.
        let message =
            format!("an empty relation file that no catalog row claims; {origin}; {what}");
        cx.sink
            .report(Finding::new(&codes::FILE_ORPHAN, place, message).severity(Severity::Note));
        return Standing::Discarded;
    }
    if settled && complete {
        let message = format!("no catalog row claims this relation file; {origin}; {what}");
        cx.sink
            .report(Finding::new(&codes::FILE_ORPHAN, place, message));
    } else {
        let why = if complete {
            "the write-ahead log still to be replayed may bring its row"
        } else if catalog.complete {
            "the commit log is damaged, and may have forgotten who made it"
        } else {
            "the catalog could not be read whole"
        };
        let message =
            format!("no catalog row claims this relation file, but {why}; {origin}; {what}");
        cx.sink
            .report(Finding::new(&codes::FILE_UNCLAIMED, place, message));
        return cx.standing(); // it may well be somebody's
    }
    Standing::Discarded
}

/// Forks, segments, size and age, in words.
fn describe(cx: &Cx<'_>, directory: &RelationDirectory, files: &[RelFile], bytes: u64) -> String {
    let mut out = format!(
        "{} file{}, {bytes} bytes",
        files.len(),
        if files.len() == 1 { "" } else { "s" }
    );
    let forks: Vec<&str> = ForkNumber::ALL
        .iter()
        .filter(|k| files.iter().any(|f| f.name.fork == **k))
        .map(|k| k.name())
        .collect();
    let _ = write!(out, " ({})", forks.join(", "));
    let modified = |f: &RelFile| cx.volume.open(&directory.path_of(f)).ok()?.modified();
    if let Some(t) = files.iter().filter_map(modified).max() {
        let _ = write!(out, ", last changed {}", utc(t));
    }
    out
}

/// A time as `YYYY-MM-DD HH:MM:SS UTC`.
fn utc(t: SystemTime) -> String {
    jiff::Timestamp::try_from(t).map_or_else(|_| "at an impossible time".to_owned(), in_utc)
}

/// The same, of a time that is possible.
pub(crate) fn in_utc(t: jiff::Timestamp) -> String {
    t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The pages of files that nobody claims are read like all others.
fn scan_pages(
    cx: &Cx<'_>,
    directory: &RelationDirectory,
    files: &[RelFile],
    place: &Place,
    standing: Standing,
) {
    for run in files.chunk_by(|a, b| a.name.fork == b.name.fork) {
        let Some(fork) = run.first().map(|f| f.name.fork) else {
            continue;
        };
        let at = Place {
            fork: Some(fork),
            ..place.clone()
        };
        let segments = chain(cx, directory, run, &at, false).segments;
        scan(
            cx,
            &ForkFiles {
                segments,
                place: at,
                standing,
                logged: None,
            },
            HeaderOnly::default,
        );
    }
}
