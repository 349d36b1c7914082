//! The data page checksum (`storage/checksum_impl.h`).
//!
//! A page is taken as rows of 32 words of 32 bits in the cluster's byte order, `pd_checksum` itself
//! counting as zero. 32 sums, one per column, are stirred with each row:
//!
//! | step | what |
//! |---|---|
//! | start | sum = one of 32 constants (`checksumBaseOffsets`) |
//! | each word | t = sum XOR word; sum = t · 16777619 (FNV's prime) XOR t >> 17 |
//! | end | two more rounds with word 0, then all sums XORed: [`checksum_raw`] |
//! | [`reduce`] | XOR the block's number in its fork, modulo 65535, plus 1: never 0 |
//!
//! The block number comes in at the very end, so one raw value answers for every place that a page
//! might have belonged to. The number counts through a fork's segment files.
//!
//! The columns do not depend on each other, which is what makes this fast: the same source is
//! compiled for several instruction sets, and the best one is chosen when the program runs.

use crate::bytes::ByteOrder;
use crate::ids::BlockNumber;

/// Columns summed independently (`N_SUMS`).
const LANES: usize = 32;
/// Bytes in a row.
const ROW_BYTES: usize = LANES * 4;
/// `FNV_PRIME`.
const PRIME: u32 = 16_777_619;

/// `checksumBaseOffsets`: where the sums start.
#[rustfmt::skip]
const BASE: [u32; LANES] = [
    0x5B1F_36E9, 0xB852_5960, 0x02AB_50AA, 0x1DE6_6D2A, 0x79FF_467A, 0x9BB9_F8A3, 0x217E_7CD2, 0x83E1_3D2C,
    0xF8D4_474F, 0xE39E_B970, 0x42C6_AE16, 0x9932_16FA, 0x7B09_3B5D, 0x98DA_FF3C, 0xF718_902A, 0x0B1C_9CDB,
    0xE58F_764B, 0x1876_36BC, 0x5D7B_3BB1, 0xE73D_E7DE, 0x92BE_C979, 0xCCA6_C0B2, 0x304A_0979, 0x85AA_43D4,
    0x7831_25BB, 0x6CA8_EAA2, 0xE407_EAC6, 0x4B5C_FC3E, 0x9FBF_8C76, 0x15CA_20BE, 0xF2CA_9FD3, 0x959B_D756,
];

/// `pg_checksum_page`: the checksum that `page`, at `block` of its fork, must carry.
///
/// Never 0. Bytes beyond the last whole row of 128 are ignored; no block size has any.
#[inline]
#[must_use]
pub fn page_checksum(page: &[u8], block: BlockNumber, order: ByteOrder) -> u16 {
    reduce(checksum_raw(page, order), block)
}

/// The last step: brings a raw value and a block number together.
#[inline]
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "modulo 65535, plus 1, is at most 65535"
)]
pub fn reduce(raw: u32, block: BlockNumber) -> u16 {
    ((raw ^ block.0) % 65535 + 1) as u16
}

/// All of the checksum but the block number.
#[inline]
#[must_use]
pub fn checksum_raw(page: &[u8], order: ByteOrder) -> u32 {
    if order == ByteOrder::Little {
        raw_little(page)
    } else {
        raw_big(page)
    }
}

/// [`checksum_raw`] of every whole page in a buffer, in order: `f` gets its index and the raw value.
///
/// Takes two pages at a time, see [`checksum_raw_pair`].
#[inline]
pub fn each_checksum_raw(
    pages: &[u8],
    block_len: usize,
    order: ByteOrder,
    mut f: impl FnMut(usize, u32),
) {
    let block_len = block_len.max(1);
    let mut index = 0;
    let mut pairs = pages.chunks_exact(block_len.saturating_mul(2));
    for pair in pairs.by_ref() {
        let (first, second) = pair.split_at(block_len);
        let [a, b] = checksum_raw_pair(first, second, order);
        f(index, a);
        f(index + 1, b);
        index += 2;
    }
    for page in pairs.remainder().chunks_exact(block_len) {
        f(index, checksum_raw(page, order));
        index += 1;
    }
}

/// [`checksum_raw`] of two pages of the same length at once.
///
/// One page's columns wait for each other's multiplications row after row; a second page fills those
/// gaps. More than two run out of registers.
#[inline]
#[must_use]
pub fn checksum_raw_pair(first: &[u8], second: &[u8], order: ByteOrder) -> [u32; 2] {
    if first.len() != second.len() {
        return [checksum_raw(first, order), checksum_raw(second, order)];
    }
    if order == ByteOrder::Little {
        pair_little(first, second)
    } else {
        pair_big(first, second)
    }
}

/// Little-endian words.
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "x86"),
    multiversion::multiversion(targets(
        "x86_64+avx512f+avx512bw+avx512dq+avx512vl",
        "x86_64+avx2",
        "x86_64+sse4.1",
        "x86+avx2",
        "x86+sse4.1",
    ))
)]
fn raw_little(page: &[u8]) -> u32 {
    sums(page, u32::from_le_bytes)
}

/// Big-endian words.
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "x86"),
    multiversion::multiversion(targets(
        "x86_64+avx512f+avx512bw+avx512dq+avx512vl",
        "x86_64+avx2",
        "x86_64+sse4.1",
        "x86+avx2",
        "x86+sse4.1",
    ))
)]
fn raw_big(page: &[u8]) -> u32 {
    sums(page, u32::from_be_bytes)
}

/// Little-endian words of two pages.
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "x86"),
    multiversion::multiversion(targets(
        "x86_64+avx512f+avx512bw+avx512dq+avx512vl",
        "x86_64+avx2",
        "x86_64+sse4.1",
        "x86+avx2",
        "x86+sse4.1",
    ))
)]
fn pair_little(first: &[u8], second: &[u8]) -> [u32; 2] {
    sums_of_two(first, second, u32::from_le_bytes)
}

/// Big-endian words of two pages.
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "x86"),
    multiversion::multiversion(targets(
        "x86_64+avx512f+avx512bw+avx512dq+avx512vl",
        "x86_64+avx2",
        "x86_64+sse4.1",
        "x86+avx2",
        "x86+sse4.1",
    ))
)]
fn pair_big(first: &[u8], second: &[u8]) -> [u32; 2] {
    sums_of_two(first, second, u32::from_be_bytes)
}

/// The kernel. It must be inlined into each version above, or it would be compiled once, for the
/// baseline.
#[inline(always)]
fn sums(page: &[u8], word: impl Fn([u8; 4]) -> u32 + Copy) -> u32 {
    let (rows, _) = page.as_chunks::<ROW_BYTES>();
    let mut sums = BASE;
    let Some((first, rest)) = rows.split_first() else {
        return finish(sums);
    };
    stir(&mut sums, &without_checksum(first), word);
    for row in rest {
        stir(&mut sums, row, word);
    }
    finish(sums)
}

/// The kernel for two pages.
#[inline(always)]
fn sums_of_two(first: &[u8], second: &[u8], word: impl Fn([u8; 4]) -> u32 + Copy) -> [u32; 2] {
    let (rows_a, _) = first.as_chunks::<ROW_BYTES>();
    let (rows_b, _) = second.as_chunks::<ROW_BYTES>();
    let (mut a, mut b) = (BASE, BASE);
    let (Some((head_a, rest_a)), Some((head_b, rest_b))) =
        (rows_a.split_first(), rows_b.split_first())
    else {
        return [finish(a), finish(b)];
    };
    stir(&mut a, &without_checksum(head_a), word);
    stir(&mut b, &without_checksum(head_b), word);
    for (row_a, row_b) in rest_a.iter().zip(rest_b) {
        stir(&mut a, row_a, word);
        stir(&mut b, row_b, word);
    }
    [finish(a), finish(b)]
}

/// A page's first row with `pd_checksum` as zero.
#[inline(always)]
fn without_checksum(row: &[u8; ROW_BYTES]) -> [u8; ROW_BYTES] {
    let mut row = *row;
    if let Some(field) = row.get_mut(8..10) {
        field.fill(0);
    }
    row
}

/// One row.
#[inline(always)]
fn stir(sums: &mut [u32; LANES], row: &[u8; ROW_BYTES], word: impl Fn([u8; 4]) -> u32) {
    let (words, _) = row.as_chunks::<4>();
    for (sum, bytes) in sums.iter_mut().zip(words) {
        *sum = step(*sum, word(*bytes));
    }
}

/// `CHECKSUM_COMP`.
#[inline(always)]
fn step(sum: u32, word: u32) -> u32 {
    let t = sum ^ word;
    t.wrapping_mul(PRIME) ^ (t >> 17)
}

/// Two rounds of zeros, and the columns folded into one.
#[inline(always)]
fn finish(mut sums: [u32; LANES]) -> u32 {
    for sum in &mut sums {
        *sum = step(step(*sum, 0), 0);
    }
    sums.iter().fold(0, |acc, &sum| acc ^ sum)
}

#[cfg(test)]
#[path = "../tests/reference/checksum.rs"]
mod reference;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_pages() {
        let zero = vec![0u8; 8192];
        let ramp: Vec<u8> = (0..8192usize).map(|i| ((7 * i + 3) & 255) as u8).collect();
        let le = |page: &[u8], block| page_checksum(page, BlockNumber(block), ByteOrder::Little);
        assert_eq!(le(&zero, 0), 0xC6AA);
        assert_eq!(le(&zero, 1), 50859);
        assert_eq!(le(&ramp, 0), 43596);
        assert_eq!(le(&ramp, 1), 43595);
        assert_eq!(le(&ramp, 131_072), 43594);
        assert_eq!(le(&ramp, 4_294_967_294), 21942);
    }

    #[test]
    fn a_buffer_is_taken_page_by_page() {
        let buffer: Vec<u8> = (0..5 * 1024 + 7)
            .map(|i: u32| ((i * i) >> 3) as u8)
            .collect();
        let mut got = Vec::new();
        each_checksum_raw(&buffer, 1024, ByteOrder::Big, |i, raw| got.push((i, raw)));
        let want: Vec<_> = buffer
            .chunks_exact(1024)
            .map(|page| checksum_raw(page, ByteOrder::Big))
            .enumerate()
            .collect();
        assert_eq!(got, want);
        each_checksum_raw(&[], 0, ByteOrder::Big, |_, _| unreachable!());
    }

    #[test]
    fn too_short_for_a_row_is_no_panic() {
        for len in 0..=128 {
            let _ = page_checksum(&vec![1; len], BlockNumber(0), ByteOrder::Big);
        }
    }

    proptest! {
        #[test]
        fn equals_the_reference(
            shift in 0u32..6,
            seed in any::<u64>(),
            block: u32,
            big: bool,
        ) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let mut x = seed | 1;
            let mut page: Vec<u8> = (0..1024usize << shift).map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x >> 32) as u8
            }).collect();
            let raw = checksum_raw(&page, order);
            prop_assert_eq!(raw, reference::checksum_raw(&page, order == ByteOrder::Big));
            let other: Vec<u8> = page.iter().map(|b| !b).collect();
            let both = [raw, checksum_raw(&other, order)];
            prop_assert_eq!(checksum_raw_pair(&page, &other, order), both);
            // `pg_checksum_page`: the block number comes in last, and 0 is no checksum.
            let whole = ((raw ^ block) % 65535 + 1) as u16;
            prop_assert_eq!(page_checksum(&page, BlockNumber(block), order), whole);
            prop_assert_eq!(reduce(raw, BlockNumber(block)), whole);
            // The field itself does not count.
            page[8] ^= 0x5A;
            page[9] ^= 0xA5;
            prop_assert_eq!(raw, checksum_raw(&page, order));
            // Mirrored words give the same sums in the other order.
            page[8] = 0;
            page[9] = 0;
            for word in page.as_chunks_mut::<4>().0 {
                word.reverse();
            }
            // The mirror moves the zeroed bytes from 8..10 to 10..12 of the mirrored page, so only
            // a page whose whole word 2 is zero obeys the law.
            page[8..12].fill(0);
            let other = if big { ByteOrder::Little } else { ByteOrder::Big };
            let mirrored = checksum_raw(&page, other);
            for word in page.as_chunks_mut::<4>().0 {
                word.reverse();
            }
            prop_assert_eq!(mirrored, checksum_raw(&page, order));
        }
    }
}
