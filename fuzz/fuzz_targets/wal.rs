//! The log as a stream: pages, records over pages, its end. Records of little-endian logs keep right CRCs.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use pgfsck_format::wal::{WalReader, WalSource};
use pgfsck_format::{ByteOrder, Lsn};
use std::convert::Infallible;

/// Some bytes of a log, and where they begin.
struct Log<'a>(&'a [u8], u64);

impl WalSource for Log<'_> {
    type Error = Infallible;

    fn read(&mut self, at: Lsn, buf: &mut [u8]) -> Result<usize, Infallible> {
        let rest = usize::try_from(at.0.wrapping_sub(self.1))
            .ok()
            .and_then(|at| self.0.get(at..))
            .unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    // Some keep what is wrong: the end of the log is a matter of CRCs.
    if seed % 4 > 0
        && let Some((fmt, _)) = pgfsck_fuzz::format(&data[..size])
    {
        pgfsck_fuzz::seal_records(&mut data[2..size], fmt.wal_block_size as usize);
    }
    size
});

fuzz_target!(|data: &[u8]| {
    let Some((fmt, rest)) = pgfsck_fuzz::format(data) else {
        return;
    };
    // Where it begins says its first page (`xlp_pageaddr`), as that of a real segment does.
    let word = rest.get(8..16).and_then(|b| b.try_into().ok());
    let start = word.map_or(0, |word| match fmt.order {
        ByteOrder::Little => u64::from_le_bytes(word),
        ByteOrder::Big => u64::from_be_bytes(word),
    });
    let start = start & (u64::from(u32::MAX) << 20);
    let Ok(mut reader) = WalReader::at_first_record(Log(rest, start), fmt, None, Lsn(start)) else {
        return;
    };
    let mut last = Lsn(start);
    while let Ok(record) = reader.next_record() {
        assert!(record.end > last && record.lsn >= last, "the log goes on");
        last = record.end;
        let _ = record.decode();
    }
    assert!(last.0 - start <= rest.len() as u64 + u64::from(fmt.wal_segment_bytes));
});
