//! The head of an INCREMENTAL file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgfsck_format::incremental::IncrementalFile;

fuzz_target!(|data: &[u8]| {
    let Some((fmt, head)) = pgfsck_fuzz::format(data) else {
        return;
    };
    let file = IncrementalFile::decode(head, fmt.order, fmt.block_size, fmt.segment_blocks);
    if let Ok(file) = file {
        assert!(file.blocks.len() <= head.len());
    }
});
