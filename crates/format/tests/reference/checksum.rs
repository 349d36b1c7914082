//! The page checksum as its definition reads, one word after the other: what the fast one is
//! compared with, for equality in tests and for speed in the benchmark.

/// `checksumBaseOffsets`, written a second time on purpose.
const BASE: [u32; 32] = [
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
];

/// The checksum before the block number comes in.
pub fn checksum_raw(page: &[u8], big_endian: bool) -> u32 {
    let mut sums = BASE;
    for (index, bytes) in page.chunks_exact(4).enumerate() {
        let mut bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if index == 2 {
            bytes[0] = 0;
            bytes[1] = 0;
        }
        let word = if big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        };
        let sum = &mut sums[index % 32];
        let t = *sum ^ word;
        // The barrier keeps a compiler from turning the columns into vectors after all.
        *sum = std::hint::black_box(t.wrapping_mul(16_777_619) ^ (t >> 17));
    }
    let mut folded = 0;
    for mut sum in sums {
        for _ in 0..2 {
            sum = sum.wrapping_mul(16_777_619) ^ (sum >> 17);
        }
        folded ^= sum;
    }
    folded
}
