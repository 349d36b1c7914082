//! What pages and catalogs alone cannot decide, kept until the write-ahead log has been asked.
//!
//! The log is read after the pages, and only if there is something to ask. At level `deep`, and at `structure` if
//! the log is small, every relation is asked about, and the log is read before the pages as well, so that each
//! page can be held against the last record about it ([`crate::page_lsns`]). On a directory that recovery has
//! still to work on, pages and log do not belong together yet: there the log is asked only who made a file, where
//! it has an image of a lost page, and which pages are older than what was flushed before the redo point.

use crate::after_the_fact;
use crate::codes;
use crate::context::{Cx, Level, Stop};
use crate::finding::{Finding, Place, Severity};
use crate::page_lsns::PageLsns;
use crate::wal_evidence::{BlockAddress, Event, Questions, WalEvidence};
use pgfsck_format::control::ControlFile;
use pgfsck_format::{BlockNumber, ForkNumber, Major, RelFileLocator};
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
}

/// Suspicions of one audit, at most; more are not asked about.
const MAX_SUSPICIONS: usize = 1 << 18;

/// The suspicions of an audit, from all threads.
#[derive(Debug, Default)]
pub struct Suspicions {
    all: Mutex<Vec<Suspicion>>,
    about_all: bool,
    /// Whether what the log says of lengths counts.
    settled: bool,
    lsns: PageLsns,
}

/// A log that is not larger is read in a moment: then every relation is asked about at every level.
const SMALL_LOG_BYTES: u64 = 128 << 20;

impl Suspicions {
    /// None yet, for a cluster whose directory holds so much of the log.
    #[must_use]
    pub fn new(cx: &Cx<'_>, control: Option<&ControlFile>, log_bytes: u64) -> Self {
        let about_all = cx.level >= Level::Deep || log_bytes <= SMALL_LOG_BYTES;
        let judged = control.filter(|_| cx.level >= Level::Structure);
        Self {
            all: Mutex::default(),
            about_all,
            settled: cx.stop == Stop::Clean,
            lsns: judged.map_or_else(PageLsns::default, |c| PageLsns::new(cx, c, about_all)),
        }
    }

    /// The LSNs of pages.
    #[must_use]
    pub fn lsns(&self) -> &PageLsns {
        &self.lsns
    }

    /// Whether the log is asked about a relation that nothing speaks against: of most of many it says nothing.
    #[must_use]
    pub fn asks_about(&self, locator: RelFileLocator, blocks: u32) -> bool {
        self.about_all && self.settled && !self.lsns.know_size(locator, blocks)
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
            }
        }
        self.lsns.ask(cx, &mut questions);
        let held = cx.sink.take_held();
        after_the_fact::ask(&held, &mut questions);
        let evidence = control.map_or_else(WalEvidence::default, |control| {
            WalEvidence::gather(cx, control, questions)
        });
        after_the_fact::conclude(cx, held, &evidence);
        let nothing = WalEvidence::default();
        let settled = if cx.stop == Stop::Clean {
            &evidence
        } else {
            &nothing
        };
        all.into_iter()
            .filter_map(|s| judge(s, settled, cx.fmt.major))
            .for_each(|f| cx.sink.report_final(f));
        self.lsns.conclude(cx, &evidence);
    }
}

/// A record, in words.
pub(crate) fn words(event: &Event, major: Major) -> String {
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
