//! Compressed streams: gzip, lz4, zstd; and a compressed file of the log, read here and there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgfsck_volume::{Compression, Decoder, Memory, UnpackedFile, VolPath, Volume};
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
    let first = decode();
    assert!(first == decode(), "the same twice");
    let (is_whole, content) = first;
    let mut volume = Memory::default();
    let name = VolPath::new("pg_wal/segment");
    volume.file(name.clone(), data.to_vec());
    let file = volume.open(&name).expect("it is there");
    let mut unpacked = UnpackedFile::new(file, kind, LIMIT);
    // Backwards as well: the stream begins anew.
    for at in [0, 4096, 100] {
        let mut buf = [0; 512];
        if let Ok(n) = unpacked.read_at(&mut buf, at) {
            let there = content.get(at as usize..).unwrap_or_default();
            // Before a stream breaks, small reads may get further than large ones.
            let n = if is_whole { n } else { n.min(there.len()) };
            assert!(there.starts_with(&buf[..n]), "what the stream holds there");
        }
    }
});
