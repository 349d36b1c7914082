//! Every view of a page: line pointers, tuples, and the special spaces of all access methods.
#![no_main]

#[path = "../../crates/format/tests/common/look.rs"]
mod look;

use libfuzzer_sys::fuzz_target;
use pgfsck_format::BlockNumber;
use pgfsck_format::attribute::AttributeShape;
use pgfsck_format::page::Page;

fuzz_target!(|data: &[u8]| {
    let Some((fmt, rest)) = pgfsck_fuzz::format(data) else {
        return;
    };
    let Some(([columns, block], rest)) = rest.split_first_chunk() else {
        return;
    };
    // A short input is the page's beginning: the mutator finds header and line pointers sooner.
    let mut bytes = rest.to_vec();
    bytes.resize(fmt.block_len(), 0);
    let Ok(page) = Page::new(&bytes, BlockNumber(u32::from(*block)), fmt) else {
        return;
    };
    let shapes: Vec<AttributeShape> = (0..columns % 24)
        .map(|n| {
            let seed = columns.wrapping_mul(31).wrapping_add(n.wrapping_mul(7));
            AttributeShape {
                len: i16::from(seed % 12) - 3,
                align: 1 << (seed % 4),
            }
        })
        .collect();
    look::at_page(&page, &shapes);
});
