//! `pgfsck wal image`: the full-page image of a block, as a page in a file.
//!
//! The only command that writes pages, so it is strict about where: a new file, nowhere below the data directory,
//! its log, its tablespaces or the archives.

use super::{Places, Wal, pages, records};
use crate::args::WalImageArgs;
use crate::commands::Kept;
use crate::output::print;
use anyhow::{Context, bail};
use pgfsck_format::checksum::page_checksum;
use pgfsck_format::wal::{RawRecord, StopReason, WalReader};
use pgfsck_format::{BlockNumber, ByteOrder, ClusterFormat, Lsn};
use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

/// Writes the image.
pub fn run(args: &WalImageArgs) -> anyhow::Result<ExitCode> {
    let places = Places::open(&args.input)?;
    let mut kept = Kept::new(&places.archives, &args.input.data);
    kept.add(places.volume.as_ref());
    kept.refuse(&args.output)?;
    let wal = Wal::open(&places)?;
    let (fmt, id) = (wal.fmt, wal.control.system_identifier);
    let mut reader = WalReader::new(wal.log, fmt, Some(id), args.lsn);
    let page = match reader.next_record() {
        Ok(raw) if raw.lsn == args.lsn => page_of(&raw, fmt, args)?,
        Ok(raw) => bail!(
            "no record begins at {}: the next one is at {}",
            args.lsn,
            raw.lsn
        ),
        Err(stop) => match stop.why {
            StopReason::End(why) => bail!("no record can be read at {}: {why}", args.lsn),
            StopReason::Source(e) => {
                return Err(e).context("could not read the write-ahead log");
            }
        },
    };
    let path = args.output.display();
    let mut file = fs::File::create_new(&args.output)
        .with_context(|| format!("could not create \"{path}\""))?;
    file.write_all(&page)
        .and_then(|()| file.sync_all())
        .with_context(|| format!("could not write \"{path}\""))?;
    print(&format!("{} bytes written to \"{path}\"\n", page.len()))?;
    Ok(ExitCode::SUCCESS)
}

/// The page that the record holds of the block.
fn page_of(
    raw: &RawRecord<'_>,
    fmt: ClusterFormat,
    args: &WalImageArgs,
) -> anyhow::Result<Vec<u8>> {
    let record = raw.decode()?;
    let name = format!(
        "block {} of {}",
        args.block.block,
        records::relation(args.block.relation)
    );
    let Some(block) = record.blocks().find(|b| pages::is_block(b, &args.block)) else {
        bail!("the record at {} does not refer to {name}", raw.lsn);
    };
    let Some(image) = block.image else {
        bail!("the record at {} has no full-page image of {name}", raw.lsn);
    };
    let mut page = image.restore(fmt)?;
    // A page of zeros has no header: recovery leaves it as it is (`XLogReadBufferForRedoExtended`).
    if !args.as_logged && page.iter().any(|b| *b != 0) {
        stamp(&mut page, raw.end, block.block, fmt);
    }
    Ok(page)
}

/// Gives the page the LSN and, where the cluster has checksums, the checksum with which recovery writes it.
fn stamp(page: &mut [u8], lsn: Lsn, block: BlockNumber, fmt: ClusterFormat) {
    let half = |n: u64| u32::try_from(n & 0xFFFF_FFFF).unwrap_or(0);
    let bytes = |n: u32| match fmt.order {
        ByteOrder::Little => n.to_le_bytes(),
        ByteOrder::Big => n.to_be_bytes(),
    };
    put(page, 0, &bytes(half(lsn.0 >> 32)));
    put(page, 4, &bytes(half(lsn.0)));
    let checksum = if fmt.checksums.must_verify() {
        page_checksum(page, block, fmt.order)
    } else {
        0
    };
    let checksum = match fmt.order {
        ByteOrder::Little => checksum.to_le_bytes(),
        ByteOrder::Big => checksum.to_be_bytes(),
    };
    put(page, 8, &checksum);
}

fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = page.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
