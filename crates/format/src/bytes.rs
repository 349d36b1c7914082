//! A bounded reader that knows its byte order and its absolute file offset.
//!
//! Everything in a data directory is written in the native order of the machine that ran the
//! server, so each read takes the cluster's [`ByteOrder`]. No method panics: a read past the end is
//! a [`DecodeError::Short`] that names the field and the absolute offset.

use crate::error::DecodeError;
use byteorder::{BigEndian, ByteOrder as _, LittleEndian};

/// Byte order of the machine that wrote the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ByteOrder {
    /// Least significant byte first (x86, ARM, RISC-V, ppc64le).
    Little,
    /// Most significant byte first (s390x, sparc, old ppc).
    Big,
}

impl ByteOrder {
    /// The order of the machine this program runs on.
    pub const NATIVE: Self = if cfg!(target_endian = "big") {
        Self::Big
    } else {
        Self::Little
    };

    /// Reads a `u16` from two bytes.
    #[inline]
    #[must_use]
    pub fn u16(self, b: [u8; 2]) -> u16 {
        match self {
            Self::Little => LittleEndian::read_u16(&b),
            Self::Big => BigEndian::read_u16(&b),
        }
    }

    /// Reads a `u32` from four bytes.
    #[inline]
    #[must_use]
    pub fn u32(self, b: [u8; 4]) -> u32 {
        match self {
            Self::Little => LittleEndian::read_u32(&b),
            Self::Big => BigEndian::read_u32(&b),
        }
    }

    /// Reads a `u64` from eight bytes.
    #[inline]
    #[must_use]
    pub fn u64(self, b: [u8; 8]) -> u64 {
        match self {
            Self::Little => LittleEndian::read_u64(&b),
            Self::Big => BigEndian::read_u64(&b),
        }
    }

    /// `little` or `big`, as reports print it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Little => "little",
            Self::Big => "big",
        }
    }
}

/// A bounded view of bytes with a byte order and the absolute offset of its first byte.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    base: u64,
    order: ByteOrder,
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`, whose first byte lies at `base` in its file.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8], base: u64, order: ByteOrder) -> Self {
        Self { bytes, base, order }
    }

    /// All the bytes.
    #[inline]
    #[must_use]
    pub fn all(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many bytes there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The byte order in force.
    #[inline]
    #[must_use]
    pub fn order(&self) -> ByteOrder {
        self.order
    }

    /// Absolute file offset of byte `at`.
    #[inline]
    #[must_use]
    pub fn offset_of(&self, at: usize) -> u64 {
        self.base.saturating_add(at as u64)
    }

    /// The error for a read of `need` bytes at `at` that does not fit.
    #[cold]
    fn short(&self, what: &'static str, at: usize, need: usize) -> DecodeError {
        DecodeError::Short {
            what,
            offset: self.offset_of(at),
            need_bytes: need as u64,
            have_bytes: self.bytes.len().saturating_sub(at) as u64,
        }
    }

    /// `len` bytes at `at`.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if they are not all there.
    #[inline]
    pub fn bytes(
        &self,
        what: &'static str,
        at: usize,
        len: usize,
    ) -> Result<&'a [u8], DecodeError> {
        at.checked_add(len)
            .and_then(|end| self.bytes.get(at..end))
            .ok_or_else(|| self.short(what, at, len))
    }

    /// `N` bytes at `at`, as an array.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if they are not all there.
    #[inline]
    pub fn array<const N: usize>(
        &self,
        what: &'static str,
        at: usize,
    ) -> Result<[u8; N], DecodeError> {
        self.bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied()
            .ok_or_else(|| self.short(what, at, N))
    }

    /// The `u8` at `at`.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it is not there.
    #[inline]
    pub fn u8(&self, what: &'static str, at: usize) -> Result<u8, DecodeError> {
        self.bytes
            .get(at)
            .copied()
            .ok_or_else(|| self.short(what, at, 1))
    }

    /// The `u16` at `at`.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it is not all there.
    #[inline]
    pub fn u16(&self, what: &'static str, at: usize) -> Result<u16, DecodeError> {
        self.array(what, at).map(|b| self.order.u16(b))
    }

    /// The `u32` at `at`.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it is not all there.
    #[inline]
    pub fn u32(&self, what: &'static str, at: usize) -> Result<u32, DecodeError> {
        self.array(what, at).map(|b| self.order.u32(b))
    }

    /// The `u64` at `at`.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it is not all there.
    #[inline]
    pub fn u64(&self, what: &'static str, at: usize) -> Result<u64, DecodeError> {
        self.array(what, at).map(|b| self.order.u64(b))
    }

    /// The `i32` at `at`.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it is not all there.
    #[inline]
    pub fn i32(&self, what: &'static str, at: usize) -> Result<i32, DecodeError> {
        self.u32(what, at).map(u32::cast_signed)
    }

    /// The `i64` at `at`.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it is not all there.
    #[inline]
    pub fn i64(&self, what: &'static str, at: usize) -> Result<i64, DecodeError> {
        self.u64(what, at).map(u64::cast_signed)
    }

    /// The `f64` at `at`.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it is not all there.
    #[inline]
    pub fn f64(&self, what: &'static str, at: usize) -> Result<f64, DecodeError> {
        self.u64(what, at).map(f64::from_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_both_orders_and_never_past_the_end() {
        let b = [1, 2, 3, 4, 5, 6, 7, 8];
        let le = Reader::new(&b, 100, ByteOrder::Little);
        let be = Reader::new(&b, 100, ByteOrder::Big);
        assert_eq!(le.u32("x", 1), Ok(0x0504_0302));
        assert_eq!(be.u32("x", 1), Ok(0x0203_0405));
        assert_eq!(be.u64("x", 0), Ok(0x0102_0304_0506_0708));
        assert_eq!(
            le.u32("x", 6),
            Err(DecodeError::Short {
                what: "x",
                offset: 106,
                need_bytes: 4,
                have_bytes: 2
            })
        );
        assert!(le.bytes("x", usize::MAX, 2).is_err());
        assert!(le.u8("x", usize::MAX).is_err());
    }
}
