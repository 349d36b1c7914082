//! pg_commit_ts: every transaction that committed in the range that pg_control names has the time when it did.
//!
//! The time is set before pg_xact says that the transaction is committed, for subtransactions too, and replay sets
//! it again (`TransactionTreeSetCommitTsData`, `access/transam/commit_ts.c`; `RecordTransactionCommit` and
//! `xact_redo_commit`, `access/transam/xact.c`). The range begins at the first transaction after
//! track_commit_timestamp was switched on (`ActivateCommitTs`). The reverse is not asked: a page may reach the disk
//! before the record of a commit that a crash undoes.
//!
//! What a time may be is not asked either, but that it is one: clocks go backwards, and replication brings times
//! from elsewhere.

use crate::codes;
use crate::context::Cx;
use crate::finding::Finding;
use crate::multixacts::{Live, each_page};
use pgfsck_catalog::{CommitLog, PreparedTransactions, XidStatus};
use pgfsck_format::control::ControlFile;
use pgfsck_format::datum::dates::check_timestamp;
use pgfsck_format::page::is_all_zero;
use pgfsck_format::slru::{CommitTs, Slru, commit_ts};
use pgfsck_format::{ByteOrder, TransactionId};

/// Transaction ids wrap around here, in the middle of no page.
const IDS: u64 = 1 << 32;

/// Looks at the time of each transaction in pg_control's range; of each page that lacks some, or has impossible
/// ones, the first is reported. The commit log must be whole, and the cluster must have been stopped cleanly.
pub fn check(cx: &Cx<'_>, control: &ControlFile) {
    let point = &control.check_point_copy;
    let (oldest, newest) = (point.oldest_commit_ts_xid, point.newest_commit_ts_xid);
    let next = point.next_xid.xid();
    let in_order = oldest.is_normal() && newest.is_normal() && !newest.precedes(oldest);
    if !control.track_commit_timestamp.get() || !in_order || !newest.precedes(next) {
        return;
    }
    let log = CommitLog::new(cx.fmt);
    let left = u64::from(newest.0.wrapping_sub(oldest.0)) + 1;
    let range = (u64::from(oldest.0), left, IDS);
    // What is prepared has not committed, whatever pg_xact says: `twophase` reports that.
    let prepared = PreparedTransactions::read(cx.volume, cx.fmt);
    let did_commit = |xid: TransactionId| {
        xid.is_normal()
            && log.status(cx.volume, xid) == XidStatus::Committed
            && !prepared.contains(xid)
    };
    each_page(cx, Slru::CommitTs, range, |live| look(cx, did_commit, live));
}

/// The first transaction of a page whose time is not there or is none.
fn look(
    cx: &Cx<'_>,
    did_commit: impl Fn(TransactionId) -> bool,
    live: &Live<'_>,
) -> Option<Finding> {
    live.entries().find_map(|(id, entry)| {
        let CommitTs { time_us, .. } = commit_ts(live.page, entry, cx.fmt.order)?;
        let little = ByteOrder::Little;
        if time_us != 0 && check_timestamp(&time_us.to_le_bytes(), little).is_ok() {
            return None;
        }
        let xid = TransactionId(u32::try_from(id).ok()?);
        if !did_commit(xid) {
            return None;
        }
        let expect = "the time when it committed";
        if time_us != 0 {
            let what = format!("transaction {xid} committed at what is no time");
            let finding = Finding::new(&codes::SLRU_ENTRY_INVALID, live.at.clone(), what);
            return Some(finding.values(time_us, expect));
        }
        let (problem, have, what) = if is_all_zero(live.page) {
            let what = format!("the page is all zero, though transaction {xid} committed");
            (&codes::SLRU_PAGE_ZEROED, "an all-zero page", what)
        } else {
            let what = format!("transaction {xid} committed, and the log has no time of it");
            (&codes::SLRU_ENTRY_INVALID, "0", what)
        };
        Some(Finding::new(problem, live.at.clone(), what).values(have, expect))
    })
}
