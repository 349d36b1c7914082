//! The log as a stream: pages, records over pages, its end.
#![no_main]

use libfuzzer_sys::fuzz_target;
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
