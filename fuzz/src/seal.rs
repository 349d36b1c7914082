//! What keeps checksums and CRCs right, so that a mutation gets past them.

use libfuzzer_sys::fuzzer_mutate;
use pgfsck_format::checksum::page_checksum;
use pgfsck_format::manifest::hex;
use pgfsck_format::wal::record;
use pgfsck_format::{BlockNumber, ByteOrder};
use sha2::{Digest, Sha256};

/// Mutates a file that ends with a CRC of what comes before, and makes the CRC right again: `crcs` says which is
/// stored, and which would be right.
pub fn mutate_sealed(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    crcs: impl Fn(&[u8]) -> Option<(u32, u32)>,
) -> usize {
    let size = fuzzer_mutate(data, size, max_size);
    if let Some(file) = data.get_mut(..size) {
        seal_crc(file, crcs);
    }
    size
}

/// Makes the CRC of a file right again: `crcs` says which is stored, and which would be right.
pub fn seal_crc(file: &mut [u8], crcs: impl Fn(&[u8]) -> Option<(u32, u32)>) {
    let Some((stored, right)) = crcs(file) else {
        return;
    };
    let orders: [fn(u32) -> [u8; 4]; 2] = [u32::to_le_bytes, u32::to_be_bytes];
    for to_bytes in orders {
        let at = (0..file.len().saturating_sub(3))
            .step_by(4)
            .rev()
            .find(|&at| file[at..at + 4] == to_bytes(stored));
        let Some(at) = at else { continue };
        file[at..at + 4].copy_from_slice(&to_bytes(right));
        if crcs(file).is_some_and(|(stored, right)| stored == right) {
            return;
        }
        file[at..at + 4].copy_from_slice(&to_bytes(stored));
    }
}

/// Gives a page the checksum that it must have.
pub fn seal(page: &mut [u8], block: u32, order: ByteOrder) {
    let sum = page_checksum(page, BlockNumber(block), order);
    if let Some(field) = page.get_mut(8..10) {
        field.copy_from_slice(&match order {
            ByteOrder::Little => sum.to_le_bytes(),
            ByteOrder::Big => sum.to_be_bytes(),
        });
    }
}

/// Makes the CRCs of the records of a little-endian segment with pages of `page` bytes right, from its first record to
/// the first that reaches beyond its end.
pub fn seal_records(segment: &mut [u8], page: usize) {
    // `SizeOfXLogLongPHD`, `SizeOfXLogShortPHD`, `SizeOfXLogRecord`, and where `xl_crc` is.
    const LONG: usize = 40;
    const SHORT: usize = 24;
    const HEAD: usize = 24;
    const CRC: usize = 20;
    let skip_header = |at: usize| match at {
        0 => LONG,
        _ if at % page == 0 => at + SHORT,
        _ => at,
    };
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes) as usize;
    // What of a record begun in the segment before goes on here (`xlp_rem_len`).
    let mut left = segment.get(16..20).map_or(0, word);
    let mut at = LONG;
    while left > 0 && at < segment.len() {
        at = skip_header(at);
        let here = left.min(page - at % page);
        (left, at) = (left - here, at + here);
    }
    loop {
        at = skip_header(at.next_multiple_of(8));
        let total = segment.get(at..at + 4).map_or(0, word);
        if total < HEAD || total > segment.len() {
            return;
        }
        // Where each byte of the record is.
        let mut places = Vec::with_capacity(total);
        while places.len() < total && at < segment.len() {
            at = skip_header(at);
            let here = (total - places.len()).min(page - at % page);
            places.extend(at..at + here);
            at += here;
        }
        let bytes: Option<Vec<u8>> = places.iter().map(|&p| segment.get(p).copied()).collect();
        let Some(bytes) = bytes.filter(|b| b.len() == total) else {
            return;
        };
        let Ok(crc) = record::crc(&bytes, ByteOrder::Little) else {
            return;
        };
        for (place, byte) in places[CRC..].iter().zip(crc.computed.to_le_bytes()) {
            segment[*place] = byte;
        }
    }
}

/// Makes the checksum of each header of an archive right: every block that says `ustar`.
pub fn seal_headers(archive: &mut [u8]) {
    for header in archive.as_chunks_mut::<512>().0 {
        if header[257..262] == *b"ustar" {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// Makes a manifest's own checksum right: that of all lines before its last.
pub fn seal_manifest(text: &mut Vec<u8>) {
    const KEY: &[u8] = b"\"Manifest-Checksum\": \"";
    let Some(at) = text.windows(KEY.len()).rposition(|w| w == KEY) else {
        return;
    };
    let line = text[..at]
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |n| n + 1);
    let sum = hex(&Sha256::digest(&text[..line]));
    text.truncate(at + KEY.len());
    text.extend_from_slice(sum.as_bytes());
    text.extend_from_slice(b"\"}\n");
}
