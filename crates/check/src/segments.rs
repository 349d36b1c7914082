//! The chain of a fork's segment files: no gap, none too short, none ending inside a block.

use crate::codes;
use crate::context::Cx;
use crate::finding::{Finding, Place, Severity};
use crate::inventory::{RelFile, RelationDirectory};
use crate::scan::SegmentFile;
use pgfsck_format::BlockNumber;
use pgfsck_format::names::RelFileName;

/// What a fork's files amount to.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// The files to scan, in order.
    pub segments: Vec<SegmentFile>,
    /// Blocks up to the end of the last file that has any: what the relation had, gaps included.
    pub blocks: u32,
    /// Blocks before that end which no file holds: half-open ranges.
    pub missing: Vec<std::ops::Range<u32>>,
}

/// Checks the files of one fork, sorted by segment, and reports what is wrong with the chain.
pub fn chain(
    cx: &Cx<'_>,
    dir: &RelationDirectory,
    files: &[RelFile],
    place: &Place,
    settled: bool,
) -> Chain {
    let full = cx.fmt.segment_bytes();
    let block_size = u64::from(cx.fmt.block_size);
    let last_with_data = files
        .iter()
        .filter(|f| f.bytes > 0)
        .map(|f| f.name.segment)
        .max()
        .unwrap_or(0);
    let softened = |s: Severity| if settled { s } else { s.max(Severity::Warning) };
    let mut out = Chain::default();
    let mut next = 0;
    for file in files {
        let path = dir.path_of(file);
        let first_block = u64::from(file.name.segment) * u64::from(cx.fmt.segment_blocks);
        let at = Place {
            path: path.clone(),
            ..place.clone()
        };
        if file.bytes > 0 && file.name.segment > next {
            out.missing.push(
                block_at(u64::from(next) * u64::from(cx.fmt.segment_blocks)).0
                    ..block_at(first_block).0,
            );
            // A missing segment 0 is a missing main fork, which the caller reports.
            if next > 0 {
                report_gap(
                    cx,
                    dir,
                    files,
                    place,
                    next,
                    file.name.segment,
                    softened(Severity::Error),
                );
            }
        }
        next = next.max(file.name.segment.saturating_add(1));
        let whole = file.bytes / block_size;
        if file.name.segment < last_with_data && file.bytes < full && file.regular {
            let block = block_at(first_block + whole);
            out.missing
                .push(block.0..block_at(first_block + u64::from(cx.fmt.segment_blocks)).0);
            let finding = Finding::new(
                &codes::RELATION_SEGMENT_SHORT,
                Place {
                    block: Some(block),
                    offset: Some(whole * block_size),
                    ..at.clone()
                },
                format!(
                    "segment {} is short, though segment {last_with_data} follows",
                    file.name.segment
                ),
            )
            .values(format!("{} bytes", file.bytes), format!("{full} bytes"))
            .severity(softened(Severity::Error));
            cx.sink.report(finding);
        } else if file.bytes % block_size != 0 && file.bytes <= full {
            let finding = Finding::new(
                &codes::PAGE_PARTIAL,
                Place {
                    block: Some(block_at(first_block + whole)),
                    offset: Some(whole * block_size),
                    ..at
                },
                "the file ends inside a block",
            )
            .values(
                format!("{} bytes", file.bytes),
                format!("a multiple of {block_size}"),
            )
            .severity(softened(Severity::Error));
            cx.sink.report(finding);
        }
        if file.bytes > full {
            let finding = Finding::new(
                &codes::RELATION_SEGMENT_OVERSIZED,
                Place {
                    path: path.clone(),
                    offset: Some(full),
                    ..place.clone()
                },
                "the segment file is larger than a segment can be",
            );
            cx.sink.report(finding.values(
                format!("{} bytes", file.bytes),
                format!("at most {full} bytes"),
            ));
        }
        let whole = whole.min(u64::from(cx.fmt.segment_blocks));
        out.blocks = out.blocks.max(block_at(first_block + whole).0);
        if file.regular {
            out.segments.push(SegmentFile {
                segment: file.name.segment,
                bytes: file.bytes,
                path,
            });
        }
    }
    out
}

/// One finding for each run of missing segments, at the first missing file.
fn report_gap(
    cx: &Cx<'_>,
    dir: &RelationDirectory,
    files: &[RelFile],
    place: &Place,
    from: u32,
    to: u32,
    severity: Severity,
) {
    let Some(like) = files.first() else { return };
    let missing = RelFile {
        name: RelFileName {
            segment: from,
            ..like.name
        },
        ..*like
    };
    let first_block = u64::from(from) * u64::from(cx.fmt.segment_blocks);
    let names = if to - from == 1 {
        format!("segment {from} is missing")
    } else {
        format!("segments {from} to {} are missing", to - 1)
    };
    let lost = u64::from(to - from) * u64::from(cx.fmt.segment_blocks);
    let finding = Finding::new(
        &codes::RELATION_SEGMENT_MISSING,
        Place {
            path: dir.path_of(&missing),
            block: Some(block_at(first_block)),
            ..place.clone()
        },
        format!("{names}, though segment {to} is there: {lost} blocks are lost"),
    )
    .values("no file", format!("{} bytes", cx.fmt.segment_bytes()))
    .severity(severity);
    cx.sink.report(finding);
}

fn block_at(n: u64) -> BlockNumber {
    BlockNumber(u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Level, Stop};
    use crate::sink::{Silent, Sink};
    use pgfsck_format::{ForkNumber, Oid, RelFileNumber};
    use pgfsck_volume::{Directory, VolPath};

    /// Code, file and block of a finding.
    type Found = (&'static str, String, Option<u32>);

    /// The findings about a fork with these (segment, bytes), of four blocks each, and its chain.
    fn check(files: &[(u32, u64)]) -> (Vec<Found>, Chain) {
        let tmp = tempfile::tempdir().unwrap();
        let volume = Directory::new(tmp.path(), Vec::new()).unwrap();
        let fmt = crate::testing::format();
        let sink = Sink::new(100, &Silent);
        let cx = Cx {
            volume: &volume,
            archives: &[],
            fmt,
            stop: Stop::Clean,
            level: Level::Files,
            sink: &sink,
            budget: &crate::budget::Budget::default(),
            piece_bytes: crate::audit::PIECE_BYTES,
            manifest: None,
        };
        let number = RelFileNumber(16384);
        let files: Vec<RelFile> = files
            .iter()
            .map(|&(segment, bytes)| RelFile {
                name: RelFileName::new(number, ForkNumber::Main, segment),
                bytes,
                regular: true,
            })
            .collect();
        let directory = RelationDirectory {
            tablespace: Oid::PG_DEFAULT,
            database: Oid(5),
            path: VolPath::new("base/5"),
            files: files.clone(),
            complete: true,
            has_version: true,
        };
        let chain = chain(&cx, &directory, &files, &Place::default(), true);
        let found = sink.finish().0;
        let found = found.iter().map(|f| {
            (
                f.problem.name,
                f.place.path.to_string(),
                f.place.block.map(|b| b.0),
            )
        });
        (found.collect(), chain)
    }

    const FULL: u64 = 4 * 8192;

    #[test]
    fn whole_chains_and_truncated_ones_are_silent() {
        for files in [
            &[(0, 0)][..],
            &[(0, FULL), (1, 8192)],
            &[(0, 8192), (1, 0), (2, 0)],
            &[(0, FULL), (1, FULL), (2, 0)],
        ] {
            let (found, chain) = check(files);
            assert_eq!(found, [], "{files:?}");
            assert!(chain.missing.is_empty());
        }
        assert_eq!(check(&[(0, FULL), (1, 8192)]).1.blocks, 5);
    }

    #[test]
    fn gaps_short_segments_and_partial_blocks_are_told_apart() {
        let (found, chain) = check(&[(0, FULL), (3, 8192)]);
        assert_eq!(
            found,
            [("relation.segment-missing", "base/5/16384.1".into(), Some(4))]
        );
        assert_eq!(chain.missing, std::slice::from_ref(&(4..12)));
        assert_eq!(chain.blocks, 13);

        let (found, chain) = check(&[(0, 8192), (1, 8192)]);
        assert_eq!(
            found,
            [("relation.segment-short", "base/5/16384".into(), Some(1))]
        );
        assert_eq!(chain.missing, std::slice::from_ref(&(1..4)));
        assert_eq!(chain.blocks, 5);

        let (found, _) = check(&[(0, FULL), (1, 8192 + 100)]);
        assert_eq!(found, [("page.partial", "base/5/16384.1".into(), Some(5))]);
    }
}
