//! What the catalogs of a database say of how keys are compared: operator classes, collations, enums.
//!
//! Only rows that are proven are here. A row that is lost makes an order unknown, never wrong.

use crate::cluster::{ClusterCatalog, Database};
use crate::database::DatabaseCatalog;
use crate::descriptors::{Catalog, PG_COLLATION, PG_OPCLASS};
use crate::enums::Enums;
use crate::lost::{Losses, LostWhy};
use crate::names::UTF8;
use crate::names::decode_name;
use crate::row::Row;
use crate::scan::{Source, scan};
use crate::xact::RowFate;
use pgfsck_format::Oid;
use pgfsck_format::control::ControlFile;
use pgfsck_volume::{VolPath, Volume};
use std::collections::{HashMap, HashSet};

/// `btree` in pg_am.
const BTREE_AM: Oid = Oid(403);
/// `hash` in pg_am.
const HASH_AM: Oid = Oid(405);
/// `gin` in pg_am.
const GIN_AM: Oid = Oid(2742);
/// `brin` in pg_am.
const BRIN_AM: Oid = Oid(3580);
/// The schema `pg_catalog`: operator classes of other schemas may compare as they like.
const PG_CATALOG: Oid = Oid(11);
/// `DEFAULT_COLLATION_OID`: the database's own.
const DEFAULT_COLLATION: Oid = Oid(100);
/// `C_COLLATION_OID` and `POSIX_COLLATION_OID`.
const C_COLLATIONS: [Oid; 2] = [Oid(950), Oid(951)];
/// `PG_CONTROL_FILE_SIZE`, the size of the file.
const MAX_CONTROL_BYTES: u64 = 8192;

/// How keys are compared in a database.
#[derive(Debug, Clone, Default)]
pub struct KeyTypes {
    /// B-tree operator classes of PostgreSQL's own, by OID.
    opclasses: HashMap<Oid, String>,
    /// Those of GIN.
    gin_opclasses: HashMap<Oid, String>,
    /// Those of hash.
    hash_opclasses: HashMap<Oid, String>,
    /// Those of BRIN.
    brin_opclasses: HashMap<Oid, String>,
    /// Collations under which equal texts have equal bytes.
    deterministic: HashSet<Oid>,
    /// Collations under which texts are ordered by their bytes.
    bytewise: HashSet<Oid>,
    /// The values of its enum types.
    pub enums: Enums,
    /// Whether times are stored as floating-point numbers (`--disable-integer-datetimes`, before 10).
    pub float_times: bool,
}

impl KeyTypes {
    /// `opcname` of a B-tree operator class in pg_catalog; `None` for others.
    #[must_use]
    pub fn opclass(&self, oid: Oid) -> Option<&str> {
        self.opclasses.get(&oid).map(String::as_str)
    }

    /// `opcname` of an operator class of GIN in pg_catalog; `None` for others.
    #[must_use]
    pub fn gin_opclass(&self, oid: Oid) -> Option<&str> {
        self.gin_opclasses.get(&oid).map(String::as_str)
    }

    /// `opcname` of an operator class of hash in pg_catalog; `None` for others.
    #[must_use]
    pub fn hash_opclass(&self, oid: Oid) -> Option<&str> {
        self.hash_opclasses.get(&oid).map(String::as_str)
    }

    /// `opcname` of an operator class of BRIN in pg_catalog; `None` for others.
    #[must_use]
    pub fn brin_opclass(&self, oid: Oid) -> Option<&str> {
        self.brin_opclasses.get(&oid).map(String::as_str)
    }

    /// Whether texts of that collation are equal only if their bytes are (`collisdeterministic`, 12+; before,
    /// all collations are so): then they are hashed by their bytes. A database's own collation is so in all
    /// majors (`createdb` has no other).
    #[must_use]
    pub fn is_deterministic(&self, collation: Oid) -> bool {
        collation == DEFAULT_COLLATION || self.deterministic.contains(&collation)
    }

    /// Whether texts of that collation are ordered by their bytes: C, POSIX and the builtin provider, in all
    /// of whose locales that is so (`pg_newlocale_from_collation`, `pg_strncoll`).
    #[must_use]
    pub fn is_bytewise(&self, collation: Oid) -> bool {
        C_COLLATIONS.contains(&collation) || self.bytewise.contains(&collation)
    }
}

/// Whether a locale of the C library compares bytes (`lc_collate_is_c`).
fn is_c(locale: &str) -> bool {
    locale == "C" || locale == "POSIX"
}

impl ClusterCatalog {
    /// Reads what orders the keys of a database whose relations are loaded.
    #[must_use]
    pub fn load_key_types(
        &self,
        volume: &dyn Volume,
        database: &Database,
        relations: &DatabaseCatalog,
    ) -> KeyTypes {
        let source = self.source(volume);
        let mut out = KeyTypes::default();
        let by_default = match database.provider {
            'c' => database.collate.as_deref().is_some_and(is_c),
            'b' => true,
            _ => false,
        };
        if by_default && database.trust.is_proven() {
            out.bytewise.insert(DEFAULT_COLLATION);
        }
        opclasses(source, relations, &mut out);
        collations(source, relations, &mut out);
        out.enums = self.load_enums(volume, relations);
        out.float_times = volume
            .read_small(&VolPath::new("global/pg_control"), MAX_CONTROL_BYTES)
            .ok()
            .and_then(|bytes| ControlFile::decode(&bytes).ok())
            .and_then(|file| file.control.enable_int_times)
            .is_some_and(|integer| !integer.get());
        out
    }
}

/// Calls `each` for every row of a catalog that counts and is proven; what is lost is reported by those who
/// audit the catalog itself.
fn proven(
    source: Source<'_>,
    relations: &DatabaseCatalog,
    catalog: &'static Catalog,
    each: &mut dyn FnMut(&Row<'_>) -> Result<(), LostWhy>,
) {
    let Some(locator) = relations
        .relation(Oid(catalog.oid))
        .filter(|r| r.trust.is_proven())
        .and_then(|r| r.locator())
    else {
        return;
    };
    let layout = catalog.layout(source.fmt);
    let mut losses = Losses::new();
    scan(source, &layout, locator, &mut losses, &mut |row| {
        if row.verdict.fate == RowFate::Live && row.verdict.trust.is_proven() {
            each(row)?;
        }
        Ok(())
    });
}

fn opclasses(source: Source<'_>, relations: &DatabaseCatalog, out: &mut KeyTypes) {
    let layout = PG_OPCLASS.layout(source.fmt);
    let oid = layout.optional("oid");
    let [method, name, namespace] =
        ["opcmethod", "opcname", "opcnamespace"].map(|n| layout.column(n));
    proven(source, relations, &PG_OPCLASS, &mut |row| {
        let list = match row.oid_at(method)? {
            BTREE_AM => &mut out.opclasses,
            GIN_AM => &mut out.gin_opclasses,
            HASH_AM => &mut out.hash_opclasses,
            BRIN_AM => &mut out.brin_opclasses,
            _ => return Ok(()),
        };
        if row.oid_at(namespace)? == PG_CATALOG {
            let name = decode_name(&row.name(name)?, UTF8);
            list.insert(row.oid(oid)?, name);
        }
        Ok(())
    });
}

fn collations(source: Source<'_>, relations: &DatabaseCatalog, out: &mut KeyTypes) {
    let layout = PG_COLLATION.layout(source.fmt);
    let oid = layout.optional("oid");
    let provider = layout.optional("collprovider");
    let deterministic = layout.optional("collisdeterministic");
    let collate = layout.column("collcollate");
    proven(source, relations, &PG_COLLATION, &mut |row| {
        let provider = provider.map_or(Ok(b'c'), |c| row.u8(c))?;
        if !deterministic.map_or(Ok(true), |c| row.bool(c))? {
            return Ok(());
        }
        out.deterministic.insert(row.oid(oid)?);
        let bytewise = match provider {
            b'b' => true,
            b'c' => match row.datum(collate)?.bytes() {
                Some(bytes) => is_c(&decode_name(bytes, UTF8)),
                None => false,
            },
            _ => false,
        };
        if bytewise {
            out.bytewise.insert(row.oid(oid)?);
        }
        Ok(())
    });
}
