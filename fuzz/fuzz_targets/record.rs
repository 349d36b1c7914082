//! One record of the log, whose CRC is taken for right: blocks, images, what it does, its description.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgfsck_format::wal::Record;
use pgfsck_format::wal::description::describe;
use pgfsck_format::wal::storage::StorageChange;
use pgfsck_format::wal::xact::TransactionEnd;

fuzz_target!(|data: &[u8]| {
    let Some((fmt, bytes)) = pgfsck_fuzz::format(data) else {
        return;
    };
    let Ok(record) = Record::decode(bytes, fmt) else {
        return;
    };
    for block in record.blocks() {
        if let Some(image) = block.image
            && let Ok(page) = image.restore(fmt)
        {
            assert_eq!(page.len(), fmt.block_len());
        }
        let _ = block.restores_page();
    }
    let _ = TransactionEnd::decode(&record);
    let _ = StorageChange::decode(&record);
    // Ten words for each byte are plenty.
    assert!(describe(&record).len() <= 4096 + 100 * bytes.len());
});
