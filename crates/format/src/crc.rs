//! CRC-32C (Castagnoli), the checksum of every file and WAL record that has one.
//!
//! `port/pg_crc32c.h`: reflected, initial value and final XOR 0xFFFFFFFF. The data pages have a checksum
//! of their own: [`checksum`](crate::checksum).

/// A CRC-32C that a file carries, and the one that its bytes give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CrcVerdict {
    /// What the file says.
    pub stored: u32,
    /// What was computed over the bytes that it covers.
    pub computed: u32,
}

impl CrcVerdict {
    /// Whether they agree.
    #[must_use]
    pub fn matches(self) -> bool {
        self.stored == self.computed
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_polynomial_is_castagnolis() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8A91_36AA);
    }
}
