//! What an audit says about the data: a code, a place, what stands there and what should.

use crate::codes::Problem;
use pgfsck_format::{BlockNumber, ForkNumber, OffsetNumber, Oid};
use pgfsck_volume::VolPath;
use std::sync::Arc;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Data is wrong or gone.
    Error,
    /// Suspicious, or a repair will be needed.
    Warning,
    /// Worth knowing, harmless.
    Note,
}

impl Severity {
    /// As the report writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }

    /// How bad it is that something which must be there is not: an error, unless recovery may still
    /// bring it or remove what needs it.
    #[must_use]
    pub fn proven(proven: bool) -> Self {
        if proven { Self::Error } else { Self::Note }
    }

    /// How bad it is that a file which a server writes anew now and then is damaged: an error after a clean stop; a
    /// copy of a running server may have half of it.
    #[must_use]
    pub fn of_damaged_state(settled: bool) -> Self {
        if settled { Self::Error } else { Self::Warning }
    }
}

/// A database as findings name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatabaseRef {
    /// Its OID; 0 for shared relations.
    pub oid: Oid,
    /// Its name, where the catalog says.
    pub name: Option<String>,
}

/// A relation as findings name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationRef {
    /// Its OID.
    pub oid: Oid,
    /// Its schema's name, where the catalog says.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// `table`, `index`, `sequence`, `TOAST table` or `materialized view`.
    pub kind: &'static str,
}

impl RelationRef {
    /// `schema.name`, for messages.
    #[must_use]
    pub fn qualified(&self) -> String {
        match &self.schema {
            Some(s) => format!("{s}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Where something is wrong.
///
/// Checks are handed a place and narrow it; they never build a path or format one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Place {
    /// The file, relative to the data directory.
    pub path: VolPath,
    /// The block within the relation's fork, across segments.
    pub block: Option<BlockNumber>,
    /// The 1-based line pointer.
    pub item: Option<OffsetNumber>,
    /// The 0-based column position.
    pub attribute: Option<u16>,
    /// The byte offset within the file.
    pub offset: Option<u64>,
    /// The database.
    pub database: Option<Arc<DatabaseRef>>,
    /// The relation.
    pub relation: Option<Arc<RelationRef>>,
    /// The fork, where a relation's file is meant.
    pub fork: Option<ForkNumber>,
}

impl Place {
    /// A whole file.
    #[must_use]
    pub fn file(path: VolPath) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    /// A line pointer of this block.
    #[must_use]
    pub fn at_item(&self, item: OffsetNumber) -> Self {
        Self {
            item: Some(item),
            ..self.clone()
        }
    }

    /// A column of this item.
    #[must_use]
    pub fn at_attribute(&self, attribute: u16) -> Self {
        Self {
            attribute: Some(attribute),
            ..self.clone()
        }
    }

    /// A byte of this file.
    #[must_use]
    pub fn at_offset(&self, offset: u64) -> Self {
        Self {
            offset: Some(offset),
            ..self.clone()
        }
    }
}

/// One thing that is wrong, suspicious or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of problem.
    pub problem: &'static Problem,
    /// How bad it is here: the problem's own severity unless evidence says otherwise.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What, in one sentence.
    pub message: String,
    /// The value found.
    pub have: Option<String>,
    /// The value that would be right.
    pub expect: Option<String>,
    /// What to do next, when there is something better to say than the problem's own advice.
    pub advice: Option<String>,
}

impl Finding {
    /// A finding of the problem's own severity.
    #[must_use]
    pub fn new(problem: &'static Problem, place: Place, message: impl Into<String>) -> Self {
        Self {
            problem,
            severity: problem.severity,
            place,
            message: message.into(),
            have: None,
            expect: None,
            advice: None,
        }
    }

    /// With both values.
    #[must_use]
    pub fn values(mut self, have: impl ToString, expect: impl ToString) -> Self {
        self.have = Some(have.to_string());
        self.expect = Some(expect.to_string());
        self
    }

    /// With another severity than the problem's own.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// With advice that fits better than the problem's own.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The order of a report: path, block, item, code; the rest makes it total.
    fn key(&self) -> impl Ord + '_ {
        let p = &self.place;
        (
            &p.path,
            p.block,
            p.item,
            self.problem.name,
            p.attribute,
            p.offset,
            &self.message,
        )
    }
}

impl PartialOrd for Finding {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Finding {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}
