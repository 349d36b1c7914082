//! Multixacts: sets of transactions that lock or update one row (`access/transam/multixact.c`).
//!
//! A multixact's members end where those of the next one start; where the newest ends is in
//! pg_control. Only the member that updates the row matters to its fate.

use super::slru::SlruPages;
use pgfsck_format::slru::{
    MultiXactMember, Slru, member_count, multixact_member, multixact_offset, next_multixact,
};
use pgfsck_format::{ClusterFormat, MultiXactId, MultiXactOffset, TransactionId};
use pgfsck_volume::Volume;

/// More members than a server gathers in one multixact (one per session at a time); a larger count
/// is taken for damage, so that hostile rows cannot keep the reader busy.
const MAX_MEMBERS: u64 = 1 << 13;

/// Where the multixacts end, by pg_control's `nextMulti` and `nextMultiOffset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiXactEnd {
    /// The next multixact id to be given out.
    pub next: MultiXactId,
    /// Where its members will start.
    pub next_offset: MultiXactOffset,
}

/// The members of a multixact could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// Multixact members, read on demand.
#[derive(Debug)]
pub struct MultiXacts {
    offsets: SlruPages,
    members: SlruPages,
    fmt: ClusterFormat,
    end: Option<MultiXactEnd>,
}

impl MultiXacts {
    /// For one cluster; nothing is read yet.
    #[must_use]
    pub fn new(fmt: ClusterFormat, end: Option<MultiXactEnd>) -> Self {
        Self {
            offsets: SlruPages::new(Slru::MultiXactOffsets, fmt),
            members: SlruPages::new(Slru::MultiXactMembers, fmt),
            fmt,
            end,
        }
    }

    /// The member that updates or deletes the row, if there is one (`MultiXactIdGetUpdateXid`).
    ///
    /// # Errors
    /// [`Unreadable`] if the members cannot be had.
    pub fn updater(
        &self,
        volume: &dyn Volume,
        multi: MultiXactId,
    ) -> Result<Option<TransactionId>, Unreadable> {
        let mut updater = None;
        self.walk(volume, multi, |member| {
            updater = member.status.is_update().then_some(member.xid);
            updater.is_none()
        })?;
        Ok(updater)
    }

    /// All members, in the order of the log.
    ///
    /// # Errors
    /// [`Unreadable`] if they cannot be had.
    pub fn members(
        &self,
        volume: &dyn Volume,
        multi: MultiXactId,
    ) -> Result<Vec<MultiXactMember>, Unreadable> {
        let mut members = Vec::new();
        self.walk(volume, multi, |member| {
            members.push(member);
            true
        })?;
        Ok(members)
    }

    /// Hands the members to `each`, one after the other, until it has enough.
    fn walk(
        &self,
        volume: &dyn Volume,
        multi: MultiXactId,
        mut each: impl FnMut(MultiXactMember) -> bool,
    ) -> Result<(), Unreadable> {
        const NONE: MultiXactOffset = MultiXactOffset(0);
        let start = self.offset(volume, multi).ok_or(Unreadable)?;
        if start == NONE {
            return Err(Unreadable); // never written
        }
        let next = next_multixact(multi);
        let end = match self.end {
            Some(e) if e.next == next => e.next_offset,
            _ => self.offset(volume, next).unwrap_or(NONE),
        };
        // Before 2026 a server wrote an end only with the next multixact. Where it is missing, the
        // members end before the first empty one.
        let open_ended = end == NONE;
        let count = if open_ended {
            MAX_MEMBERS
        } else {
            member_count(start, end, self.fmt)
        };
        if count > MAX_MEMBERS {
            return Err(Unreadable);
        }
        for i in 0..count {
            let member = self
                .member(volume, start.0.wrapping_add(i))
                .ok_or(Unreadable)?;
            if member.xid == TransactionId::INVALID {
                if open_ended {
                    break;
                }
                continue; // offset 0 is left empty when 32-bit offsets wrap
            }
            if !each(member) {
                break;
            }
        }
        Ok(())
    }

    /// Where the members of `multi` start.
    fn offset(&self, volume: &dyn Volume, multi: MultiXactId) -> Option<MultiXactOffset> {
        let (page, entry) = self.offsets.entry(volume, u64::from(multi.0))?;
        multixact_offset(&page, entry, self.fmt)
    }

    /// The member at `offset`.
    fn member(&self, volume: &dyn Volume, offset: u64) -> Option<MultiXactMember> {
        let narrow = self.fmt.version().multixact_offset_bytes <= 4;
        let offset = if narrow {
            offset & u64::from(u32::MAX)
        } else {
            offset
        };
        let (page, entry) = self.members.entry(volume, offset)?;
        multixact_member(&page, entry, self.fmt.order)
    }
}
