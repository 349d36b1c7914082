//! The log as a stream: pages, records over pages, its end. Records of little-endian logs keep right CRCs.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use pgfsck_format::Lsn;
use pgfsck_format::wal::{WalReader, WalSource};
use std::convert::Infallible;

struct Log<'a>(&'a [u8]);

impl WalSource for Log<'_> {
    type Error = Infallible;

    fn read(&mut self, at: Lsn, buf: &mut [u8]) -> Result<usize, Infallible> {
        let rest = usize::try_from(at.0)
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
    let Ok(mut reader) = WalReader::at_first_record(Log(rest), fmt, None, Lsn(0)) else {
        return;
    };
    let mut last = Lsn(0);
    while let Ok(record) = reader.next_record() {
        assert!(record.end > last && record.lsn >= last, "the log goes on");
        last = record.end;
        let _ = record.decode();
    }
    assert!(last.0 <= rest.len() as u64 + u64::from(fmt.wal_segment_bytes));
});
