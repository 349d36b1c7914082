//! Compressed streams: gzip, lz4, zstd.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgfsck_volume::{Compression, Decoder};
use std::io::Read;

/// What is taken of a bomb.
const LIMIT: u64 = 4 << 20;

fuzz_target!(|data: &[u8]| {
    let Some(kind) = Compression::of_magic(data) else {
        return;
    };
    let decode = || {
        let mut out = Vec::new();
        let end = Decoder::new(kind, data).take(LIMIT).read_to_end(&mut out);
        (end.is_ok(), out)
    };
    assert!(decode() == decode(), "the same twice");
});
