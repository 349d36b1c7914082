//! Which column of which catalog refers to which catalog.
//!
//! The facts are `BKI_LOOKUP` and `BKI_LOOKUP_OPT` of `include/catalog/pg_*.h`, as `pg_get_catalog_foreign_keys()`
//! (`utils/adt/misc.c`, 14+) lists them and `regress/sql/oidjoins.sql` holds every build against them. Older majors
//! have the same references under the same names.
//!
//! Left out is what a healthy server lets dangle:
//!
//! | column | because |
//! |---|---|
//! | `pg_auth_members.grantor` | before 16 nothing kept a grantor from being dropped (`user.c`, `AddRoleMems`) |
//! | `pg_operator.oprcom`, `oprnegate` | an operator could be dropped under its partner (`RemoveOperatorById` mends it only in later majors) |
//! | `pg_statistic.staop`N, `stacoll`N | statistics depend on no operator: they outlive it until the next ANALYZE |
//! | `pg_extension.extconfig` | a script may drop a table that it lists |
//! | `pg_init_privs`, `pg_seclabel`, `pg_shseclabel` | what extensions write into them nobody takes away for certain |
//! | `pg_subscription.subserver` (19) | it is a row of another database |
//! | `pg_largeobject.loid` | not small: it belongs to the checks of large objects |

use crate::finding::Severity;

/// One column that refers to rows of a catalog.
pub struct Reference {
    /// `attname`.
    pub column: &'static str,
    /// The catalog.
    pub target: &'static str,
    /// Whether 0 stands for none.
    pub optional: bool,
    /// Whether it is an array or a vector.
    pub many: bool,
    /// How bad it is if the row is not there.
    pub severity: Severity,
}

impl Reference {
    /// A server goes on as if nothing were wrong.
    const fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

/// What is known of one catalog.
pub struct Rules {
    /// Its name.
    pub catalog: &'static str,
    /// Its references.
    pub references: &'static [Reference],
}

const fn rules(catalog: &'static str, references: &'static [Reference]) -> Rules {
    Rules {
        catalog,
        references,
    }
}

const fn must(column: &'static str, target: &'static str) -> Reference {
    Reference {
        column,
        target,
        optional: false,
        many: false,
        severity: Severity::Error,
    }
}

const fn may(column: &'static str, target: &'static str) -> Reference {
    let mut reference = must(column, target);
    reference.optional = true;
    reference
}

const fn each(column: &'static str, target: &'static str) -> Reference {
    let mut reference = may(column, target);
    reference.many = true;
    reference
}

/// All of them, by the catalogs' OIDs.
#[rustfmt::skip]
pub static RULES: &[Rules] = &[
    rules("pg_default_acl", &[
        may("defaclnamespace", "pg_namespace").warning(),
        must("defaclrole", "pg_authid").warning(),
    ]),
    rules("pg_tablespace", &[
        must("spcowner", "pg_authid").warning(),
    ]),
    rules("pg_shdepend", &[
        may("dbid", "pg_database").warning(),
    ]),
    rules("pg_type", &[
        may("typanalyze", "pg_proc"),
        may("typarray", "pg_type"),
        may("typbasetype", "pg_type"),
        may("typcollation", "pg_collation"),
        may("typelem", "pg_type"),
        must("typinput", "pg_proc"),
        may("typmodin", "pg_proc"),
        may("typmodout", "pg_proc"),
        must("typnamespace", "pg_namespace"),
        must("typoutput", "pg_proc"),
        must("typowner", "pg_authid").warning(),
        may("typreceive", "pg_proc"),
        may("typrelid", "pg_class"),
        may("typsend", "pg_proc"),
        may("typsubscript", "pg_proc"),
    ]),
    rules("pg_attribute", &[
        may("attcollation", "pg_collation"),
        must("attrelid", "pg_class"),
        may("atttypid", "pg_type"),
    ]),
    rules("pg_proc", &[
        each("proallargtypes", "pg_type"),
        each("proargtypes", "pg_type"),
        must("prolang", "pg_language"),
        must("pronamespace", "pg_namespace"),
        must("proowner", "pg_authid").warning(),
        must("prorettype", "pg_type"),
        may("prosupport", "pg_proc"),
        each("protrftypes", "pg_type"),
        may("provariadic", "pg_type"),
    ]),
    rules("pg_class", &[
        may("relam", "pg_am"),
        must("relnamespace", "pg_namespace"),
        may("reloftype", "pg_type"),
        must("relowner", "pg_authid").warning(),
        may("relrewrite", "pg_class"),
        may("reltablespace", "pg_tablespace"),
        may("reltoastrelid", "pg_class"),
        may("reltype", "pg_type"),
    ]),
    rules("pg_auth_members", &[
        must("member", "pg_authid").warning(),
        must("roleid", "pg_authid").warning(),
    ]),
    rules("pg_database", &[
        must("datdba", "pg_authid").warning(),
        must("dattablespace", "pg_tablespace"),
    ]),
    rules("pg_foreign_server", &[
        must("srvfdw", "pg_foreign_data_wrapper"),
        must("srvowner", "pg_authid").warning(),
    ]),
    rules("pg_user_mapping", &[
        must("umserver", "pg_foreign_server"),
        may("umuser", "pg_authid").warning(),
    ]),
    rules("pg_sequence", &[
        must("seqrelid", "pg_class"),
        must("seqtypid", "pg_type"),
    ]),
    rules("pg_foreign_data_wrapper", &[
        may("fdwconnection", "pg_proc"),
        may("fdwhandler", "pg_proc"),
        must("fdwowner", "pg_authid").warning(),
        may("fdwvalidator", "pg_proc"),
    ]),
    rules("pg_aggregate", &[
        may("aggcombinefn", "pg_proc"),
        may("aggdeserialfn", "pg_proc"),
        may("aggfinalfn", "pg_proc"),
        must("aggfnoid", "pg_proc"),
        may("aggmfinalfn", "pg_proc"),
        may("aggminvtransfn", "pg_proc"),
        may("aggmtransfn", "pg_proc"),
        may("aggmtranstype", "pg_type"),
        may("aggserialfn", "pg_proc"),
        may("aggsortop", "pg_operator"),
        must("aggtransfn", "pg_proc"),
        must("aggtranstype", "pg_type"),
    ]),
    rules("pg_am", &[
        must("amhandler", "pg_proc"),
    ]),
    rules("pg_amop", &[
        must("amopfamily", "pg_opfamily"),
        must("amoplefttype", "pg_type"),
        must("amopmethod", "pg_am"),
        must("amopopr", "pg_operator"),
        must("amoprighttype", "pg_type"),
        may("amopsortfamily", "pg_opfamily"),
    ]),
    rules("pg_amproc", &[
        must("amprocfamily", "pg_opfamily"),
        must("amproclefttype", "pg_type"),
        must("amprocrighttype", "pg_type"),
        must("amproc", "pg_proc"),
    ]),
    rules("pg_attrdef", &[
        must("adrelid", "pg_class"),
    ]),
    rules("pg_cast", &[
        may("castfunc", "pg_proc"),
        must("castsource", "pg_type"),
        must("casttarget", "pg_type"),
    ]),
    rules("pg_constraint", &[
        each("conexclop", "pg_operator"),
        each("conffeqop", "pg_operator"),
        may("confrelid", "pg_class"),
        may("conindid", "pg_class"),
        must("connamespace", "pg_namespace"),
        may("conparentid", "pg_constraint"),
        each("conpfeqop", "pg_operator"),
        each("conppeqop", "pg_operator"),
        may("conrelid", "pg_class"),
        may("contypid", "pg_type"),
    ]),
    rules("pg_conversion", &[
        must("connamespace", "pg_namespace"),
        must("conowner", "pg_authid").warning(),
        must("conproc", "pg_proc"),
    ]),
    rules("pg_depend", &[
        may("classid", "pg_class").warning(),
        may("refclassid", "pg_class").warning(),
    ]),
    rules("pg_description", &[
        may("classoid", "pg_class").warning(),
    ]),
    rules("pg_index", &[
        each("indclass", "pg_opclass"),
        each("indcollation", "pg_collation"),
        must("indexrelid", "pg_class"),
        must("indrelid", "pg_class"),
    ]),
    rules("pg_inherits", &[
        must("inhparent", "pg_class"),
        must("inhrelid", "pg_class"),
    ]),
    rules("pg_language", &[
        may("laninline", "pg_proc"),
        must("lanowner", "pg_authid").warning(),
        may("lanplcallfoid", "pg_proc"),
        may("lanvalidator", "pg_proc"),
    ]),
    rules("pg_namespace", &[
        must("nspowner", "pg_authid").warning(),
    ]),
    rules("pg_opclass", &[
        must("opcfamily", "pg_opfamily"),
        must("opcintype", "pg_type"),
        may("opckeytype", "pg_type"),
        must("opcmethod", "pg_am"),
        must("opcnamespace", "pg_namespace"),
        must("opcowner", "pg_authid").warning(),
    ]),
    rules("pg_operator", &[
        may("oprcode", "pg_proc"),
        may("oprjoin", "pg_proc"),
        may("oprleft", "pg_type"),
        must("oprnamespace", "pg_namespace"),
        must("oprowner", "pg_authid").warning(),
        may("oprrest", "pg_proc"),
        may("oprresult", "pg_type"),
        may("oprright", "pg_type"),
    ]),
    rules("pg_rewrite", &[
        must("ev_class", "pg_class"),
    ]),
    rules("pg_statistic", &[
        must("starelid", "pg_class").warning(),
    ]),
    rules("pg_trigger", &[
        may("tgconstraint", "pg_constraint"),
        may("tgconstrindid", "pg_class"),
        may("tgconstrrelid", "pg_class"),
        must("tgfoid", "pg_proc"),
        may("tgparentid", "pg_trigger"),
        must("tgrelid", "pg_class"),
    ]),
    rules("pg_opfamily", &[
        must("opfmethod", "pg_am"),
        must("opfnamespace", "pg_namespace"),
        must("opfowner", "pg_authid").warning(),
    ]),
    rules("pg_db_role_setting", &[
        may("setdatabase", "pg_database").warning(),
        may("setrole", "pg_authid").warning(),
    ]),
    rules("pg_largeobject_metadata", &[
        must("lomowner", "pg_authid").warning(),
    ]),
    rules("pg_extension", &[
        must("extnamespace", "pg_namespace"),
        must("extowner", "pg_authid").warning(),
    ]),
    rules("pg_foreign_table", &[
        must("ftrelid", "pg_class"),
        must("ftserver", "pg_foreign_server"),
    ]),
    rules("pg_policy", &[
        must("polrelid", "pg_class"),
        each("polroles", "pg_authid").warning(),
    ]),
    rules("pg_partitioned_table", &[
        each("partclass", "pg_opclass"),
        each("partcollation", "pg_collation"),
        may("partdefid", "pg_class"),
        must("partrelid", "pg_class"),
    ]),
    rules("pg_statistic_ext", &[
        must("stxnamespace", "pg_namespace"),
        must("stxowner", "pg_authid").warning(),
        must("stxrelid", "pg_class"),
    ]),
    rules("pg_statistic_ext_data", &[
        must("stxoid", "pg_statistic_ext"),
    ]),
    rules("pg_collation", &[
        must("collnamespace", "pg_namespace"),
        must("collowner", "pg_authid").warning(),
    ]),
    rules("pg_event_trigger", &[
        must("evtfoid", "pg_proc"),
        must("evtowner", "pg_authid").warning(),
    ]),
    rules("pg_enum", &[
        must("enumtypid", "pg_type"),
    ]),
    rules("pg_range", &[
        may("rngcanonical", "pg_proc"),
        may("rngcollation", "pg_collation"),
        must("rngmultitypid", "pg_type"),
        may("rngsubdiff", "pg_proc"),
        must("rngconstruct2", "pg_proc"),
        must("rngconstruct3", "pg_proc"),
        must("rngmltconstruct0", "pg_proc"),
        must("rngmltconstruct1", "pg_proc"),
        must("rngmltconstruct2", "pg_proc"),
        must("rngsubopc", "pg_opclass"),
        must("rngsubtype", "pg_type"),
        must("rngtypid", "pg_type"),
    ]),
    rules("pg_transform", &[
        may("trffromsql", "pg_proc"),
        must("trflang", "pg_language"),
        may("trftosql", "pg_proc"),
        must("trftype", "pg_type"),
    ]),
    rules("pg_ts_dict", &[
        must("dictnamespace", "pg_namespace"),
        must("dictowner", "pg_authid").warning(),
        must("dicttemplate", "pg_ts_template"),
    ]),
    rules("pg_ts_parser", &[
        must("prsend", "pg_proc"),
        may("prsheadline", "pg_proc"),
        must("prslextype", "pg_proc"),
        must("prsnamespace", "pg_namespace"),
        must("prsstart", "pg_proc"),
        must("prstoken", "pg_proc"),
    ]),
    rules("pg_ts_config", &[
        must("cfgnamespace", "pg_namespace"),
        must("cfgowner", "pg_authid").warning(),
        must("cfgparser", "pg_ts_parser"),
    ]),
    rules("pg_ts_config_map", &[
        must("mapcfg", "pg_ts_config"),
        must("mapdict", "pg_ts_dict"),
    ]),
    rules("pg_ts_template", &[
        may("tmplinit", "pg_proc"),
        must("tmpllexize", "pg_proc"),
        must("tmplnamespace", "pg_namespace"),
    ]),
    rules("pg_subscription", &[
        must("subdbid", "pg_database"),
        must("subowner", "pg_authid").warning(),
    ]),
    rules("pg_subscription_rel", &[
        must("srrelid", "pg_class"),
        must("srsubid", "pg_subscription"),
    ]),
    rules("pg_publication", &[
        must("pubowner", "pg_authid").warning(),
    ]),
    rules("pg_publication_rel", &[
        must("prpubid", "pg_publication"),
        must("prrelid", "pg_class"),
    ]),
    rules("pg_publication_namespace", &[
        must("pnnspid", "pg_namespace"),
        must("pnpubid", "pg_publication"),
    ]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_catalog::descriptors::system;

    #[test]
    fn every_catalog_is_known_and_every_target_has_oids() {
        for rules in RULES {
            assert!(system(rules.catalog).is_some(), "{}", rules.catalog);
            for reference in rules.references {
                let target = system(reference.target).unwrap();
                assert!(target.has_oid(), "{}", reference.target);
            }
        }
    }
}
