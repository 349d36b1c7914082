//! The format of a cluster whose pg_control cannot be had, as far as other files tell it.
//!
//! Never a guess from a matching checksum alone: the major comes from PG_VERSION, the byte order from
//! the relation map's magic, the geometry from a page header and a write-ahead log header, and the
//! checksums count as on only if every page of the shared pg_database verifies. What cannot be told
//! stays at the default of all builds, and the report says that the format is presumed.

use pgfsck_format::checksum::page_checksum;
use pgfsck_format::control::toast_max_chunk_bytes;
use pgfsck_format::page::{PAGE_LAYOUT_VERSION, Page};
use pgfsck_format::relmap::RelMap;
use pgfsck_format::wal::name::WalFileName;
use pgfsck_format::wal::page::XLogPageHeader;
use pgfsck_format::{BlockNumber, ByteOrder, Checksums, ClusterFormat, Major, Oid};
use pgfsck_volume::{EntryKind, VolPath, Volume};
use std::os::unix::ffi::OsStrExt;

/// `DatabaseRelationId` (`catalog/pg_database.h`): a shared catalog that is never empty.
const PG_DATABASE: Oid = Oid(1262);
/// The default of `--with-segsize`: 1 GiB.
const SEGMENT_BYTES: u32 = 1 << 30;

/// The format that PG_VERSION, the global relation map, a page and a write-ahead log segment tell.
#[must_use]
pub fn format(volume: &dyn Volume, major: Major) -> Option<ClusterFormat> {
    let map = volume
        .read_small(&VolPath::new("global/pg_filenode.map"), 4096)
        .ok()?;
    let order = RelMap::order_of(&map)?;
    let number = RelMap::decode(&map, order).ok()?.lookup(PG_DATABASE)?;
    let bytes = volume
        .read_small(&VolPath::from(format!("global/{number}")), 1 << 20)
        .ok()?;
    let block_size = block_size(&bytes, order)?;
    let mut fmt = ClusterFormat {
        major,
        order,
        max_align: 8,
        block_size,
        segment_blocks: SEGMENT_BYTES / block_size,
        wal_block_size: 8192,
        wal_segment_bytes: 16 << 20,
        toast_max_chunk_bytes: 0,
        checksums: Checksums::Off,
    };
    if let Some((max_align, wal_block_size, wal_segment_bytes)) = wal(volume, major, order) {
        fmt.max_align = max_align;
        fmt.wal_block_size = wal_block_size;
        fmt.wal_segment_bytes = wal_segment_bytes;
    }
    fmt.toast_max_chunk_bytes = toast_max_chunk_bytes(block_size, fmt.max_align.into())?;
    fmt.checksums = checksums(&bytes, fmt);
    Some(fmt)
}

/// The block size that the first page's header names.
fn block_size(bytes: &[u8], order: ByteOrder) -> Option<u32> {
    let word = order.u16(*bytes.get(18..)?.first_chunk()?);
    let size = u32::from(word & 0xFF00);
    (word & 0xFF == u16::from(PAGE_LAYOUT_VERSION) && size.is_power_of_two() && size >= 1024)
        .then_some(size)
}

/// Alignment, block size and segment size from the first segment whose header makes sense.
fn wal(volume: &dyn Volume, major: Major, order: ByteOrder) -> Option<(u8, u32, u32)> {
    let dir = VolPath::new(major.row().wal_dir);
    let mut segments = Vec::new();
    volume
        .list(&dir, &mut |e| {
            let segment = matches!(
                WalFileName::parse(e.name.as_bytes()),
                Some(WalFileName::Segment(_))
            );
            if segment && matches!(e.kind, EntryKind::File { .. }) && segments.len() < 64 {
                segments.push(dir.join(&e.name));
            }
        })
        .ok()?;
    segments.sort();
    segments.iter().find_map(|path| {
        let mut head = [0; 64];
        volume.open(path).ok()?.read_at(&mut head, 0).ok()?;
        [8_u8, 4].into_iter().find_map(|align| {
            let header = XLogPageHeader::decode(&head, 0, order, align).ok()?;
            let long = header.long?;
            let sound = header.magic == major.row().wal_magic
                && long.segment_bytes.is_power_of_two()
                && long.segment_bytes >= 1 << 20
                && long.block_bytes.is_power_of_two();
            sound.then_some((align, long.block_bytes, long.segment_bytes))
        })
    })
}

/// On if every page of the file carries its checksum.
fn checksums(bytes: &[u8], fmt: ClusterFormat) -> Checksums {
    let all = bytes
        .chunks_exact(fmt.block_len())
        .zip(0u32..)
        .all(|(page, n)| {
            let block = BlockNumber(n);
            Page::new(page, block, fmt)
                .is_ok_and(|p| p.is_new() || p.checksum() == page_checksum(page, block, fmt.order))
        });
    if all { Checksums::On } else { Checksums::Off }
}
