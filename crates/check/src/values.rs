//! What the columns of a relation may hold, by their types: the rules, made once from pg_attribute and
//! pg_type, and what a tuple is held against.
//!
//! Only what no server writes is a misfit; types of which nothing is known, and those of which every
//! bit pattern is a value, have no rule and cost nothing. Limits of the catalog (`varchar(n)`,
//! `numeric(p,s)`) are not asked: administrators change them in pg_attribute to save a rewrite.

mod rule;

pub use rule::Rule;

use pgfsck_catalog::{Attribute, Attributes, Enums, Relation, Sequences};
use pgfsck_format::attribute::TupleShape;
use pgfsck_format::datum::Misfit;
use pgfsck_format::datum::text::Charset;
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::{ClusterFormat, Oid};

/// `FirstNormalObjectId`: relations below it were made by initdb.
const FIRST_NORMAL: Oid = Oid(16_384);
/// `LargeObjectRelationId` (`catalog/pg_largeobject.h`).
const PG_LARGEOBJECT: Oid = Oid(2613);

/// `TypeRelationId` and `ProcedureRelationId`.
const PG_TYPE: Oid = Oid(1247);
const PG_PROC: Oid = Oid(1255);
/// `NAMEOID`.
const NAME: Oid = Oid(19);

/// What is known of the types of a database.
#[derive(Clone, Copy)]
pub struct Types<'a> {
    /// Its columns and types.
    pub attributes: &'a Attributes,
    /// The values of its enum types.
    pub enums: &'a Enums,
    /// The bounds of its sequences.
    pub sequences: &'a Sequences,
    /// Its encoding.
    pub charset: Charset,
    /// The cluster's format.
    pub fmt: ClusterFormat,
}

/// A column of fixed length that has a rule.
struct Fixed {
    column: usize,
    /// Where it is in a tuple that has all columns before it.
    offset: Option<usize>,
    rule: Rule,
}

/// The rules of one relation's columns.
pub struct Values<'a> {
    types: Types<'a>,
    fixed: Vec<Fixed>,
    /// One per column.
    varlena: Vec<Option<Rule>>,
    /// The columns that must not be null, as a null bitmap has them.
    not_null: Vec<u8>,
    /// Name of each column's type, for messages.
    typids: Vec<Oid>,
}

/// A value that its type does not have.
#[derive(Debug, Clone, Copy)]
pub struct Impossible {
    /// The column, from 0.
    pub column: usize,
    /// Why.
    pub misfit: Misfit,
    /// Whether only a row that counts is bound by it.
    pub live_only: bool,
}

impl<'a> Values<'a> {
    /// For a relation whose columns are all known.
    #[must_use]
    pub fn new(types: Types<'a>, relation: &Relation, shape: &TupleShape) -> Self {
        let columns = types.attributes.all_of(relation).unwrap_or_default();
        let mut out = Self {
            types,
            fixed: Vec::new(),
            varlena: Vec::new(),
            not_null: Vec::new(),
            typids: columns.iter().map(|a| a.typid).collect(),
        };
        if relation.oid.0 >= FIRST_NORMAL.0 && !types.fmt.version().not_null_may_be_unproven {
            out.not_null = not_null_bits(columns);
        }
        for (column, attribute) in columns.iter().enumerate() {
            let rule = match (relation.oid, attribute.attnum) {
                (PG_LARGEOBJECT, 2) => Some(Rule::PageNumber),
                (PG_LARGEOBJECT, 3) => Some(Rule::LargeObjectPage),
                // The name of a multirange is made of a part of its range's, cut between any two bytes
                // (`makeMultirangeTypeName`), and its constructors have it as well.
                (PG_TYPE | PG_PROC, _) if attribute.typid == NAME => Some(Rule::NameOfAnyBytes),
                _ => Rule::of(&types, attribute.typid),
            };
            let is_fixed = attribute.len > 0;
            match rule.filter(|_| !attribute.is_dropped()) {
                Some(rule) if is_fixed => {
                    let offset = shape.fixed_offset(column);
                    out.fixed.push(Fixed {
                        column,
                        offset,
                        rule,
                    });
                    out.varlena.push(None);
                }
                rule => out.varlena.push(rule),
            }
        }
        out
    }

    /// Whether it asks nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let none = self.varlena.iter().all(Option::is_none);
        none && self.fixed.is_empty() && self.not_null.is_empty()
    }

    /// The rule of a column of variable length.
    #[inline]
    #[must_use]
    pub fn of_varlena(&self, column: usize) -> Option<&Rule> {
        self.varlena.get(column)?.as_ref()
    }

    /// Holds the content of a value against its column's rule.
    ///
    /// # Errors
    /// It is no value of the column's type.
    pub fn check(&self, column: usize, rule: &Rule, content: &[u8]) -> Result<(), Impossible> {
        rule.check(content, &self.types)
            .map_err(|misfit| Impossible {
                column,
                misfit,
                live_only: rule.binds_only_live_rows(),
            })
    }

    /// Whether a compressed value is longer than its column can have, by its recorded size.
    #[must_use]
    pub fn too_long(&self, column: usize, rule: Option<&Rule>, bytes: u32) -> Option<Impossible> {
        let most = rule?.most_bytes(&self.types)?;
        (bytes as usize > most).then(|| Impossible {
            column,
            misfit: Misfit::new(
                "the bytes, when decompressed, are",
                bytes,
                "at most LOBLKSIZE, a quarter of a block",
            ),
            live_only: false,
        })
    }

    /// How many columns of fixed length have a rule.
    #[must_use]
    pub fn fixed_count(&self) -> u64 {
        self.fixed.len() as u64
    }

    /// Holds the columns of fixed length, and those that must not be null, against their rules.
    ///
    /// # Errors
    /// The first that is not of its type, or null where nothing may be.
    #[inline]
    pub fn check_fixed(
        &self,
        tuple: &HeapTupleHeader<'_>,
        shape: &TupleShape,
    ) -> Result<(), Impossible> {
        if !self.not_null.is_empty() && tuple.has_nulls() {
            self.check_not_null(tuple)?;
        }
        if self.fixed.is_empty() {
            return Ok(());
        }
        self.check_each_fixed(tuple, shape)
    }

    fn check_each_fixed(
        &self,
        tuple: &HeapTupleHeader<'_>,
        shape: &TupleShape,
    ) -> Result<(), Impossible> {
        let data = tuple.data();
        let mut walk = None;
        // Without nulls the offsets hold; columns behind a varlena are found by walking.
        let straight = !tuple.has_nulls();
        for fixed in &self.fixed {
            if fixed.column >= usize::from(tuple.natts()) {
                break; // the tuple is older than the column
            }
            let bytes = match fixed.offset.filter(|_| straight) {
                Some(at) => data.get(at..),
                None => {
                    let walk = walk.get_or_insert_with(|| {
                        tuple.attributes(shape.attributes(), self.types.fmt)
                    });
                    walk.find_map(|datum| match datum {
                        Ok((column, datum)) => (column == fixed.column).then(|| datum.bytes()),
                        Err(_) => Some(None),
                    })
                    .flatten()
                }
            };
            if let Some(bytes) = bytes {
                self.check(fixed.column, &fixed.rule, bytes)?;
            }
        }
        Ok(())
    }

    /// No column is null that must not be.
    fn check_not_null(&self, tuple: &HeapTupleHeader<'_>) -> Result<(), Impossible> {
        let Some(bits) = tuple.null_bitmap() else {
            return Ok(());
        };
        let natts = usize::from(tuple.natts());
        for (i, (have, must)) in bits.iter().zip(&self.not_null).enumerate() {
            let nulls = must & !have;
            let column = i * 8 + nulls.trailing_zeros() as usize;
            if nulls != 0 && column < natts {
                return Err(Impossible {
                    column,
                    misfit: Misfit::new(
                        "it is null, and its column is NOT NULL: values",
                        0,
                        "a value",
                    ),
                    live_only: true,
                });
            }
        }
        Ok(())
    }

    /// The name of a column's type, for messages.
    #[must_use]
    pub fn type_name(&self, column: usize) -> &'a str {
        let typid = self.typids.get(column).copied().unwrap_or(Oid::INVALID);
        let info = self.types.attributes.type_info(typid);
        info.map_or("its column", |t| self.types.attributes.names.get(t.name))
    }
}

/// The columns that must not be null, a bit each, the lowest of a byte first.
fn not_null_bits(columns: &[Attribute]) -> Vec<u8> {
    let must = |a: &Attribute| a.not_null() && !a.is_dropped() && a.generated == 0;
    if !columns.iter().any(must) {
        return Vec::new();
    }
    columns
        .chunks(8)
        .map(|eight| {
            let bits = eight.iter().enumerate();
            bits.fold(0, |byte, (i, a)| byte | u8::from(must(a)) << i)
        })
        .collect()
}
