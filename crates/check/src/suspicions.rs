//! What pages and catalogs alone cannot decide, kept until the write-ahead log has been asked.
//!
//! The log is read once, and only if there is something to ask. Every relation is asked about at level
//! `deep`, and at `structure` if the log is small. On a directory that recovery has still to work on, pages and log do not belong together yet, so
//! nothing is asked there.

use crate::codes;
use crate::context::{Cx, Level, Stop};
use crate::finding::{Finding, Place, Severity};
use crate::wal_evidence::{BlockAddress, Event, LsnVerdict, Questions, WalEvidence};
use pgfsck_format::control::ControlFile;
use pgfsck_format::{BlockNumber, ForkNumber, Lsn, Major, RelFileLocator};
use std::sync::{Mutex, PoisonError};

/// Something that may be damage.
#[derive(Debug)]
pub enum Suspicion {
    /// An all-zero page between others, of which no index and no map proves that it had content.
    Zeroed {
        /// The page.
        at: Place,
        /// The same, as the log names it.
        address: BlockAddress,
    },
    /// A relation's file that may have been longer.
    Shorter {
        /// Where it ends now.
        at: Place,
        /// The relation.
        locator: RelFileLocator,
        /// How many blocks it has.
        blocks: u32,
        /// Who says that it had more blocks, and how many, if anybody does.
        word: Option<(&'static str, u32)>,
    },
    /// A page whose LSN must belong to a record about this block.
    Written {
        /// The page.
        at: Place,
        /// The same, as the log names it.
        address: BlockAddress,
        /// Its LSN.
        lsn: Lsn,
    },
}

/// Suspicions of one audit, at most; more are not asked about.
const MAX_SUSPICIONS: usize = 1 << 18;

/// The suspicions of an audit, from all threads.
#[derive(Debug, Default)]
pub struct Suspicions {
    all: Mutex<Vec<Suspicion>>,
    about_all: bool,
}

/// A log that is not larger is read in a moment: then every relation is asked about at every level.
const SMALL_LOG_BYTES: u64 = 128 << 20;

impl Suspicions {
    /// None yet, for a cluster whose directory holds so much of the log.
    #[must_use]
    pub fn new(level: Level, log_bytes: u64) -> Self {
        Self {
            all: Mutex::default(),
            about_all: level >= Level::Deep || log_bytes <= SMALL_LOG_BYTES,
        }
    }

    /// Whether the log is asked about relations that nothing speaks against.
    #[must_use]
    pub fn about_all(&self) -> bool {
        self.about_all
    }

    /// Takes one.
    pub fn add(&self, suspicion: Suspicion) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MAX_SUSPICIONS {
            all.push(suspicion);
        }
    }

    /// Asks the log, and reports what it proves; what it does not prove stays a note, or is dropped.
    pub fn resolve(self, cx: &Cx<'_>, control: Option<&ControlFile>) {
        let all = self
            .all
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let mut questions = Questions::default();
        for suspicion in &all {
            match suspicion {
                Suspicion::Zeroed { address, .. } => questions.block(*address),
                Suspicion::Shorter { locator, .. } => {
                    questions.highest_block(*locator, ForkNumber::Main)
                }
                Suspicion::Written { lsn, .. } => questions.page_lsn(*lsn),
            }
        }
        let evidence = match control {
            Some(control) if cx.stop == Stop::Clean => WalEvidence::gather(cx, control, questions),
            _ => WalEvidence::default(),
        };
        all.into_iter()
            .filter_map(|s| judge(s, &evidence, cx.fmt.major))
            .for_each(|f| cx.sink.report(f));
    }
}

/// A record, in words.
fn words(event: &Event, major: Major) -> String {
    format!("{} record at {}", event.record.name(major), event.lsn)
}

/// What is left of a suspicion once the log has spoken.
fn judge(suspicion: Suspicion, evidence: &WalEvidence, major: Major) -> Option<Finding> {
    match suspicion {
        Suspicion::Zeroed { at, address } => Some(match evidence.content(address) {
            Some(event) => {
                let message = format!(
                    "the page is all zero, though the write-ahead log gave it content ({})",
                    words(&event, major)
                );
                Finding::new(&codes::PAGE_ZEROED, at, message)
                    .values("an all-zero page", "a page with content")
            }
            None => {
                let message = "the page is all zero, and pages after it have content; nothing proves that it had any";
                Finding::new(&codes::PAGE_ZEROED, at, message)
                    .values("an all-zero page", "content, or a page that was never used")
                    .severity(Severity::Note)
                    .advice("Nothing, if the table is complete: an extension that was interrupted leaves such pages, and VACUUM makes them usable.")
            }
        }),
        Suspicion::Shorter {
            at,
            locator,
            blocks,
            word,
        } => {
            let proof = evidence
                .highest_block(locator, ForkNumber::Main)
                .filter(|(block, _)| block.0 >= blocks);
            match (proof, word) {
                (Some((block, event)), _) => {
                    let message = format!(
                        "the end is gone: the write-ahead log has block {block} ({})",
                        words(&event, major)
                    );
                    let expect = format!("at least {} blocks", block.0.saturating_add(1));
                    Some(
                        Finding::new(&codes::RELATION_TRUNCATED, at, message)
                            .values(format!("{blocks} blocks"), expect),
                    )
                }
                (None, Some((who, counted))) => {
                    let message = format!(
                        "{who} speaks of more pages than the file has: its end may be gone"
                    );
                    let expect = format!("{counted} blocks, if that is right");
                    let finding = Finding::new(&codes::RELATION_TRUNCATED, at, message);
                    Some(
                        finding
                            .values(format!("{blocks} blocks"), expect)
                            .severity(Severity::Note),
                    )
                }
                (None, None) => None,
            }
        }
        Suspicion::Written { at, address, lsn } => {
            let LsnVerdict::Contradicts { record, blocks } = evidence.page_lsn(address, lsn) else {
                return None;
            };
            let first = blocks.first()?;
            let same = first.locator.number == address.locator.number;
            let what = format!(
                "the page was written by a {} for block {} of file {}",
                words(&record, major),
                first.block,
                first.locator.number
            );
            let (have, expect) = (
                format!("block {} of file {}", first.block, first.locator.number),
                format!("block {} of file {}", address.block, address.locator.number),
            );
            let finding = if same {
                Finding::new(&codes::PAGE_MISPLACED, at, what).severity(Severity::Error)
            } else {
                Finding::new(
                    &codes::RELATION_WRONG_CONTENT,
                    at,
                    format!("{what}: the file holds another relation's content"),
                )
            };
            Some(finding.values(have, expect))
        }
    }
}

/// A block as the log names it.
#[must_use]
pub fn address(locator: RelFileLocator, block: BlockNumber) -> BlockAddress {
    BlockAddress {
        locator,
        fork: ForkNumber::Main,
        block,
    }
}
