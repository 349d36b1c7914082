//! An INCREMENTAL file: its head, and the file that it makes with the backup before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgfsck_format::incremental::IncrementalFile;
use pgfsck_volume::{Chain, Memory, VolPath, Volume};

/// Bytes that are read of a rebuilt file.
const READ: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((fmt, content)) = pgfsck_fuzz::format(data) else {
        return;
    };
    let head = IncrementalFile::decode(content, fmt.order, fmt.block_size, fmt.segment_blocks);
    if let Ok(file) = head {
        assert!(file.blocks.len() <= content.len());
    }
    let (mut full, mut newest) = (Memory::default(), Memory::default());
    full.file(VolPath::new("base/5/1259"), vec![1; 3 * fmt.block_len()]);
    newest.file(VolPath::new("base/5/INCREMENTAL.1259"), content.to_vec());
    let chain = Chain::new(vec![Box::new(newest), Box::new(full)], fmt);
    let Ok(file) = chain.open(&VolPath::new("base/5/1259")) else {
        return;
    };
    let mut buf = vec![0; fmt.block_len()];
    let mut at = 0;
    while at < file.len().min(READ) {
        match file.read_at(&mut buf, at) {
            Ok(0) | Err(_) => break,
            Ok(n) => at += n as u64,
        }
    }
});
