//! What the targets share: formats, a mutator that keeps CRCs right, and a small real cluster.

use libfuzzer_sys::fuzzer_mutate;
use pgfsck_format::checksum::page_checksum;
use pgfsck_format::{BlockNumber, ByteOrder, Checksums, ClusterFormat, Major};
use pgfsck_volume::{Memory, VolPath};
use std::io::Read;
use std::sync::OnceLock;

/// No decoder may make more of its input than this.
pub const MOST_BYTES: usize = 64 << 20;

/// A format, from the first two bytes, and the rest.
pub fn format(data: &[u8]) -> Option<(ClusterFormat, &[u8])> {
    let ([major, bits], rest) = data.split_first_chunk()?;
    let fmt = ClusterFormat {
        major: Major::ALL[usize::from(*major) % Major::ALL.len()],
        order: if bits & 1 == 0 {
            ByteOrder::Little
        } else {
            ByteOrder::Big
        },
        max_align: if bits & 2 == 0 { 8 } else { 4 },
        block_size: 1024 << (bits >> 2 & 7).min(5),
        segment_blocks: if bits & 32 == 0 { 131_072 } else { 4 },
        wal_block_size: if bits & 64 == 0 { 8192 } else { 1024 },
        wal_segment_bytes: 1 << 20,
        toast_max_chunk_bytes: 1996,
        checksums: if bits & 128 == 0 {
            Checksums::On
        } else {
            Checksums::Off
        },
    };
    Some((fmt, rest))
}

/// Mutates a file that ends with a CRC of what comes before, and makes the CRC right again: `crcs` says which is
/// stored, and which would be right.
pub fn mutate_sealed(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    crcs: impl Fn(&[u8]) -> Option<(u32, u32)>,
) -> usize {
    let size = fuzzer_mutate(data, size, max_size);
    if let Some(file) = data.get_mut(..size) {
        seal_crc(file, crcs);
    }
    size
}

/// Makes the CRC of a file right again: `crcs` says which is stored, and which would be right.
pub fn seal_crc(file: &mut [u8], crcs: impl Fn(&[u8]) -> Option<(u32, u32)>) {
    let Some((stored, right)) = crcs(file) else {
        return;
    };
    let orders: [fn(u32) -> [u8; 4]; 2] = [u32::to_le_bytes, u32::to_be_bytes];
    for to_bytes in orders {
        let at = (0..file.len().saturating_sub(3))
            .step_by(4)
            .rev()
            .find(|&at| file[at..at + 4] == to_bytes(stored));
        let Some(at) = at else { continue };
        file[at..at + 4].copy_from_slice(&to_bytes(right));
        if crcs(file).is_some_and(|(stored, right)| stored == right) {
            return;
        }
        file[at..at + 4].copy_from_slice(&to_bytes(stored));
    }
}

/// Gives a page the checksum that it must have.
pub fn seal(page: &mut [u8], block: u32, order: ByteOrder) {
    let sum = page_checksum(page, BlockNumber(block), order);
    if let Some(field) = page.get_mut(8..10) {
        field.copy_from_slice(&match order {
            ByteOrder::Little => sum.to_le_bytes(),
            ByteOrder::Big => sum.to_be_bytes(),
        });
    }
}

/// The repository's sample: a stopped cluster of 17, with one of its databases.
pub fn sample() -> &'static Memory {
    static SAMPLE: OnceLock<Memory> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let archive = include_bytes!("../../fixtures/data/sample.tar.gz");
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&archive[..]));
        let mut out = Memory::default();
        for entry in tar.entries().expect("the sample is an archive") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a name").display().to_string();
            let name = name
                .trim_start_matches("./")
                .trim_end_matches('/')
                .to_owned();
            // The templates' catalogs are the same again.
            if name.is_empty()
                || ["base/1/", "base/4/", "base/5/"]
                    .iter()
                    .any(|d| name.starts_with(d))
            {
                continue;
            }
            if entry.header().entry_type().is_dir() {
                out.directory(VolPath::new(&name));
            } else {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).expect("its content");
                out.file(VolPath::new(&name), content);
            }
        }
        out
    })
}
