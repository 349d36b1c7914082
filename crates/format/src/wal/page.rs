//! The header of a WAL page: `XLogPageHeaderData` and `XLogLongPageHeaderData`
//! (`access/xlog_internal.h`).
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 2 | `xlp_magic` | one number per major |
//! | 2 | 2 | `xlp_info` | flags, see below |
//! | 4 | 4 | `xlp_tli` | timeline of the first record on the page |
//! | 8 | 8 | `xlp_pageaddr` | LSN of the page |
//! | 16 | 4 | `xlp_rem_len` | bytes still to come, from this page on, of a record begun before it |
//! | 24 (i386: 20) | 8 | `xlp_sysid` | system identifier; from here on only with the long flag |
//! | 32 (i386: 28) | 4 | `xlp_seg_size` | WAL segment size in bytes |
//! | 36 (i386: 32) | 4 | `xlp_xlog_blcksz` | size of a WAL page in bytes |
//!
//! | flag | up to 18 | 19 |
//! |---|---|---|
//! | `XLP_FIRST_IS_CONTRECORD`: the page begins in the middle of a record | 0x0001 | 0x0001 |
//! | `XLP_LONG_HEADER`: first page of a segment | 0x0002 | 0x0002 |
//! | `XLP_BKP_REMOVABLE`: informative | 0x0004 | |
//! | `XLP_FIRST_IS_OVERWRITE_CONTRECORD`: what was begun before will never come | 0x0008 | 0x0004 |
//!
//! The header has no checksum. Segments are recycled with their old content, so a page is part of the
//! log only if `xlp_pageaddr` is the address it was read from.

use crate::bytes::{ByteOrder, Reader};
use crate::error::DecodeError;
use crate::ids::{Lsn, TimeLineId};
use crate::layouts::Major;

mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const INFO: usize = 2;
    pub(super) const TLI: usize = 4;
    pub(super) const PAGEADDR: usize = 8;
    pub(super) const REM_LEN: usize = 16;
    /// End of `XLogPageHeaderData` without the padding behind it.
    pub(super) const END: usize = 20;
    /// From the end of the short header.
    pub(super) const SYSID: usize = 0;
    pub(super) const SEG_SIZE: usize = 8;
    pub(super) const XLOG_BLCKSZ: usize = 12;
    /// Bytes that the long header adds.
    pub(super) const LONG_EXTRA: usize = 16;
}

/// `XLP_FIRST_IS_CONTRECORD`.
const FIRST_IS_CONTRECORD: u16 = 0x0001;
/// `XLP_LONG_HEADER`.
const LONG_HEADER: u16 = 0x0002;

/// The fields that only the first page of a segment carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XLogLongPageHeader {
    /// `xlp_sysid`: must equal pg_control's system identifier.
    pub system_identifier: u64,
    /// `xlp_seg_size` in bytes.
    pub segment_bytes: u32,
    /// `xlp_xlog_blcksz` in bytes.
    pub block_bytes: u32,
}

/// The header of a WAL page, as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XLogPageHeader {
    /// `xlp_magic`.
    pub magic: u16,
    /// `xlp_info`.
    pub info: u16,
    /// `xlp_tli`.
    pub timeline: TimeLineId,
    /// `xlp_pageaddr`.
    pub page_address: Lsn,
    /// `xlp_rem_len` in bytes.
    pub remaining_bytes: u32,
    /// The rest, if `xlp_info` says that the header is long.
    pub long: Option<XLogLongPageHeader>,
}

/// `SizeOfXLogShortPHD` in bytes.
#[must_use]
pub fn short_header_bytes(max_align: u8) -> usize {
    at::END.next_multiple_of(usize::from(max_align.max(1)))
}

/// `SizeOfXLogLongPHD` in bytes.
#[must_use]
pub fn long_header_bytes(max_align: u8) -> usize {
    short_header_bytes(max_align) + at::LONG_EXTRA
}

/// The major whose WAL pages carry that magic.
#[must_use]
pub fn major_of_magic(magic: u16) -> Option<Major> {
    Major::ALL.into_iter().find(|m| m.row().wal_magic == magic)
}

/// The major and the byte order of a WAL page, from its magic alone.
#[must_use]
pub fn recognise(page: &[u8]) -> Option<(Major, ByteOrder)> {
    let magic: [u8; 2] = page.first_chunk().copied()?;
    [ByteOrder::Little, ByteOrder::Big]
        .into_iter()
        .find_map(|order| Some((major_of_magic(order.u16(magic))?, order)))
}

impl XLogPageHeader {
    /// Decodes the header at the start of `page`, whose first byte lies at `base` in its file.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the header, short or long as its flags say, is not all there.
    pub fn decode(
        page: &[u8],
        base: u64,
        order: ByteOrder,
        max_align: u8,
    ) -> Result<Self, DecodeError> {
        let r = Reader::new(page, base, order);
        let info = r.u16("xlp_info", at::INFO)?;
        let short = short_header_bytes(max_align);
        r.bytes("XLogPageHeaderData", 0, short)?;
        let long = if info & LONG_HEADER != 0 {
            Some(XLogLongPageHeader {
                system_identifier: r.u64("xlp_sysid", short + at::SYSID)?,
                segment_bytes: r.u32("xlp_seg_size", short + at::SEG_SIZE)?,
                block_bytes: r.u32("xlp_xlog_blcksz", short + at::XLOG_BLCKSZ)?,
            })
        } else {
            None
        };
        Ok(Self {
            magic: r.u16("xlp_magic", at::MAGIC)?,
            info,
            timeline: r.u32("xlp_tli", at::TLI)?.into(),
            page_address: Lsn(r.u64("xlp_pageaddr", at::PAGEADDR)?),
            remaining_bytes: r.u32("xlp_rem_len", at::REM_LEN)?,
            long,
        })
    }

    /// Bytes of the header, after which records follow.
    #[must_use]
    pub fn header_bytes(&self, max_align: u8) -> usize {
        if self.long.is_some() {
            long_header_bytes(max_align)
        } else {
            short_header_bytes(max_align)
        }
    }

    /// Whether the page begins in the middle of a record.
    #[must_use]
    pub fn first_is_continuation(&self) -> bool {
        self.info & FIRST_IS_CONTRECORD != 0
    }

    /// Whether the record that the page before left unfinished was given up, and something else begins here.
    #[must_use]
    pub fn first_is_overwritten(&self, major: Major) -> bool {
        self.info & major.row().wal_overwrite_flag != 0
    }

    /// The flags that this major does not define; a sound page has none.
    #[must_use]
    pub fn unknown_flags(&self, major: Major) -> u16 {
        // The flags are consecutive bits, the overwrite flag the highest.
        let known = (major.row().wal_overwrite_flag << 1).wrapping_sub(1);
        self.info & !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::SegmentName;
    use proptest::prelude::*;

    /// A long header of 17, x86-64.
    const LONG_17: [u8; 40] = [
        0x16, 0xD1, // xlp_magic
        0x03, 0x00, // xlp_info: continuation, long
        0x01, 0x00, 0x00, 0x00, // xlp_tli
        0x00, 0x00, 0x00, 0x05, 0x01, 0x00, 0x00, 0x00, // xlp_pageaddr 1/5000000
        0x2A, 0x00, 0x00, 0x00, // xlp_rem_len
        0x00, 0x00, 0x00, 0x00, // padding
        0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, // xlp_sysid
        0x00, 0x00, 0x00, 0x01, // xlp_seg_size
        0x00, 0x20, 0x00, 0x00, // xlp_xlog_blcksz
    ];

    #[test]
    fn reads_a_long_header() {
        assert_eq!(recognise(&LONG_17), Some((Major::V17, ByteOrder::Little)));
        let h = XLogPageHeader::decode(&LONG_17, 0, ByteOrder::Little, 8).unwrap();
        assert_eq!(h.timeline, TimeLineId(1));
        assert_eq!(h.page_address, Lsn(0x1_0500_0000));
        assert_eq!(h.remaining_bytes, 42);
        assert!(h.first_is_continuation());
        assert_eq!((h.header_bytes(8), h.unknown_flags(Major::V17)), (40, 0));
        assert_eq!(
            h.long,
            Some(XLogLongPageHeader {
                system_identifier: 0x0102_0304_0506_0708,
                segment_bytes: 16 << 20,
                block_bytes: 8192,
            })
        );
        assert!(XLogPageHeader::decode(&LONG_17[..39], 0, ByteOrder::Little, 8).is_err());
    }

    /// The first bytes of a segment of a real server of each major, and of a big-endian one.
    #[rustfmt::skip]
    const REAL: [(Major, ByteOrder, &str, &str); 12] = [
        (Major::V9_6, ByteOrder::Little, "000000010000000000000004", "93d0070001000000000000040000000093000000000000007cf4c5858302006b0000000100200000"),
        (Major::V10, ByteOrder::Little, "000000010000000000000004", "97d00700010000000000000400000000b3000000000000007ab597068802006b0000000100200000"),
        (Major::V11, ByteOrder::Little, "000000010000000000000004", "98d007000100000000000004000000007b000000000000006316355b8c02006b0000000100200000"),
        (Major::V12, ByteOrder::Little, "000000010000000000000004", "01d1070001000000000000040000000006000000000000002617705c9002006b0000000100200000"),
        (Major::V13, ByteOrder::Little, "000000010000000000000003", "06d107000100000000000003000000004b010000000000001b28b7569402006b0000000100200000"),
        (Major::V14, ByteOrder::Little, "000000010000000000000004", "0dd107000100000000000004000000001e0000000000000027c9f2919802006b0000000100200000"),
        (Major::V15, ByteOrder::Little, "000000010000000000000004", "10d107000100000000000004000000002300000000000000164ada999c02006b0000000100200000"),
        (Major::V16, ByteOrder::Little, "000000010000000000000004", "13d107000100000000000004000000009300000000000000ca3ad444a002006b0000000100200000"),
        (Major::V17, ByteOrder::Little, "000000010000000000000004", "16d107000100000000000004000000007b00000000000000d14bc96aa402006b0000000100200000"),
        (Major::V18, ByteOrder::Little, "000000010000000000000004", "18d107000100000000000004000000004b01000000000000924cf761a802006b0000000100200000"),
        (Major::V19, ByteOrder::Little, "000000010000000000000003", "22d103000100000000000003000000001300000000000000bd08c9e2bd16006b0000000100200000"),
        (Major::V15, ByteOrder::Big, "000000010000000000000003", "d1100007000000010000000003000000000017b5000000006b00004e9fbc788c0100000000002000"),
    ];

    #[test]
    fn real_segments_begin_with_a_sound_long_header() {
        for (major, order, name, hex) in REAL {
            let page: Vec<u8> = (0..hex.len() / 2)
                .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
                .collect();
            assert_eq!(recognise(&page), Some((major, order)));
            let h = XLogPageHeader::decode(&page, 0, order, 8).unwrap();
            let long = h.long.unwrap();
            let segment = SegmentName::parse(name.as_bytes()).unwrap();
            assert_eq!(
                segment.start(long.segment_bytes),
                Some(h.page_address),
                "{major}"
            );
            assert_eq!(segment.timeline, h.timeline);
            assert_eq!(h.unknown_flags(major), 0, "{major}");
            assert!(!h.first_is_overwritten(major), "{major}");
            assert_eq!(h.first_is_continuation(), h.remaining_bytes != 0, "{major}");
            assert_eq!(
                (long.segment_bytes % (1 << 20), long.block_bytes),
                (0, 8192)
            );
        }
    }

    #[test]
    fn i386_has_no_padding() {
        let mut b = LONG_17.to_vec();
        b.drain(20..24);
        let h = XLogPageHeader::decode(&b, 0, ByteOrder::Little, 4).unwrap();
        let eight = XLogPageHeader::decode(&LONG_17, 0, ByteOrder::Little, 8).unwrap();
        assert_eq!(h, eight);
        assert_eq!(h.header_bytes(4), 36);
        b[2] = 0;
        assert!(XLogPageHeader::decode(&b[..20], 0, ByteOrder::Little, 4).is_ok());
    }

    #[test]
    fn the_overwrite_flag_moved_in_19() {
        let mut h = XLogPageHeader::decode(&LONG_17, 0, ByteOrder::Little, 8).unwrap();
        h.info = 0x0004;
        assert!(h.first_is_overwritten(Major::V19) && !h.first_is_overwritten(Major::V18));
        h.info = 0x0008;
        assert!(!h.first_is_overwritten(Major::V19) && h.first_is_overwritten(Major::V18));
        assert_eq!(
            (h.unknown_flags(Major::V18), h.unknown_flags(Major::V19)),
            (0, 8)
        );
        h.info = 0x8010;
        assert_eq!(h.unknown_flags(Major::V9_6), 0x8010);
    }

    #[test]
    fn every_major_has_its_own_magic() {
        for major in Major::ALL {
            assert_eq!(major_of_magic(major.row().wal_magic), Some(major));
        }
        assert_eq!(recognise(&[0xD1, 0x16]), Some((Major::V17, ByteOrder::Big)));
        assert_eq!(recognise(&[0, 0]), None);
        assert_eq!(recognise(&[0x16]), None);
    }

    proptest! {
        #[test]
        fn never_panics(page in proptest::collection::vec(any::<u8>(), 0..48), align: u8, big: bool) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let _ = recognise(&page);
            let _ = XLogPageHeader::decode(&page, 0, order, align);
        }
    }
}
