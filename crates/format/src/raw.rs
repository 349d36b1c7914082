//! Unaligned reads of native integers from a slice, for views that must not fail.
//!
//! [`Reader`](crate::Reader) names the field and the file offset in its errors. Page views check
//! their length once and then read by the million, so they take these: `None` past the end.

use crate::bytes::ByteOrder;
use crate::ids::{BlockNumber, ItemPointer, Lsn, OffsetNumber};

/// The `N` bytes at `at`.
#[inline(always)]
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// The `u16` at `at`.
#[inline(always)]
pub(crate) fn u16(bytes: &[u8], at: usize, order: ByteOrder) -> Option<u16> {
    array(bytes, at).map(|b| order.u16(b))
}

/// The `u32` at `at`.
#[inline(always)]
pub(crate) fn u32(bytes: &[u8], at: usize, order: ByteOrder) -> Option<u32> {
    array(bytes, at).map(|b| order.u32(b))
}

/// The `u64` at `at`.
#[inline(always)]
pub(crate) fn u64(bytes: &[u8], at: usize, order: ByteOrder) -> Option<u64> {
    array(bytes, at).map(|b| order.u64(b))
}

/// Two `u32`, high half first, whatever the byte order (`PageXLogRecPtr`).
#[inline(always)]
pub(crate) fn lsn(bytes: &[u8], at: usize, order: ByteOrder) -> Option<Lsn> {
    let high = u32(bytes, at, order)?;
    let low = u32(bytes, at.checked_add(4)?, order)?;
    Some(Lsn(u64::from(high) << 32 | u64::from(low)))
}

/// `BlockIdData`: two `u16`, high half first, whatever the byte order.
#[inline(always)]
pub(crate) fn block_id(bytes: &[u8], at: usize, order: ByteOrder) -> Option<BlockNumber> {
    let [h0, h1, l0, l1] = array(bytes, at)?;
    let high = u32::from(order.u16([h0, h1]));
    Some(BlockNumber(high << 16 | u32::from(order.u16([l0, l1]))))
}

/// `ItemPointerData`: a block id and an offset number, 6 bytes, aligned to 2.
#[inline(always)]
pub(crate) fn item_pointer(bytes: &[u8], at: usize, order: ByteOrder) -> Option<ItemPointer> {
    let [h0, h1, l0, l1, o0, o1] = array(bytes, at)?;
    let high = u32::from(order.u16([h0, h1]));
    Some(ItemPointer {
        block: BlockNumber(high << 16 | u32::from(order.u16([l0, l1]))),
        offset: OffsetNumber(order.u16([o0, o1])),
    })
}
