//! The whole audit, of a small cluster with a few things wrong. Pages keep right checksums and pg_control a right
//! CRC, so that what is wrong gets to the checks behind.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use pgfsck_check::audit::{Options, audit};
use pgfsck_check::context::Level;
use pgfsck_check::sink::Silent;
use pgfsck_format::ByteOrder;
use pgfsck_format::control::ControlFile;
use pgfsck_volume::{Memory, VolPath};

const BLOCK: usize = 8192;

/// One thing that went wrong with one file.
#[derive(Debug, Arbitrary)]
enum Fault {
    /// Bytes of a page, which gets a right checksum.
    Page {
        block: u8,
        at: u16,
        bytes: [u8; 4],
        keep: u8,
    },
    /// Bytes of a page, which does not.
    Rot { at: u32, bytes: [u8; 2] },
    /// A page of zeros.
    Zero { block: u8 },
    /// A page of another file, or another block.
    Misdirected { from: u16, block: u8, to: u8 },
    /// Cut to so many bytes.
    Cut { bytes: u32 },
    /// Gone.
    Missing,
    /// Some bytes at the end.
    Longer { bytes: u16 },
}

fn wrong(volume: &mut Memory, names: &[VolPath], file: u16, fault: &Fault) {
    let name = &names[usize::from(file) % names.len()];
    let foreign = match fault {
        Fault::Misdirected { from, block, .. } => {
            let other = &names[usize::from(*from) % names.len()];
            let content = volume
                .content_mut(other)
                .map(|c| c.clone())
                .unwrap_or_default();
            let at = usize::from(*block) * BLOCK;
            content.get(at..at + BLOCK).map(<[u8]>::to_vec)
        }
        Fault::Missing => return volume.remove(name),
        _ => None,
    };
    let Some(content) = volume.content_mut(name) else {
        return;
    };
    let blocks = content.len() / BLOCK;
    let page_at = |block: u8| (usize::from(block) % blocks.max(1)) * BLOCK;
    match fault {
        Fault::Page {
            block,
            at,
            bytes,
            keep,
        } if blocks > 0 => {
            let from = page_at(*block);
            let page = &mut content[from..from + BLOCK];
            let at = usize::from(*at) % (BLOCK - 4);
            let keep = usize::from(*keep % 4);
            page[at..at + 4 - keep].copy_from_slice(&bytes[..4 - keep]);
            if page.iter().any(|&b| b != 0) {
                pgfsck_fuzz::seal(page, (from / BLOCK) as u32, ByteOrder::Little);
            }
        }
        Fault::Rot { at, bytes } if content.len() > 2 => {
            let at = *at as usize % (content.len() - 2);
            content[at..at + 2].copy_from_slice(bytes);
        }
        Fault::Zero { block } if blocks > 0 => {
            let from = page_at(*block);
            content[from..from + BLOCK].fill(0);
        }
        Fault::Misdirected { to, .. } if blocks > 0 => {
            let at = page_at(*to);
            if let Some(mut page) = foreign {
                pgfsck_fuzz::seal(&mut page, (at / BLOCK) as u32, ByteOrder::Little);
                content[at..at + BLOCK].copy_from_slice(&page);
            }
        }
        Fault::Cut { bytes } => content.truncate(*bytes as usize % (content.len() + 1)),
        Fault::Longer { bytes } => content.resize(content.len() + usize::from(*bytes), 7),
        _ => {}
    }
    if name.to_string() == "global/pg_control" {
        pgfsck_fuzz::seal_crc(content, |bytes| {
            let crc = ControlFile::decode(bytes).ok()?.crc;
            Some((crc.stored, crc.computed))
        });
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let mut volume = pgfsck_fuzz::sample().clone();
    let names: Vec<VolPath> = volume.files().cloned().collect();
    for _ in 0..8 {
        let (Ok(file), Ok(fault)) = (u16::arbitrary(&mut input), Fault::arbitrary(&mut input))
        else {
            break;
        };
        wrong(&mut volume, &names, file, &fault);
        if input.is_empty() {
            break;
        }
    }
    let run = |jobs| {
        let options = Options {
            level: Level::Deep,
            jobs,
            ..Options::default()
        };
        let mut report = audit(&volume, &options, &Silent);
        report.elapsed_seconds = 0.0;
        serde_json::to_string(&report).expect("a report is JSON")
    };
    let report = run(1);
    // The same bytes give the same report, whatever the threads: asked of every eighth input, for it takes as long again.
    if data.len() % 8 == 0 {
        assert_eq!(report, run(2));
    }
});
