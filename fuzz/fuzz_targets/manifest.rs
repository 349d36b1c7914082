//! backup_manifest, with its own checksum kept right.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use pgfsck_format::manifest;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if seed % 4 == 0 {
        return size;
    }
    let mut text = data[..size].to_vec();
    pgfsck_fuzz::seal_manifest(&mut text);
    if text.len() > max_size {
        return size;
    }
    data[..text.len()].copy_from_slice(&text);
    text.len()
});

fuzz_target!(|data: &[u8]| {
    let mut files = 0_usize;
    let _ = manifest::read(data, &mut |_| {
        files += 1;
        Ok(())
    });
    assert!(files <= data.len());
});
