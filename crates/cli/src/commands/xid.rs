//! `pgfsck xid`: what became of a transaction, or who the members of a multixact are.

use super::{open, read_control, was_stopped_cleanly};
use crate::args::{ListFormat, XidArgs};
use crate::output::{complain, print, print_json};
use crate::text::plain;
use anyhow::{Context, bail};
use jiff::Timestamp;
use pgfsck_catalog::{Lookup, MultiStory, XidFate, XidStory};
use pgfsck_format::slru::MemberStatus;
use pgfsck_format::{FullTransactionId, MultiXactId, TransactionId};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// The name of the JSON document's form.
pub const SCHEMA: &str = "pgfsck.xid/1";

/// Answers for each number; exit code 2 if the logs could not be read for one.
pub fn run(args: &XidArgs) -> anyhow::Result<ExitCode> {
    let (datadir, numbers) = match args.what.split_first() {
        Some((first, rest)) if !rest.is_empty() && Path::new(first).is_dir() => {
            (Some(Path::new(first)), rest)
        }
        _ => (None, args.what.as_slice()),
    };
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|n| {
            n.parse()
                .with_context(|| format!("\"{}\" is no number", plain(n)))
        })
        .collect::<Result<_, _>>()?;
    let volume = open(&args.data, datadir)?;
    let (recognised, fmt) = read_control(volume.as_ref())?;
    let clean = was_stopped_cleanly(volume.as_ref(), &recognised.control);
    if !clean {
        complain(
            "note: the cluster was not stopped cleanly; the write-ahead log may decide otherwise",
        );
    }
    let lookup = Lookup::new(volume.as_ref(), fmt, &recognised.control, clean);
    let (text, entries, unreadable) = if args.multixact {
        multis(&lookup, &numbers)?
    } else {
        xids(
            &lookup,
            &numbers,
            recognised.control.check_point_copy.next_xid,
        )
    };
    match args.format {
        ListFormat::Text => print(&text)?,
        ListFormat::Json => {
            let list = if args.multixact {
                "multixacts"
            } else {
                "transactions"
            };
            let document = json!({ "schema": SCHEMA, "clean": clean, list: entries });
            print_json(&document)?;
        }
    }
    Ok(ExitCode::from(if unreadable { 2 } else { 0 }))
}

/// The answers as text, as JSON, and whether one could not be had.
type Answers = (String, Vec<Value>, bool);

fn xids(lookup: &Lookup<'_>, numbers: &[u64], next: FullTransactionId) -> Answers {
    let (mut text, mut entries, mut unreadable) = (String::new(), Vec::new(), false);
    for &number in numbers {
        let story = story(lookup, number, next);
        unreadable |= story.fate == XidFate::Unreadable;
        let _ = writeln!(text, "{number}: {}", words(&story));
        entries.push(entry(number, &story));
    }
    (text, entries, unreadable)
}

/// A number of 64 bits tells its epoch: what is of another round than the last 2^31 is too old, or has not
/// begun.
fn story(lookup: &Lookup<'_>, number: u64, next: FullTransactionId) -> XidStory {
    let low = TransactionId((number & u64::from(u32::MAX)) as u32);
    let mut story = lookup.xid(low);
    let is_full = number > u64::from(u32::MAX);
    let round = if low.precedes(next.xid()) && low.0 > next.xid().0 {
        next.epoch().checked_sub(1)
    } else if !low.precedes(next.xid()) && low.0 < next.xid().0 {
        next.epoch().checked_add(1)
    } else {
        Some(next.epoch())
    };
    if is_full && round.map(u64::from) != Some(number >> 32) {
        story = XidStory {
            xid: low,
            fate: if number < next.0 {
                XidFate::TooOld
            } else {
                XidFate::Future
            },
            commit: None,
            parent: None,
            prepared: None,
        };
    }
    story
}

/// One line about a transaction.
fn words(story: &XidStory) -> String {
    let gid = story.prepared.as_ref().map(|p| {
        let gid = plain(&String::from_utf8_lossy(&p.gid));
        if p.xid == story.xid {
            format!(" as \"{gid}\"")
        } else {
            format!(" with transaction {}, as \"{gid}\"", p.xid)
        }
    });
    let mut out = match &story.fate {
        XidFate::Special(name) => format!("no transaction ({name})"),
        XidFate::Future => "it had not begun".to_owned(),
        XidFate::TooOld => {
            "too old: the commit log does not know it any more; its rows are frozen or gone"
                .to_owned()
        }
        XidFate::Committed => "committed".to_owned(),
        XidFate::Aborted => "aborted".to_owned(),
        XidFate::Interrupted => {
            "in progress when the server stopped or crashed: it counts as aborted".to_owned()
        }
        XidFate::Prepared => "prepared".to_owned(),
        XidFate::SubCommitted => {
            "a subtransaction that ended; its parent did not finish its commit".to_owned()
        }
        XidFate::Undecided => "in progress in the commit log: recovery decides".to_owned(),
        XidFate::Unreadable => "the commit log cannot be read there".to_owned(),
    };
    out.push_str(&gid.unwrap_or_default());
    if let Some(commit) = &story.commit {
        let _ = write!(out, " at {}", time(commit.time_us));
        if commit.origin != 0 {
            let _ = write!(out, ", from replication origin {}", commit.origin);
        }
    }
    if let Some(parent) = story.parent {
        let _ = write!(out, "; a subtransaction of {parent}");
    }
    out
}

fn entry(number: u64, story: &XidStory) -> Value {
    json!({
        "xid": number.to_string(),
        "status": story.fate.name(),
        "commit_time": story.commit.map(|c| time(c.time_us)),
        "replication_origin": story.commit.map(|c| c.origin),
        "subtransaction_of": story.parent.map(|p| p.0),
        "prepared": story.prepared.as_ref().map(|p| json!({
            "xid": p.xid.0,
            "gid": String::from_utf8_lossy(&p.gid),
        })),
    })
}

/// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_US: i64 = 946_684_800_000_000;

/// A time of the server's, in UTC.
fn time(us_since_2000: i64) -> String {
    us_since_2000
        .checked_add(EPOCH_US)
        .and_then(|us| Timestamp::from_microsecond(us).ok())
        .map_or_else(
            || format!("{us_since_2000} µs from 2000"),
            |t| t.to_string(),
        )
}

fn multis(lookup: &Lookup<'_>, numbers: &[u64]) -> anyhow::Result<Answers> {
    let (mut text, mut entries, mut unreadable) = (String::new(), Vec::new(), false);
    for &number in numbers {
        let Ok(multi) = u32::try_from(number).map(MultiXactId) else {
            bail!("{number} is no multixact: they have 32 bits");
        };
        let story = lookup.multi(multi);
        unreadable |= story == MultiStory::Unreadable;
        let (word, members) = match &story {
            MultiStory::Future => ("future", &[][..]),
            MultiStory::TooOld => ("too old", &[][..]),
            MultiStory::Unreadable => ("unreadable", &[][..]),
            MultiStory::Members(members) => ("known", members.as_slice()),
        };
        let head = match &story {
            MultiStory::Members(_) => format!("{} members", members.len()),
            MultiStory::Future => "it did not exist yet".to_owned(),
            MultiStory::TooOld => "too old: the log does not know it any more".to_owned(),
            MultiStory::Unreadable => "its members cannot be read".to_owned(),
        };
        let _ = writeln!(text, "{number}: {head}");
        let mut list = Vec::new();
        for member in members {
            let does = member_name(member.status);
            let fate = lookup.xid(member.xid);
            let _ = writeln!(text, "  {} {does}: {}", member.xid, words(&fate));
            list.push(json!({"xid": member.xid.0, "mode": does, "status": fate.fate.name()}));
        }
        entries.push(json!({"multixact": number, "status": word, "members": list}));
    }
    Ok((text, entries, unreadable))
}

/// As `pg_get_multixact_members` calls what a member does (`mxstatus_to_string`).
fn member_name(status: MemberStatus) -> String {
    match status {
        MemberStatus::ForKeyShare => "keysh".into(),
        MemberStatus::ForShare => "sh".into(),
        MemberStatus::ForNoKeyUpdate => "fornokeyupd".into(),
        MemberStatus::ForUpdate => "forupd".into(),
        MemberStatus::NoKeyUpdate => "nokeyupd".into(),
        MemberStatus::Update => "upd".into(),
        MemberStatus::Unknown(other) => format!("unknown ({other})"),
    }
}
