//! pg_filenode.map.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use pgfsck_format::ByteOrder;
use pgfsck_format::relmap::RelMap;

fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        pgfsck_fuzz::mutate_sealed(data, size, max_size, |bytes| {
            let crc = RelMap::decode(bytes, ByteOrder::Little).ok()?.crc;
            Some((crc.stored, crc.computed))
        })
    }
);

fuzz_target!(|data: &[u8]| {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        if let Ok(map) = RelMap::decode(data, order) {
            let _ = map.is_sound();
        }
    }
});
