//! The insides of values, type by type: what bytes each type's values can have.
//!
//! The decoders take the content of a value, without its varlena header, and say where it stops being
//! one of its type. What the catalog allows (a length, a precision) is not asked here.

pub mod array;
pub mod bits;
pub mod chunk;
pub mod compare;
pub mod dates;
pub mod hash_code;
pub mod jsonb;
pub mod numeric;
pub mod ranges;
pub mod text;
pub mod tsvector;

/// Why bytes cannot be a value of their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit {
    /// What is impossible, as the end of "the value is impossible: …".
    pub what: &'static str,
    /// The number found there.
    pub have: i64,
    /// What could stand there.
    pub expect: &'static str,
}

impl Misfit {
    /// A misfit.
    #[must_use]
    pub fn new(what: &'static str, have: impl TryInto<i64>, expect: &'static str) -> Self {
        Self {
            what,
            have: have.try_into().unwrap_or(i64::MAX),
            expect,
        }
    }
}
