//! PostgreSQL's identifiers as types of their own, so that a block number cannot index an item
//! array and an OID cannot be taken for a transaction id.

use std::fmt;

/// One newtype per identifier: the C typedef, its width and where PostgreSQL defines it.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident($repr:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        #[repr(transparent)]
        pub struct $name(pub $repr);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$repr> for $name {
            fn from(v: $repr) -> Self {
                Self(v)
            }
        }
    };
}

identifier!(
    /// `Oid`: an object identifier (`postgres_ext.h`).
    Oid(u32)
);
identifier!(
    /// `RelFileNumber` (`relpath.h`, 16+; an `Oid` before): the number in a relation file's name.
    RelFileNumber(u32)
);
identifier!(
    /// `BlockNumber` (`storage/block.h`): a block's number within its relation fork, across segments.
    BlockNumber(u32)
);
identifier!(
    /// `OffsetNumber` (`storage/off.h`): a line pointer's number within its page, counted from 1.
    OffsetNumber(u16)
);
identifier!(
    /// `TransactionId` (`c.h`): 32 bits, compared modulo 2^32 from 3 on.
    TransactionId(u32)
);
identifier!(
    /// `FullTransactionId` (`access/transam.h`): epoch in the high half, transaction id in the low.
    FullTransactionId(u64)
);
identifier!(
    /// `MultiXactId` (`c.h`).
    MultiXactId(u32)
);
identifier!(
    /// `MultiXactOffset` (`c.h`): 32 bits up to 18, 64 from 19 on.
    MultiXactOffset(u64)
);
identifier!(
    /// `TimeLineID` (`access/xlogdefs.h`).
    TimeLineId(u32)
);

impl Oid {
    /// `InvalidOid`.
    pub const INVALID: Self = Self(0);
    /// `DEFAULTTABLESPACE_OID`: `pg_default`, the directory `base`.
    pub const PG_DEFAULT: Self = Self(1663);
    /// `GLOBALTABLESPACE_OID`: `pg_global`, the directory `global`.
    pub const PG_GLOBAL: Self = Self(1664);
    /// `FirstNormalObjectId` (`access/transam.h`): the first OID a user's object can get.
    pub const FIRST_NORMAL: Self = Self(16384);

    /// Whether this is a real OID, not `InvalidOid`.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.0 != 0
    }
}

impl BlockNumber {
    /// `InvalidBlockNumber`.
    pub const INVALID: Self = Self(u32::MAX);
}

impl TransactionId {
    /// `InvalidTransactionId`.
    pub const INVALID: Self = Self(0);
    /// `BootstrapTransactionId`: rows that initdb wrote.
    pub const BOOTSTRAP: Self = Self(1);
    /// `FrozenTransactionId`: sequences, and rows frozen before 9.4.
    pub const FROZEN: Self = Self(2);
    /// `FirstNormalTransactionId`.
    pub const FIRST_NORMAL: Self = Self(3);

    /// `TransactionIdIsNormal`.
    #[must_use]
    pub fn is_normal(self) -> bool {
        self.0 >= 3
    }

    /// `TransactionIdPrecedes` (`transam.c`): modulo-2^32 order, special ids before normal ones.
    #[must_use]
    pub fn precedes(self, other: Self) -> bool {
        if !self.is_normal() || !other.is_normal() {
            return self.0 < other.0;
        }
        self.0.wrapping_sub(other.0).cast_signed() < 0
    }
}

impl MultiXactId {
    /// `MultiXactIdPrecedes` (`multixact.c`).
    #[must_use]
    pub fn precedes(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() < 0
    }
}

impl FullTransactionId {
    /// The low half.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is what is asked for"
    )]
    pub fn xid(self) -> TransactionId {
        TransactionId(self.0 as u32)
    }

    /// The high half.
    #[must_use]
    pub fn epoch(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }
}

/// `XLogRecPtr` (`access/xlogdefs.h`): a byte position in the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct Lsn(pub u64);

impl Lsn {
    /// `InvalidXLogRecPtr`.
    pub const INVALID: Self = Self(0);

    /// Whether it points anywhere.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for Lsn {
    /// `%X/%X`, as every tool up to 18 prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl std::str::FromStr for Lsn {
    type Err = crate::DecodeError;

    /// Reads `%X/%X`: one to eight hex digits on either side.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let bad = || crate::DecodeError::Syntax {
            what: "LSN",
            offset: 0,
        };
        let (hi, lo) = s.split_once('/').ok_or_else(bad)?;
        let half = |t: &str| {
            if t.is_empty() || t.len() > 8 || !t.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(bad());
            }
            u64::from_str_radix(t, 16).map_err(|_| bad())
        };
        Ok(Self(half(hi)? << 32 | half(lo)?))
    }
}

/// `ForkNumber` (`common/relpath.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ForkNumber {
    /// The data itself: no suffix.
    Main,
    /// The free space map: `_fsm`.
    Fsm,
    /// The visibility map: `_vm`.
    Vm,
    /// What an unlogged relation is reset to after a crash: `_init`.
    Init,
}

impl ForkNumber {
    /// All of them, in the server's order.
    pub const ALL: [Self; 4] = [Self::Main, Self::Fsm, Self::Vm, Self::Init];

    /// The server's name for it (`forkNames`, `relpath.c`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Fsm => "fsm",
            Self::Vm => "vm",
            Self::Init => "init",
        }
    }

    /// The fork of that number in WAL block references (0 main … 3 init).
    #[must_use]
    pub fn from_number(n: u8) -> Option<Self> {
        Self::ALL.get(usize::from(n)).copied()
    }
}

impl fmt::Display for ForkNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `RelFileLocator` (`storage/relfilelocator.h`; `RelFileNode` before 16): where a relation's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RelFileLocator {
    /// The tablespace; 1663 is `base`, 1664 `global`.
    pub tablespace: Oid,
    /// The database; 0 for shared relations.
    pub database: Oid,
    /// The number in the file name.
    pub number: RelFileNumber,
}

/// `ItemPointerData` (`storage/itemptr.h`): a tuple's place, block and line pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ItemPointer {
    /// The block within the relation's main fork.
    pub block: BlockNumber,
    /// The 1-based line pointer.
    pub offset: OffsetNumber,
}

impl fmt::Display for ItemPointer {
    /// `(block,offset)`, as `ctid` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.block, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_order_wraps() {
        assert!(TransactionId(3).precedes(TransactionId(4)));
        assert!(TransactionId(4_294_967_290).precedes(TransactionId(5)));
        assert!(!TransactionId(5).precedes(TransactionId(4_294_967_290)));
        assert!(TransactionId(1).precedes(TransactionId(4_294_967_290)));
    }

    #[test]
    fn lsn_text_round_trips() {
        let l: Lsn = "1A/2b3C4d".parse().unwrap();
        assert_eq!(l, Lsn(0x1A_002B_3C4D));
        assert_eq!(l.to_string(), "1A/2B3C4D");
        for bad in ["", "/", "1/", "/1", "1/2/3", "123456789/0", "+1/2", "g/0"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}
