//! pg_control, its derived format, and what is impossible in it.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use pgfsck_format::control::ControlFile;

fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        pgfsck_fuzz::mutate_sealed(data, size, max_size, |bytes| {
            let crc = ControlFile::decode(bytes).ok()?.crc;
            Some((crc.stored, crc.computed))
        })
    }
);

fuzz_target!(|data: &[u8]| {
    let Ok(known) = ControlFile::decode(data) else {
        return;
    };
    let _ = known.control.field_problems();
    if let Ok(fmt) = known.control.cluster_format() {
        assert!(fmt.block_size.is_power_of_two() && fmt.segment_blocks > 0);
        assert!(fmt.max_align == 4 || fmt.max_align == 8);
    }
});
