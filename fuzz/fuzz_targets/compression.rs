//! Compressed values: pglz and lz4.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgfsck_format::compression::{CompressionMethod, decompress};

const LIMIT: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((head, stream)) = data.split_first_chunk::<4>() else {
        return;
    };
    let raw = u32::from_le_bytes(*head) as usize & (2 * LIMIT - 1);
    for method in [CompressionMethod::Pglz, CompressionMethod::Lz4] {
        let first = decompress(method, stream, raw, LIMIT);
        if let Ok(value) = &first {
            assert_eq!(value.len(), raw);
            assert!(raw <= LIMIT);
        }
        assert_eq!(
            first.is_ok(),
            decompress(method, stream, raw, LIMIT).is_ok()
        );
    }
});
