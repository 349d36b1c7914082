//! The reader of the log over logs written here: every geometry, and every way in which a log can end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use pgfsck_format::wal::page::short_header_bytes;
use pgfsck_format::wal::{Record, RmgrId, StopReason, WalEnd, WalReader, WalSource};
use pgfsck_format::{ByteOrder, Checksums, ClusterFormat, Lsn, Major, TimeLineId};
use proptest::prelude::*;
use std::convert::Infallible;

const SYSTEM_IDENTIFIER: u64 = 0x0102_0304_0506_0708;
const SEGMENT_BYTES: u32 = 64 << 10;

fn format(major: Major, order: ByteOrder, max_align: u8, wal_block_size: u32) -> ClusterFormat {
    ClusterFormat {
        major,
        order,
        max_align,
        block_size: 8192,
        segment_blocks: 131_072,
        wal_block_size,
        wal_segment_bytes: SEGMENT_BYTES,
        toast_max_chunk_bytes: 1996,
        checksums: Checksums::On,
    }
}

fn plain() -> ClusterFormat {
    format(Major::V17, ByteOrder::Little, 8, 8192)
}

/// A log from the start of segment 1 on, as a server would write it.
struct Log {
    fmt: ClusterFormat,
    bytes: Vec<u8>,
    prev: u64,
}

/// A record as the reader gives it back.
#[derive(Debug, PartialEq)]
struct Seen {
    lsn: u64,
    end: u64,
    body: Vec<u8>,
}

impl Log {
    fn new(fmt: ClusterFormat) -> Self {
        Self {
            fmt,
            bytes: Vec::new(),
            prev: 0,
        }
    }

    fn at(&self) -> u64 {
        u64::from(SEGMENT_BYTES) + self.bytes.len() as u64
    }

    fn put(&mut self, little: &[u8]) {
        match self.fmt.order {
            ByteOrder::Little => self.bytes.extend(little),
            ByteOrder::Big => self.bytes.extend(little.iter().rev()),
        }
    }

    /// A page header, where a page begins.
    fn header(&mut self, flags: u16, remaining: usize) {
        let at = self.at();
        let is_first = at.is_multiple_of(u64::from(SEGMENT_BYTES));
        self.put(&self.fmt.version().wal_magic.to_le_bytes());
        self.put(&(flags | if is_first { 2 } else { 0 }).to_le_bytes());
        self.put(&1_u32.to_le_bytes());
        self.put(&at.to_le_bytes());
        self.put(&(remaining as u32).to_le_bytes());
        let short = short_header_bytes(self.fmt.max_align);
        self.bytes.resize(self.bytes.len() + short - 20, 0);
        if is_first {
            self.put(&SYSTEM_IDENTIFIER.to_le_bytes());
            self.put(&SEGMENT_BYTES.to_le_bytes());
            self.put(&self.fmt.wal_block_size.to_le_bytes());
        }
    }

    fn is_page_start(&self) -> bool {
        self.bytes
            .len()
            .is_multiple_of(self.fmt.wal_block_size as usize)
    }

    /// The bytes of a record whose main data is `body`.
    fn encode(&self, rmgr: u8, info: u8, body: &[u8]) -> Vec<u8> {
        let mut r = Log::new(self.fmt);
        let head = if body.is_empty() { 0 } else { 5 };
        r.put(&((24 + head + body.len()) as u32).to_le_bytes());
        r.put(&7_u32.to_le_bytes());
        r.put(&self.prev.to_le_bytes());
        r.bytes.extend([info, rmgr, 0, 0]);
        let mut rest = Log::new(self.fmt);
        if !body.is_empty() {
            rest.bytes.push(254);
            rest.put(&(body.len() as u32).to_le_bytes());
            rest.bytes.extend(body);
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&rest.bytes), &r.bytes);
        r.put(&crc.to_le_bytes());
        r.bytes.extend(rest.bytes);
        r.bytes
    }

    /// Writes a record, or only its first `pages` pages.
    fn write(&mut self, record: &[u8], pages: usize) -> u64 {
        if self.is_page_start() {
            self.header(0, 0);
        }
        let start = self.at();
        self.prev = start;
        let mut rest = record;
        let mut page = 1;
        while !rest.is_empty() {
            if self.is_page_start() {
                if page == pages {
                    return start;
                }
                page += 1;
                self.header(1, rest.len());
            }
            let block = self.fmt.wal_block_size as usize;
            let n = rest.len().min(block - self.bytes.len() % block);
            self.bytes.extend(&rest[..n]);
            rest = &rest[n..];
        }
        let aligned = self.fmt.maxalign(self.bytes.len());
        self.bytes.resize(aligned, 0);
        start
    }

    fn append(&mut self, rmgr: u8, info: u8, body: &[u8]) -> Seen {
        let record = self.encode(rmgr, info, body);
        let lsn = self.write(&record, usize::MAX);
        Seen {
            lsn,
            end: self.at(),
            body: body.to_vec(),
        }
    }

    /// What a reader sees from the first segment on, where it stops and why.
    fn read(&self) -> (Vec<Seen>, u64, WalEnd) {
        let start = Lsn(u64::from(SEGMENT_BYTES));
        let source = Source { bytes: &self.bytes };
        let mut reader =
            match WalReader::at_first_record(source, self.fmt, Some(SYSTEM_IDENTIFIER), start) {
                Ok(r) => r,
                Err(stop) => return (Vec::new(), stop.place.0, why(stop.why)),
            };
        let mut seen = Vec::new();
        loop {
            match reader.next_record() {
                Ok(raw) => {
                    let record: Record<'_> = raw.decode().unwrap();
                    seen.push(Seen {
                        lsn: raw.lsn.0,
                        end: raw.end.0,
                        body: record.main_data.to_vec(),
                    });
                }
                Err(stop) => {
                    // It stays where it is.
                    assert_eq!(reader.next_record().unwrap_err(), stop);
                    return (seen, stop.lsn.0, why(stop.why));
                }
            }
        }
    }
}

fn why(reason: StopReason<Infallible>) -> WalEnd {
    match reason {
        StopReason::End(end) => end,
        StopReason::Source(e) => match e {},
    }
}

struct Source<'a> {
    bytes: &'a [u8],
}

impl WalSource for Source<'_> {
    type Error = Infallible;

    fn read(&mut self, at: Lsn, buf: &mut [u8]) -> Result<usize, Infallible> {
        let from = usize::try_from(at.0 - u64::from(SEGMENT_BYTES))
            .unwrap()
            .min(self.bytes.len());
        let rest = &self.bytes[from..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        // Preallocated: zeros up to the end of the segment.
        let whole = if n == 0 { 0 } else { buf.len() };
        buf[n..whole].fill(0);
        Ok(whole)
    }
}

/// Three records, the second over several pages.
fn three() -> (Log, [Seen; 3]) {
    let mut log = Log::new(plain());
    let a = log.append(0, 0x20, b"first");
    let b = log.append(10, 0x00, &[7; 30_000]);
    let c = log.append(0, 0x20, b"last");
    (log, [a, b, c])
}

#[test]
fn records_go_over_pages_and_segments() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        for (align, block) in [(8, 8192), (4, 8192), (8, 1024), (4, 4096), (8, 32768)] {
            let mut log = Log::new(format(Major::V14, order, align, block));
            let mut written = Vec::new();
            for n in 0..400_usize {
                let body = vec![n as u8; (n * 37) % 900 + if n % 50 == 0 { 40_000 } else { 0 }];
                written.push(log.append(10, 0, &body));
            }
            assert!(log.bytes.len() > 3 * SEGMENT_BYTES as usize);
            let (seen, at, end) = log.read();
            assert_eq!(seen, written);
            assert_eq!(
                end,
                if log.is_page_start() {
                    WalEnd::NoBytes
                } else {
                    WalEnd::ZeroLength
                }
            );
            assert_eq!(at, log.at());
        }
    }
}

#[test]
fn a_log_begins_in_the_middle_of_a_record() {
    let (log, [_, _, c]) = three();
    let from = Lsn(u64::from(SEGMENT_BYTES) + 8192);
    let source = Source { bytes: &log.bytes };
    let mut reader = WalReader::at_first_record(source, log.fmt, None, from).unwrap();
    assert_eq!(reader.next_record().unwrap().lsn.0, c.lsn);
    // Not where a record is asked for.
    let source = Source { bytes: &log.bytes };
    let mut reader = WalReader::new(source, log.fmt, None, from);
    let stop = reader.next_record().unwrap_err();
    assert_eq!(stop.why, StopReason::End(WalEnd::Continuation));
}

#[test]
fn a_switch_leads_to_the_next_segment() {
    let mut log = Log::new(plain());
    log.append(0, 0x40, b"");
    let rest = SEGMENT_BYTES as usize - log.bytes.len();
    log.bytes.resize(log.bytes.len() + rest, 0);
    let after = log.append(0, 0x20, b"after");
    let (seen, _, _) = log.read();
    assert_eq!(seen[0].end, 2 * u64::from(SEGMENT_BYTES));
    assert_eq!(seen[1], after);
}

#[test]
fn a_record_that_was_given_up_is_stepped_over() {
    for (major, flag) in [(Major::V18, 8), (Major::V19, 4)] {
        let mut log = Log::new(format(major, ByteOrder::Little, 8, 8192));
        let first = log.append(0, 0x20, b"first");
        let lost = log.encode(10, 0, &[9; 20_000]);
        let lost_at = log.write(&lost, 2);
        // The server crashed after two pages; the next one says that the record will not come.
        log.prev = first.lsn;
        log.header(flag, 0);
        let record = log.encode(0, 0xD0, &lost_at.to_le_bytes());
        let at = log.write(&record, usize::MAX);
        let source = Source { bytes: &log.bytes };
        let mut reader =
            WalReader::at_first_record(source, log.fmt, None, Lsn(u64::from(SEGMENT_BYTES)))
                .unwrap();
        assert_eq!(reader.next_record().unwrap().lsn.0, first.lsn);
        assert_eq!(reader.next_record().unwrap().lsn.0, at);
        assert_eq!(reader.overwritten(), Some(Lsn(lost_at)));
        assert!(reader.next_record().is_err());
    }
}

/// The end that damage makes of the three records, and how many are read before it.
fn after(damage: impl FnOnce(&mut Log, &[Seen; 3])) -> (usize, u64, WalEnd) {
    let (mut log, seen) = three();
    damage(&mut log, &seen);
    let (read, at, end) = log.read();
    assert_eq!(read[..], seen[..read.len()]);
    (read.len(), at, end)
}

fn offset(lsn: u64) -> usize {
    (lsn - u64::from(SEGMENT_BYTES)) as usize
}

#[test]
fn every_end_has_its_reason() {
    let segment = u64::from(SEGMENT_BYTES);
    let page = |n: u64| segment + n * 8192;
    let (_, [_, b, c]) = three();
    let (b_at, c_at) = (b.lsn, c.lsn);
    // A byte of the last record.
    let (n, at, end) = after(|log, _| log.bytes[offset(c_at) + 30] ^= 1);
    assert!(
        (n, at) == (2, c_at) && matches!(end, WalEnd::Crc(v) if !v.matches()),
        "{end:?}"
    );
    // The link back of the second, whose pages go on.
    let (n, at, end) = after(|log, _| log.bytes[offset(b_at) + 8] ^= 8);
    assert!(
        (n, at) == (1, b_at)
            && matches!(
                end,
                WalEnd::Prev {
                    expect: Some(_),
                    ..
                }
            ),
        "{end:?}"
    );
    let rmgr = after(|log, _| log.bytes[offset(b_at) + 17] = 99);
    assert_eq!(rmgr, (1, b_at, WalEnd::Rmgr(RmgrId(99))));
    let length = after(|log, _| log.bytes[offset(c_at)] = 23);
    assert_eq!(length, (2, c_at, WalEnd::Length { have: 23 }));
    let zero = after(|log, _| log.bytes[offset(c_at)] = 0);
    assert_eq!(zero, (2, c_at, WalEnd::ZeroLength));
    // The pages over which the second record goes.
    let second = offset(page(1));
    let magic = after(|log, _| log.bytes[second..second + 8192].fill(0));
    assert_eq!(magic, (1, b_at, WalEnd::Magic { have: 0 }));
    let flags = after(|log, _| log.bytes[second + 3] = 0x80);
    assert_eq!(flags, (1, b_at, WalEnd::Flags { have: 0x8001 }));
    let address = after(|log, _| log.bytes[second + 10] ^= 4);
    let have = Lsn(page(1) ^ 0x4_0000);
    assert_eq!(address, (1, b_at, WalEnd::PageAddress { have }));
    let timeline = after(|log, _| log.bytes[second + 4] = 0);
    let (have, before) = (TimeLineId(0), TimeLineId(1));
    assert_eq!(timeline, (1, b_at, WalEnd::TimeLine { have, before }));
    let none = after(|log, _| log.bytes[second + 2] = 0);
    assert_eq!(none, (1, b_at, WalEnd::NoContinuation));
    let (n, _, end) = after(|log, _| log.bytes[second + 16] ^= 1);
    assert!(
        n == 1 && matches!(end, WalEnd::ContinuationLength { .. }),
        "{end:?}"
    );
    // The first page of the segment.
    let foreign = after(|log, _| log.bytes[24] = 9);
    let have = SYSTEM_IDENTIFIER + 1;
    assert_eq!(foreign, (0, segment, WalEnd::SystemIdentifier { have }));
    let (n, _, end) = after(|log, _| log.bytes[35] = 1);
    assert!(n == 0 && matches!(end, WalEnd::Geometry { .. }), "{end:?}");
    let short = after(|log, _| log.bytes[2] = 0);
    assert_eq!(short, (0, segment, WalEnd::Flags { have: 0 }));
    let cut = after(|log, _| log.bytes.clear());
    assert_eq!(cut, (0, segment, WalEnd::NoBytes));
}

proptest! {
    /// Whatever is damaged, what is read before it is what was written, and nothing panics or loops.
    #[test]
    fn damage_never_invents_records(at in 0_usize..40_000, bytes in proptest::collection::vec(any::<u8>(), 1..40)) {
        let (mut log, seen) = three();
        let end = (at + bytes.len()).min(log.bytes.len());
        if at < end {
            log.bytes[at..end].copy_from_slice(&bytes[..end - at]);
        }
        let (read, ..) = log.read();
        prop_assert_eq!(&read[..], &seen[..read.len()]);
    }

    #[test]
    fn no_bytes_and_no_format_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        block in 0_u32..3000,
        align: u8,
        start: u64,
    ) {
        let mut fmt = format(Major::V16, ByteOrder::Little, align, block);
        fmt.wal_segment_bytes = block.wrapping_mul(3);
        struct Any(Vec<u8>);
        impl WalSource for Any {
            type Error = Infallible;
            fn read(&mut self, _: Lsn, buf: &mut [u8]) -> Result<usize, Infallible> {
                let n = buf.len().min(self.0.len());
                buf[..n].copy_from_slice(&self.0[..n]);
                Ok(n)
            }
        }
        let _ = WalReader::new(Any(bytes.clone()), fmt, None, Lsn(start)).next_record().map(|r| r.end);
        let _ = WalReader::at_first_record(Any(bytes.clone()), fmt, None, Lsn(start)).map(|r| r.position());
        if let Ok(record) = Record::decode(&bytes, fmt) {
            for b in record.blocks() {
                let _ = b.image.map(|i| i.restore(fmt));
            }
        }
    }

    /// A record's own headers, hostile: bounded, and no more blocks than headers.
    #[test]
    fn no_headers_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 24..400), ids in any::<[u8; 4]>(), major in 0_usize..11) {
        bytes[24..].iter_mut().zip(ids).for_each(|(b, id)| *b = id % 40);
        let fmt = format(Major::ALL[major], ByteOrder::Little, 8, 8192);
        if let Ok(record) = Record::decode(&bytes, fmt) {
            prop_assert!(record.blocks().count() <= 33);
            prop_assert!(record.main_data.len() < bytes.len());
        }
    }
}
