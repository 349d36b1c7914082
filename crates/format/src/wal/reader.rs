//! Reading the log record by record, across pages and segments (`access/transam/xlogreader.c`).
//!
//! The reader asks a [`WalSource`] for bytes and does no I/O itself. It validates the header of every
//! page that it enters and the length, the link back and the CRC of every record, and it ends at the
//! first thing that is not sound: that is how a server finds the end of WAL, because segments are
//! preallocated or recycled and go on behind the end with zeros or with an older log. [`WalEnd`] says
//! what was met; whether that is the natural end or damage, only a caller can tell that knows how far
//! the log must reach.
//!
//! A record begins at a multiple of the maximum alignment and may go on over any number of pages; each
//! of these says in `xlp_rem_len` how much is still to come. Where a server crashed while writing such
//! a record, the next page may carry the flag `XLP_FIRST_IS_OVERWRITE_CONTRECORD`: then the record was
//! given up, and the log goes on with that page. After a record of type `XLOG_SWITCH` the log goes on
//! with the next segment.

use crate::cluster::ClusterFormat;
use crate::ids::{Lsn, TimeLineId};
use crate::layouts::wal as layout;
use crate::wal::end::{StopReason, WalEnd, WalStop};
use crate::wal::page::{XLogPageHeader, short_header_bytes};
use crate::wal::record::{self, HEADER_BYTES, RecordHeader};
use crate::wal::rmgr::RecordType;
use std::ops::Range;

mod long;
mod quick;
mod raw;

pub use long::MAX_HELD_BYTES;
use long::Scratch;
pub use raw::RawRecord;

/// Where the bytes of the log come from.
pub trait WalSource {
    /// Why bytes could not be had.
    type Error;

    /// Fills `buf` with the log from `at` on, and says how many bytes were there: 0 if the segment is
    /// not there or ends before. `at` is the start of a page, and `buf` does not reach beyond the
    /// segment.
    ///
    /// # Errors
    /// If the bytes are there but cannot be read.
    fn read(&mut self, at: Lsn, buf: &mut [u8]) -> Result<usize, Self::Error>;
}

impl<S: WalSource + ?Sized> WalSource for &mut S {
    type Error = S::Error;

    fn read(&mut self, at: Lsn, buf: &mut [u8]) -> Result<usize, S::Error> {
        (**self).read(at, buf)
    }
}

/// How many bytes are asked of the source at a time, at most: they stay in a core's cache until their records
/// have been summed up.
const CHUNK_BYTES: usize = 1 << 17;

/// Reads records in order.
pub struct WalReader<S> {
    source: S,
    fmt: ClusterFormat,
    system_identifier: Option<u64>,
    chunk: Vec<u8>,
    /// Address and length of what is in the chunk.
    chunk_at: Lsn,
    chunk_bytes: usize,
    /// A record that crosses pages, put together.
    scratch: Scratch,
    /// Where the next record begins, or the page header before it.
    at: Lsn,
    /// Where the last record begins.
    prev: Option<Lsn>,
    /// The page whose header was validated last, and what it says.
    page: Option<(Lsn, XLogPageHeader)>,
    /// What follows that header on the page, as long as the chunk holds it.
    body: Range<Lsn>,
    /// A record that was given up, by the page that says so.
    overwritten: Option<Lsn>,
}

/// The stop while its place is known and its record's start is filled in by the caller.
type Stopped<E> = (Lsn, StopReason<E>);

impl<S: WalSource> WalReader<S> {
    /// A reader that begins with the record at `start`; the segments must carry that system identifier,
    /// if one is given.
    pub fn new(source: S, fmt: ClusterFormat, system_identifier: Option<u64>, start: Lsn) -> Self {
        Self {
            source,
            fmt,
            system_identifier,
            chunk: Vec::new(),
            chunk_at: Lsn(0),
            chunk_bytes: 0,
            scratch: Scratch::default(),
            at: start,
            prev: None,
            page: None,
            body: Lsn(0)..Lsn(0),
            overwritten: None,
        }
    }

    /// A reader that begins with the first record that begins at or after the start of the page that
    /// `from` lies on (`XLogFindNextRecord`).
    ///
    /// # Errors
    /// If the pages up to there are not sound.
    pub fn at_first_record(
        source: S,
        fmt: ClusterFormat,
        system_identifier: Option<u64>,
        from: Lsn,
    ) -> Result<Self, WalStop<S::Error>> {
        let mut reader = Self::new(source, fmt, system_identifier, from);
        reader.at = reader.page_of(from);
        reader.skip_continuation().map_err(|(place, why)| WalStop {
            lsn: reader.at,
            place,
            why,
        })?;
        Ok(reader)
    }

    /// Where the next record would begin; after the last one, the end of the log.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.at
    }

    /// Where a record began that was given up, if the last record read follows it.
    #[must_use]
    pub fn overwritten(&self) -> Option<Lsn> {
        self.overwritten
    }

    /// Gives the source back.
    pub fn into_source(self) -> S {
        self.source
    }

    /// The next record. After an error the reader stays where it is.
    ///
    /// # Errors
    /// [`WalStop`] at the end of the log, whatever the end looks like.
    #[inline]
    pub fn next_record(&mut self) -> Result<RawRecord<'_>, WalStop<S::Error>> {
        match self.next_on_page() {
            Some(found) => {
                self.overwritten = None;
                Ok(self.step_over(&found))
            }
            None => self.next_by_assembly(),
        }
    }

    /// The next record, by all that it takes. Out of line, so that [`Self::next_record`] can be a part of its caller.
    #[inline(never)]
    fn next_by_assembly(&mut self) -> Result<RawRecord<'_>, WalStop<S::Error>> {
        match self.assemble() {
            Ok(found) => Ok(self.step_over(&found)),
            Err((place, why)) => Err(WalStop {
                lsn: self.at,
                place,
                why,
            }),
        }
    }

    /// Goes on behind a record, and returns it.
    #[inline]
    fn step_over(&mut self, found: &Found) -> RawRecord<'_> {
        self.prev = Some(found.lsn);
        self.at = found.end;
        let bytes = match found.place {
            Assembled::Chunk { at, len } => self.chunk.get(at..at.saturating_add(len)),
            Assembled::Scratch => Some(self.scratch.held()),
        };
        RawRecord {
            lsn: found.lsn,
            end: found.end,
            timeline: self.page.map_or(TimeLineId(0), |p| p.1.timeline),
            header: found.header,
            bytes: bytes.unwrap_or_default(),
            fmt: &self.fmt,
        }
    }

    /// Reads and validates one record.
    fn assemble(&mut self) -> Result<Found, Stopped<S::Error>> {
        self.overwritten = None;
        loop {
            let start = self.record_start()?;
            let rest = self.rest_of_page(start)?;
            let total = record::total_bytes(rest, self.fmt.order).unwrap_or(0);
            let here = rest.len();
            if total == 0 {
                return end(start, WalEnd::ZeroLength);
            }
            if (total as usize) < HEADER_BYTES || total > layout::max_record_bytes(self.fmt.major) {
                return end(start, WalEnd::Length { have: total });
            }
            let len = total as usize;
            if here >= HEADER_BYTES {
                let header = RecordHeader::decode(rest, self.fmt.order).ok();
                let header = self.check_header(start, header)?;
                if len <= here {
                    let at = self.offset_in_chunk(start);
                    let found = Assembled::Chunk { at, len };
                    let stop = Lsn(start.0.saturating_add(self.fmt.maxalign(len) as u64));
                    return self.finish(start, stop, header, found);
                }
            }
            self.scratch.clear();
            let from = self.offset_in_chunk(start);
            let bytes = self
                .chunk
                .get(from..from.saturating_add(here))
                .unwrap_or_default();
            self.scratch.extend(bytes);
            match self.continue_record(start, len)? {
                Some(stop) => {
                    let header = RecordHeader::decode(self.scratch.held(), self.fmt.order).ok();
                    let header = self.check_header(start, header)?;
                    return self.finish(start, stop, header, Assembled::Scratch);
                }
                // The record was given up: the log goes on with the page that says so.
                None => self.overwritten = Some(start),
            }
        }
    }

    /// Puts the rest of a record into `scratch`, and says where it ends; `None` if it was given up.
    fn continue_record(
        &mut self,
        start: Lsn,
        len: usize,
    ) -> Result<Option<Lsn>, Stopped<S::Error>> {
        let mut page = self.page_of(start);
        loop {
            page = Lsn(page.0.saturating_add(u64::from(self.fmt.wal_block_size)));
            let header = self.enter_page(page)?;
            if header.first_is_overwritten(self.fmt.major) {
                self.at = page;
                return Ok(None);
            }
            if !header.first_is_continuation() {
                return end(page, WalEnd::NoContinuation);
            }
            let missing = len.saturating_sub(self.scratch.len());
            if header.remaining_bytes as usize != missing {
                let expect = u32::try_from(missing).unwrap_or(u32::MAX);
                let have = header.remaining_bytes;
                return end(page, WalEnd::ContinuationLength { have, expect });
            }
            let body = page
                .0
                .saturating_add(header.header_bytes(self.fmt.max_align) as u64);
            let here = self.rest_of_page(Lsn(body))?.len().min(missing);
            let had_header = self.scratch.len() >= HEADER_BYTES;
            let from = self.offset_in_chunk(Lsn(body));
            let bytes = self
                .chunk
                .get(from..from.saturating_add(here))
                .unwrap_or_default();
            self.scratch.extend(bytes);
            if !had_header && self.scratch.len() >= HEADER_BYTES {
                let head = RecordHeader::decode(self.scratch.held(), self.fmt.order).ok();
                self.check_header(start, head)?;
            }
            if here == missing {
                let stop = body.saturating_add(self.fmt.maxalign(here) as u64);
                return Ok(Some(Lsn(stop)));
            }
        }
    }

    /// The record's CRC, and where the next one begins.
    fn finish(
        &mut self,
        start: Lsn,
        stop: Lsn,
        header: RecordHeader,
        place: Assembled,
    ) -> Result<Found, Stopped<S::Error>> {
        let crc = match place {
            Assembled::Chunk { at, len } => {
                let bytes = self.chunk.get(at..at.saturating_add(len));
                record::crc(bytes.unwrap_or_default(), self.fmt.order).ok()
            }
            Assembled::Scratch => Some(self.scratch.crc(&header)),
        };
        let Some(crc) = crc else {
            return end(start, WalEnd::Length { have: 0 });
        };
        if !crc.matches() {
            return end(start, WalEnd::Crc(crc));
        }
        let end = if header.record_type() == RecordType::SWITCH {
            self.segment_of(stop.0.saturating_sub(1))
                .saturating_add(u64::from(self.fmt.wal_segment_bytes))
        } else {
            stop.0
        };
        Ok(Found {
            lsn: start,
            end: Lsn(end),
            header,
            place,
        })
    }

    /// Where the next record begins: behind the page header, if that comes first.
    fn record_start(&mut self) -> Result<Lsn, Stopped<S::Error>> {
        let page = self.page_of(self.at);
        // Most records begin behind another one on the same page.
        if let Some((entered, header)) = &self.page
            && *entered == page
            && self.holds(page)
            && self.at.0 - page.0 > header.header_bytes(self.fmt.max_align) as u64
        {
            return Ok(self.at);
        }
        let header = self.enter_page(page)?;
        let first = page
            .0
            .saturating_add(header.header_bytes(self.fmt.max_align) as u64);
        if self.at == page {
            self.at = Lsn(first);
        }
        if self.at.0 < first {
            return end(self.at, WalEnd::Continuation);
        }
        if self.at.0 == first && header.first_is_continuation() {
            return end(page, WalEnd::Continuation);
        }
        Ok(self.at)
    }

    /// Moves from the start of a page to the first record that begins there or later.
    fn skip_continuation(&mut self) -> Result<(), Stopped<S::Error>> {
        let page_bytes = u64::from(self.fmt.wal_block_size);
        loop {
            let page = self.at;
            let header = self.enter_page(page)?;
            let head = header.header_bytes(self.fmt.max_align) as u64;
            let rest = if header.first_is_continuation() {
                self.fmt.maxalign(header.remaining_bytes as usize) as u64
            } else {
                0
            };
            if head.saturating_add(rest) < page_bytes {
                self.at = Lsn(page.0.saturating_add(head).saturating_add(rest));
                return Ok(());
            }
            self.at = Lsn(page.0.saturating_add(page_bytes));
        }
    }

    /// What can be told from the header alone.
    fn check_header(
        &self,
        start: Lsn,
        header: Option<RecordHeader>,
    ) -> Result<RecordHeader, Stopped<S::Error>> {
        let Some(header) = header else {
            return end(start, WalEnd::Length { have: 0 });
        };
        if !header.rmgr.is_known(self.fmt.major) {
            return end(start, WalEnd::Rmgr(header.rmgr));
        }
        let linked = match self.prev {
            Some(prev) => header.prev == prev,
            None => header.prev < start,
        };
        if linked {
            Ok(header)
        } else {
            let have = header.prev;
            end(
                start,
                WalEnd::Prev {
                    have,
                    expect: self.prev,
                },
            )
        }
    }

    /// Brings a page into the chunk and validates its header.
    fn enter_page(&mut self, page: Lsn) -> Result<XLogPageHeader, Stopped<S::Error>> {
        if let Some((at, header)) = self.page
            && at == page
            && self.holds(page)
        {
            return Ok(header);
        }
        let segment = Lsn(self.segment_of(page.0));
        let entered = self
            .page
            .is_some_and(|(at, _)| self.segment_of(at.0) == segment.0);
        if !entered && page != segment {
            // Only the first page of a segment says to which cluster it belongs.
            self.fill(segment)?;
            self.validate(segment)?;
        }
        self.fill(page)?;
        self.validate(page)
    }

    /// Validates the header of a page in the chunk (`XLogReaderValidatePageHeader`).
    fn validate(&mut self, page: Lsn) -> Result<XLogPageHeader, Stopped<S::Error>> {
        let fmt = self.fmt;
        let bytes = self.chunk_from(page, fmt.wal_block_size as usize);
        let Ok(header) = XLogPageHeader::decode(bytes, page.0, fmt.order, fmt.max_align) else {
            return end(page, WalEnd::NoBytes);
        };
        let is_first = self.segment_of(page.0) == page.0;
        let have = header.info;
        if header.magic != fmt.version().wal_magic {
            return end(page, WalEnd::Magic { have: header.magic });
        }
        if header.unknown_flags(fmt.major) != 0 || (is_first && header.long.is_none()) {
            return end(page, WalEnd::Flags { have });
        }
        if let Some(long) = header.long {
            if self
                .system_identifier
                .is_some_and(|id| id != long.system_identifier)
            {
                let have = long.system_identifier;
                return end(page, WalEnd::SystemIdentifier { have });
            }
            if (long.segment_bytes, long.block_bytes) != (fmt.wal_segment_bytes, fmt.wal_block_size)
            {
                let (segment_bytes, block_bytes) = (long.segment_bytes, long.block_bytes);
                return end(
                    page,
                    WalEnd::Geometry {
                        segment_bytes,
                        block_bytes,
                    },
                );
            }
        }
        if header.page_address != page {
            return end(
                page,
                WalEnd::PageAddress {
                    have: header.page_address,
                },
            );
        }
        if let Some((at, before)) = self.page
            && at < page
            && header.timeline < before.timeline
        {
            let (have, before) = (header.timeline, before.timeline);
            return end(page, WalEnd::TimeLine { have, before });
        }
        self.page = Some((page, header));
        let head = header.header_bytes(fmt.max_align) as u64;
        let end = page.0.saturating_add(u64::from(fmt.wal_block_size));
        self.body = Lsn(page.0.saturating_add(head))..Lsn(end);
        Ok(header)
    }

    /// Brings a page, and what follows it in the segment, into the chunk.
    fn fill(&mut self, page: Lsn) -> Result<(), Stopped<S::Error>> {
        if self.holds(page) {
            return Ok(());
        }
        let page_bytes = self.fmt.wal_block_size as usize;
        let segment_end = self
            .segment_of(page.0)
            .saturating_add(u64::from(self.fmt.wal_segment_bytes));
        let left = usize::try_from(segment_end.saturating_sub(page.0)).unwrap_or(usize::MAX);
        let want = left.min(CHUNK_BYTES.max(page_bytes));
        if page_bytes < short_header_bytes(self.fmt.max_align) || want < page_bytes {
            return end(page, WalEnd::NoBytes);
        }
        self.chunk.resize(want, 0);
        self.chunk_bytes = 0;
        self.chunk_at = page;
        self.body = page..page;
        let got = match self.source.read(page, &mut self.chunk) {
            Ok(n) => n.min(want),
            Err(e) => return Err((page, StopReason::Source(e))),
        };
        self.chunk_bytes = got - got.checked_rem(page_bytes).unwrap_or(0);
        if self.holds(page) {
            Ok(())
        } else {
            end(page, WalEnd::NoBytes)
        }
    }

    /// Whether the page is in the chunk.
    fn holds(&self, page: Lsn) -> bool {
        let at = page.0.wrapping_sub(self.chunk_at.0);
        page >= self.chunk_at && at < self.chunk_bytes as u64
    }

    /// Offset of an address that the chunk holds.
    fn offset_in_chunk(&self, at: Lsn) -> usize {
        usize::try_from(at.0.saturating_sub(self.chunk_at.0)).unwrap_or(usize::MAX)
    }

    /// At most `len` bytes of the chunk from an address on.
    fn chunk_from(&self, at: Lsn, len: usize) -> &[u8] {
        let from = self.offset_in_chunk(at);
        let to = from.saturating_add(len).min(self.chunk_bytes);
        self.chunk.get(from..to).unwrap_or_default()
    }

    /// From an address to the end of its page, which the chunk holds.
    fn rest_of_page(&self, at: Lsn) -> Result<&[u8], Stopped<S::Error>> {
        let page_end = self
            .page_of(at)
            .0
            .saturating_add(u64::from(self.fmt.wal_block_size));
        let len = usize::try_from(page_end.saturating_sub(at.0)).unwrap_or(0);
        let bytes = self.chunk_from(at, len);
        if bytes.len() == len {
            Ok(bytes)
        } else {
            end(at, WalEnd::NoBytes)
        }
    }

    fn page_of(&self, at: Lsn) -> Lsn {
        Lsn(floor(at.0, self.fmt.wal_block_size))
    }

    fn segment_of(&self, at: u64) -> u64 {
        floor(at, self.fmt.wal_segment_bytes)
    }
}

/// The multiple of `size` at or before `at`. A division costs more than all else that is done for a small record,
/// and both sizes are powers of two in every cluster.
fn floor(at: u64, size: u32) -> u64 {
    let size = u64::from(size);
    if size.is_power_of_two() {
        at & !(size - 1)
    } else {
        at - at.checked_rem(size).unwrap_or(0)
    }
}

/// The end of the log at a place.
fn end<T, E>(place: Lsn, why: WalEnd) -> Result<T, Stopped<E>> {
    Err((place, StopReason::End(why)))
}

/// Where a record's bytes are.
#[derive(Debug, Clone, Copy)]
enum Assembled {
    Chunk { at: usize, len: usize },
    Scratch,
}

/// A record that is sound.
struct Found {
    lsn: Lsn,
    end: Lsn,
    header: RecordHeader,
    place: Assembled,
}
