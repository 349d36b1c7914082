//! What the write-ahead log knows of damage that was found: an earlier image of a page that is lost, and who made a
//! file that nobody claims.

use crate::context::Cx;
use crate::finding::{Finding, Severity};
use crate::orphans::in_utc;
use crate::recovery::pages::{address, is_unreadable, relation};
use crate::suspicions::words;
use crate::wal_evidence::{Fate, Image, Questions, RelationStory, WalEvidence};
use pgfsck_format::Major;

/// Seconds from 1970 to 2000, the epoch of PostgreSQL's timestamps (`datatype/timestamp.h`).
const POSTGRES_EPOCH: i64 = 946_684_800;

/// What the log is to be asked about these findings.
pub fn ask(held: &[Finding], questions: &mut Questions) {
    for finding in held {
        if is_unreadable(finding) {
            if let Some(at) = address(&finding.place) {
                questions.image(at);
            }
        } else if let Some((locator, _)) = relation(&finding.place) {
            questions.relation(locator);
        }
    }
}

/// Reports them, with what the log says.
pub fn conclude(cx: &Cx<'_>, held: Vec<Finding>, evidence: &WalEvidence) {
    for finding in held {
        let finding = if is_unreadable(&finding) {
            with_image(cx, finding, evidence)
        } else {
            with_origin(finding, evidence, cx.fmt.major)
        };
        cx.sink.report_final(finding);
    }
}

/// A lost page, with the command that writes out its newest image.
fn with_image(cx: &Cx<'_>, finding: Finding, evidence: &WalEvidence) -> Finding {
    let Some(at) = address(&finding.place).filter(|_| finding.severity == Severity::Error) else {
        return finding;
    };
    let Some(Image {
        record,
        changed_later,
    }) = evidence.image(at)
    else {
        return finding;
    };
    let l = at.locator;
    let fork = at.fork.name();
    let later = match changed_later {
        0 => "no later record changed it".to_owned(),
        1 => "one later record changed it".to_owned(),
        n => format!("{n} later records changed it"),
    };
    let advice = format!(
        "The write-ahead log still has an image of the page, at {} ({later}). To write it to a file: \
         pgfsck wal image --relation {}/{}/{} --fork {fork} --block {} --lsn {} -o {}.{fork}.{} {}",
        record.lsn,
        l.tablespace,
        l.database,
        l.number,
        at.block,
        record.lsn,
        l.number,
        at.block,
        quoted(&cx.volume.display_path()),
    );
    finding.advice(advice)
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

/// A file that nobody claims, with who made it and what became of that.
fn with_origin(mut finding: Finding, evidence: &WalEvidence, major: Major) -> Finding {
    let story = relation(&finding.place).and_then(|(locator, _)| evidence.relation(locator));
    let Some(story) = story else { return finding };
    if let Some(text) = origin(&story, evidence, major) {
        finding.message = format!("{}; {text}", finding.message);
    }
    finding
}

fn origin(story: &RelationStory, evidence: &WalEvidence, major: Major) -> Option<String> {
    let when = |xid| {
        evidence
            .ended_at(xid)
            .and_then(utc)
            .map_or_else(String::new, |t| format!(" ({t})"))
    };
    let made = story.created.map(|created| {
        let xid = created.xid;
        let end = match evidence.fate(xid) {
            Some(Fate::Committed(e)) => format!("which committed at {}{}", e.lsn, when(xid)),
            Some(Fate::Aborted(e)) => format!("which was rolled back at {}{}", e.lsn, when(xid)),
            Some(Fate::Prepared(e)) => format!("which was prepared at {} and not ended", e.lsn),
            None => "which never ended: the server stopped in the middle of it, and recovery leaves such files".to_owned(),
        };
        format!("by the write-ahead log, transaction {xid} made it at {}, {end}", created.lsn)
    });
    let dropped = story.dropped.map(|event| {
        format!(
            "it was dropped by the {}{}, and the file was not removed",
            words(&event, major),
            when(event.xid)
        )
    });
    match (made, dropped) {
        (Some(made), Some(dropped)) => Some(format!("{made}; {dropped}")),
        (made, dropped) => made.or(dropped),
    }
}

/// A PostgreSQL timestamp in words.
fn utc(microseconds: i64) -> Option<String> {
    let seconds = microseconds
        .div_euclid(1_000_000)
        .checked_add(POSTGRES_EPOCH)?;
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some(in_utc(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_a_shell_takes_them() {
        assert_eq!(quoted("/var/lib/pg-17_a.b"), "/var/lib/pg-17_a.b");
        assert_eq!(quoted("/my data"), "'/my data'");
        assert_eq!(quoted("/it's; $(rm)"), r"'/it'\''s; $(rm)'");
    }
}
