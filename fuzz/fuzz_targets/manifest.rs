//! backup_manifest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgfsck_format::manifest;

fuzz_target!(|data: &[u8]| {
    let mut files = 0_usize;
    let _ = manifest::read(data, &mut |_| {
        files += 1;
        Ok(())
    });
    assert!(files <= data.len());
});
