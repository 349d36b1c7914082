//! `pg_filenode.map`: where the catalogs are that must be found before pg_class can be read.
//!
//! `RelMapFile` (`utils/cache/relmapper.c`). One in `global/` for the shared catalogs, one in the
//! directory of each database. pg_class.relfilenode is 0 exactly for the relations listed here. Up to
//! 15 the file is overwritten in place by one write of 512 bytes, from 16 on a new file is renamed over
//! it, so a torn one is damage in every major.
//!
//! | at (9.6 to 15) | at (16+) | size | field | meaning |
//! |---|---|---|---|---|
//! | 0 | 0 | 4 | `magic` | 0x592717 |
//! | 4 | 4 | 4 | `num_mappings` | entries in use: at most 62, 64 from 16 on |
//! | 8 | 8 | 8 each | `mappings` | OID of the catalog, number of its file; not sorted, unused ones zero |
//! | 504 | 520 | 4 | `crc` | CRC-32C of everything before it |
//! | 508 | | 4 | `pad` | 0 |
//!
//! The length of the file tells the layout (512 or 524 bytes). Nothing may be believed before
//! [`RelMap::crc`] agrees; entries of a map with a wrong CRC are worth looking at, not following.

use crate::bytes::{ByteOrder, Reader};
use crate::crc::CrcVerdict;
use crate::error::DecodeError;
use crate::ids::{Oid, RelFileNumber};
use crate::layouts::Major;
pub use crate::layouts::mapped::{MAPPED_RELATIONS, MappedRelation};

/// `RELMAPPER_FILEMAGIC`.
pub const MAGIC: u32 = 0x0059_2717;

mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const NUM_MAPPINGS: usize = 4;
    pub(super) const MAPPINGS: usize = 8;
    /// Bytes of one mapping.
    pub(super) const MAPPING: usize = 8;
}

/// The two layouts, told apart by the length of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelMapLayout {
    /// 512 bytes: 9.6 to 15.
    Bytes512,
    /// 524 bytes: 16 and later.
    Bytes524,
}

impl RelMapLayout {
    /// The layout of a file of that many bytes.
    #[must_use]
    pub fn of_length(bytes: usize) -> Option<Self> {
        match bytes {
            512 => Some(Self::Bytes512),
            524 => Some(Self::Bytes524),
            _ => None,
        }
    }

    /// The layout of that major.
    #[must_use]
    pub fn of_major(major: Major) -> Self {
        match major.row().relmap_bytes {
            512 => Self::Bytes512,
            _ => Self::Bytes524,
        }
    }

    /// Length of the file in bytes.
    #[must_use]
    pub fn file_bytes(self) -> usize {
        match self {
            Self::Bytes512 => 512,
            Self::Bytes524 => 524,
        }
    }

    /// `MAX_MAPPINGS`.
    #[must_use]
    pub fn max_mappings(self) -> usize {
        match self {
            Self::Bytes512 => 62,
            Self::Bytes524 => 64,
        }
    }

    /// Offset of the CRC.
    fn crc_at(self) -> usize {
        at::MAPPINGS + self.max_mappings() * at::MAPPING
    }
}

/// One entry (`RelMapping`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// `mapoid`: the catalog.
    pub oid: Oid,
    /// `mapfilenumber` (`mapfilenode` before 16): its file.
    pub number: RelFileNumber,
}

/// A map, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelMap {
    /// The layout that the file's length told.
    pub layout: RelMapLayout,
    /// `magic`; [`MAGIC`] in a sound file.
    pub magic: u32,
    /// `num_mappings`, as it stands; more than [`RelMapLayout::max_mappings`] or less than 0 is damage.
    pub num_mappings: i32,
    /// The entries in use, in file order, no more than the file has room for.
    pub mappings: Vec<Mapping>,
    /// Whether the rest may be believed.
    pub crc: CrcVerdict,
    /// The first byte that is not zero among the unused entries and the padding.
    pub stray: Option<u64>,
}

impl RelMap {
    /// Decodes a whole file.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it has less than 512 bytes or between 513 and 523,
    /// [`DecodeError::Limit`] if it has more than 524.
    pub fn decode(bytes: &[u8], order: ByteOrder) -> Result<Self, DecodeError> {
        let layout = RelMapLayout::of_length(bytes.len());
        let r = Reader::new(bytes, 0, order);
        let Some(layout) = layout else {
            let need = if bytes.len() < 512 { 512 } else { 524 };
            r.bytes("pg_filenode.map", 0, need)?;
            return Err(DecodeError::Limit {
                what: "pg_filenode.map",
                offset: 0,
                have: bytes.len() as u64,
                limit: 524,
            });
        };
        let num_mappings = r.i32("num_mappings", at::NUM_MAPPINGS)?;
        let used = usize::try_from(num_mappings)
            .unwrap_or(0)
            .min(layout.max_mappings());
        let mut mappings = Vec::with_capacity(used);
        for i in 0..used {
            let at = at::MAPPINGS + i * at::MAPPING;
            mappings.push(Mapping {
                oid: r.u32("mapoid", at)?.into(),
                number: r.u32("mapfilenumber", at + 4)?.into(),
            });
        }
        let crc_at = layout.crc_at();
        let crc = CrcVerdict {
            stored: r.u32("crc", crc_at)?,
            computed: crc32c::crc32c(r.bytes("pg_filenode.map", 0, crc_at)?),
        };
        let nonzero = |from: usize, to: usize| {
            let part = bytes.get(from..to)?;
            let n = part.iter().position(|b| *b != 0)?;
            Some((from + n) as u64)
        };
        let stray = nonzero(at::MAPPINGS + used * at::MAPPING, crc_at)
            .or_else(|| nonzero(crc_at + 4, bytes.len()));
        Ok(Self {
            layout,
            magic: r.u32("magic", at::MAGIC)?,
            num_mappings,
            mappings,
            crc,
            stray,
        })
    }

    /// The byte order in which a file's magic reads as it must: for looking at a map without the
    /// cluster it belongs to.
    #[must_use]
    pub fn order_of(bytes: &[u8]) -> Option<ByteOrder> {
        let magic: [u8; 4] = bytes.first_chunk().copied()?;
        [ByteOrder::Little, ByteOrder::Big]
            .into_iter()
            .find(|order| order.u32(magic) == MAGIC)
    }

    /// Whether magic, count and CRC are right: what `read_relmap_file` asks.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.magic == MAGIC && self.count_is_possible() && self.crc.matches()
    }

    /// Whether `num_mappings` is between 0 and the layout's maximum.
    #[must_use]
    pub fn count_is_possible(&self) -> bool {
        usize::try_from(self.num_mappings).is_ok_and(|n| n <= self.layout.max_mappings())
    }

    /// The file number of that catalog: its first entry, which is what a server takes.
    #[must_use]
    pub fn lookup(&self, oid: Oid) -> Option<RelFileNumber> {
        self.mappings
            .iter()
            .find(|m| m.oid == oid)
            .map(|m| m.number)
    }

    /// The catalog that has that file number.
    #[must_use]
    pub fn oid_of(&self, number: RelFileNumber) -> Option<Oid> {
        self.mappings
            .iter()
            .find(|m| m.number == number)
            .map(|m| m.oid)
    }

    /// Entries whose OID an earlier entry has.
    pub fn duplicate_oids(&self) -> impl Iterator<Item = Mapping> + '_ {
        self.repeated(|m| m.oid.0)
    }

    /// Entries whose file number an earlier entry has.
    pub fn duplicate_numbers(&self) -> impl Iterator<Item = Mapping> + '_ {
        self.repeated(|m| m.number.0)
    }

    fn repeated(&self, key: fn(&Mapping) -> u32) -> impl Iterator<Item = Mapping> + '_ {
        self.mappings
            .iter()
            .enumerate()
            .filter(move |(i, m)| self.mappings.iter().take(*i).any(|e| key(e) == key(m)))
            .map(|(_, m)| *m)
    }
}

/// The name of a mapped catalog, index or TOAST table of any major.
#[must_use]
pub fn known_name(oid: Oid) -> Option<&'static str> {
    let at = MAPPED_RELATIONS
        .binary_search_by_key(&oid, |r| r.oid)
        .ok()?;
    MAPPED_RELATIONS.get(at).map(|r| r.name)
}

/// What a map of that major lists: the global one if `shared`, a database's otherwise. Every entry
/// must be there, and nothing else.
pub fn expected(major: Major, shared: bool) -> impl Iterator<Item = &'static MappedRelation> {
    MAPPED_RELATIONS
        .iter()
        .filter(move |r| r.shared == shared && r.is_in(major))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A map with those entries, its count and its CRC.
    fn map(layout: RelMapLayout, order: ByteOrder, entries: &[(u32, u32)]) -> Vec<u8> {
        let mut b = vec![0; layout.file_bytes()];
        let mut put = |at: usize, v: u32| {
            let v = match order {
                ByteOrder::Little => v.to_le_bytes(),
                ByteOrder::Big => v.to_be_bytes(),
            };
            b[at..at + 4].copy_from_slice(&v);
        };
        put(0, MAGIC);
        put(4, entries.len() as u32);
        for (i, (oid, number)) in entries.iter().enumerate() {
            put(8 + 8 * i, *oid);
            put(12 + 8 * i, *number);
        }
        let crc = crc32c::crc32c(&b[..layout.crc_at()]);
        let crc = match order {
            ByteOrder::Little => crc.to_le_bytes(),
            ByteOrder::Big => crc.to_be_bytes(),
        };
        b[layout.crc_at()..layout.crc_at() + 4].copy_from_slice(&crc);
        b
    }

    #[test]
    fn reads_both_layouts_in_both_orders() {
        for layout in [RelMapLayout::Bytes512, RelMapLayout::Bytes524] {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                let b = map(layout, order, &[(1259, 16_400), (1249, 1249)]);
                assert_eq!(RelMap::order_of(&b), Some(order));
                let m = RelMap::decode(&b, order).unwrap();
                assert!(m.is_sound());
                assert_eq!(m.layout, layout);
                assert_eq!(m.lookup(Oid(1259)), Some(RelFileNumber(16_400)));
                assert_eq!(m.oid_of(RelFileNumber(16_400)), Some(Oid(1259)));
                assert_eq!(m.lookup(Oid(1255)), None);
                assert_eq!((m.duplicate_oids().count(), m.stray), (0, None));
            }
        }
    }

    #[test]
    fn damage_is_returned_beside_the_fields() {
        let mut b = map(
            RelMapLayout::Bytes524,
            ByteOrder::Little,
            &[(1259, 1259), (1249, 1259), (1259, 7)],
        );
        b[519] = 9;
        let m = RelMap::decode(&b, ByteOrder::Little).unwrap();
        assert!(!m.crc.matches() && !m.is_sound());
        assert_eq!(m.stray, Some(519));
        let dup: Vec<_> = m.duplicate_oids().map(|m| m.number.0).collect();
        assert_eq!(dup, [7]);
        let dup: Vec<_> = m.duplicate_numbers().map(|m| m.oid.0).collect();
        assert_eq!(dup, [1249]);

        b[4..8].copy_from_slice(&[0xFF; 4]);
        let m = RelMap::decode(&b, ByteOrder::Little).unwrap();
        assert_eq!((m.num_mappings, m.mappings.len()), (-1, 0));
        b[4..8].copy_from_slice(&[65, 0, 0, 0]);
        let m = RelMap::decode(&b, ByteOrder::Little).unwrap();
        assert!(!m.count_is_possible());
        assert_eq!(m.mappings.len(), 64);
    }

    #[test]
    fn other_lengths_are_named() {
        for (len, need) in [(0, 512), (511, 512), (513, 524), (523, 524)] {
            let e = RelMap::decode(&vec![0; len], ByteOrder::Little).unwrap_err();
            assert!(
                matches!(e, DecodeError::Short { need_bytes, have_bytes, .. } if need_bytes == need && have_bytes == len as u64),
                "{e}"
            );
        }
        let e = RelMap::decode(&[0; 525], ByteOrder::Little).unwrap_err();
        assert!(matches!(e, DecodeError::Limit { have: 525, .. }), "{e}");
    }

    #[test]
    fn names_are_found() {
        assert_eq!(known_name(Oid(1259)), Some("pg_class"));
        assert_eq!(known_name(Oid(6303)), Some("pg_auth_members_oid_index"));
        assert_eq!(known_name(Oid(16_384)), None);
        assert!(expected(Major::V19, false).any(|r| r.name == "pg_class"));
        assert!(!expected(Major::V13, true).any(|r| r.name == "pg_pltemplate"));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 500..530), big: bool) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            if let Ok(m) = RelMap::decode(&bytes, order) {
                prop_assert!(m.mappings.len() <= m.layout.max_mappings());
            }
        }
    }
}
