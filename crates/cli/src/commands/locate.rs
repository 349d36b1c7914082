//! `pgfsck locate`: from a file to its relation, and from a relation to its files.

use super::relations::{Entry, Gap, Section, each_database, exit_code};
use super::{load_catalog, open};
use crate::args::{ListFormat, LocateArgs};
use crate::output::{print, print_json};
use crate::text::plain;
use pgfsck_catalog::{Claim, ClusterCatalog, Database, Relation};
use pgfsck_format::names::{RelFileName, TablespaceVersionDir, parse_oid};
use pgfsck_format::{ForkNumber, Oid, RelFileNumber};
use pgfsck_volume::Volume;
use serde::Serialize;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Answers the questions; exit code 1 if one has no answer, 2 if rows could not be read.
pub fn run(args: &LocateArgs) -> anyhow::Result<ExitCode> {
    let (datadir, questions) = match args.what.split_first() {
        Some((first, rest)) if !rest.is_empty() && Path::new(first).is_dir() => {
            (Some(Path::new(first)), rest)
        }
        _ => (None, args.what.as_slice()),
    };
    let volume = open(&args.data, datadir)?;
    let cluster = load_catalog(volume.as_ref())?;
    let answer = find(
        volume.as_ref(),
        &cluster,
        volume.root().unwrap_or(Path::new("/")),
        questions,
    );
    match args.format {
        ListFormat::Text => print(&text(&answer))?,
        ListFormat::Json => print_json(&answer)?,
    }
    let code = exit_code(&answer.lost);
    if answer.lost.is_empty() && answer.located.iter().any(Located::is_empty) {
        return Ok(ExitCode::from(1));
    }
    Ok(code)
}

/// The name of the JSON document's form.
pub const SCHEMA: &str = "pgfsck.locate/1";

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// A relation's file in one directory.
    File {
        /// The tablespace; `None` if the path does not tell (it is not below the data directory).
        tablespace: Option<Oid>,
        /// The database, 0 for `global`.
        database: Oid,
        /// What the file's name says.
        name: RelFileName,
    },
    /// A file name without a directory, with a fork or a segment.
    FileName(RelFileName),
    /// An OID or the number of a file.
    Number(u32),
    /// `table`, `schema.table` or `database.schema.table`.
    Name(Vec<String>),
    /// A path that no relation's file has.
    NoRelation,
}

impl Query {
    /// Reads what the user wrote. `root` is the data directory, for absolute paths.
    pub fn parse(text: &str, root: &Path) -> Self {
        if text.contains('/') {
            return Self::parse_path(text, root);
        }
        if let Ok(number) = text.parse() {
            return Self::Number(number);
        }
        match RelFileName::parse(text.as_bytes()) {
            Some(name) => Self::FileName(name),
            None => Self::Name(split_name(text)),
        }
    }

    fn parse_path(text: &str, root: &Path) -> Self {
        let path = Path::new(text);
        let absolute_root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        let below = path
            .strip_prefix(&absolute_root)
            .or_else(|_| path.strip_prefix(root));
        let outside = path.is_absolute() && below.is_err();
        let parts: Vec<&[u8]> = below
            .unwrap_or(path)
            .components()
            .filter_map(|c| match c {
                std::path::Component::Normal(name) => Some(name.as_encoded_bytes()),
                _ => None,
            })
            .collect();
        let (tablespace, database, file) = match parts.as_slice() {
            [b"global", file] if !outside => (Some(Oid::PG_GLOBAL), Some(Oid::INVALID), *file),
            [b"base", database, file] if !outside => {
                (Some(Oid::PG_DEFAULT), parse_oid(database), *file)
            }
            [b"pg_tblspc", tablespace, _, database, file] if !outside => {
                (parse_oid(tablespace), parse_oid(database), *file)
            }
            // Where a tablespace's link leads to: its own directory there names the major.
            [.., version, database, file] if TablespaceVersionDir::parse(version).is_some() => {
                (None, parse_oid(database), *file)
            }
            _ => return Self::NoRelation,
        };
        match (database, RelFileName::parse(file)) {
            (Some(database), Some(name)) => Self::File {
                tablespace,
                database,
                name,
            },
            _ => Self::NoRelation,
        }
    }

    /// Whether the relations of a database (or the shared ones) may answer it.
    fn concerns(&self, database: Option<&Database>) -> bool {
        let oid = database.map_or(Oid::INVALID, |d| d.oid);
        match self {
            Self::File { database, .. } => *database == oid,
            Self::FileName(_) | Self::Number(_) => true,
            Self::Name(parts) => match (parts.as_slice(), database) {
                ([name, _, _], Some(d)) => *name == d.name,
                ([_, _, _], None) => false,
                _ => true,
            },
            Self::NoRelation => false,
        }
    }

    /// Whether a relation answers it.
    fn matches(&self, section: &Section<'_, '_>, relation: &Relation) -> bool {
        let names_file = |name: &RelFileName| {
            let temporary = relation.persistence.letter() == 't';
            relation.locator().is_some_and(|l| l.number == name.number)
                && temporary == name.temp_backend.is_some()
        };
        match self {
            Self::File {
                tablespace, name, ..
            } => {
                let elsewhere = tablespace.is_some_and(|t| t != relation.tablespace)
                    || (tablespace.is_none() && relation.tablespace == Oid::PG_DEFAULT);
                names_file(name) && !elsewhere
            }
            Self::FileName(name) => names_file(name),
            Self::Number(n) => {
                relation.oid.0 == *n || relation.locator().is_some_and(|l| l.number.0 == *n)
            }
            Self::Name(parts) => {
                let schema = section.catalog.schema(relation.namespace);
                let name = section.catalog.name(relation);
                match parts.as_slice() {
                    [table] => name == table,
                    [in_schema, table] | [_, in_schema, table] => {
                        name == table && schema == Some(in_schema.as_str())
                    }
                    _ => false,
                }
            }
            Self::NoRelation => false,
        }
    }

    /// Whether a row that does not count tells where the file came from.
    fn matches_claim(&self, claim: &Claim) -> bool {
        match self {
            Self::File {
                tablespace, name, ..
            } => {
                claim.locator.number == name.number
                    && tablespace.is_none_or(|t| t == claim.locator.tablespace)
            }
            Self::FileName(name) => claim.locator.number == name.number,
            Self::Number(n) => claim.locator.number == RelFileNumber(*n) || claim.oid.0 == *n,
            Self::Name(_) | Self::NoRelation => false,
        }
    }

    /// The fork and segment that are asked for.
    fn file(&self) -> Option<RelFileName> {
        match self {
            Self::File { name, .. } | Self::FileName(name) => Some(*name),
            _ => None,
        }
    }
}

/// Splits a name at its dots; a part in double quotes may contain dots, and `""` is one of them.
fn split_name(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.last_mut();
        match (c, last) {
            ('"', Some(part)) if quoted && chars.peek() == Some(&'"') => {
                part.push('"');
                chars.next();
            }
            ('"', _) => quoted = !quoted,
            ('.', _) if !quoted => parts.push(String::new()),
            (other, Some(part)) => part.push(other),
            (_, None) => {}
        }
    }
    parts
}

/// One file of a relation that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundFile {
    /// Relative to the data directory.
    pub path: String,
    /// The fork.
    pub fork: &'static str,
    /// The segment.
    pub segment: u32,
    /// Its first block's number within the fork.
    pub first_block: u64,
    /// How many whole blocks it has.
    pub blocks: u64,
    /// Its size.
    pub bytes: u64,
    /// Whether it is the file that was asked for.
    pub asked: bool,
}

/// A relation that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Match {
    /// The relation, as `pgfsck relations` prints it.
    pub relation: Entry,
    /// Its files.
    pub files: Vec<FoundFile>,
    /// The name of the file that was asked for, if it is not among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// A row that does not count, but names the file that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The database's OID.
    pub database_oid: u32,
    /// The relation's OID.
    pub oid: u32,
    /// The first segment of its main fork.
    pub path: String,
    /// What is known, in words.
    pub origin: String,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Located {
    /// What was asked.
    pub query: String,
    /// The relations that answer it.
    pub matches: Vec<Match>,
    /// What else is known of the file.
    pub origins: Vec<Origin>,
    /// Databases and tablespaces of that OID, in words.
    pub others: Vec<String>,
}

impl Located {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.matches.is_empty() && self.origins.is_empty() && self.others.is_empty()
    }
}

/// All answers, and what could not be read meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The name of this document's form.
    pub schema: &'static str,
    /// One per question.
    pub located: Vec<Located>,
    /// What of the catalogs could not be read: an answer may be missing for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Gap>,
}

/// Answers all questions in one walk over the databases that they concern.
pub fn find(
    volume: &dyn Volume,
    cluster: &ClusterCatalog,
    root: &Path,
    questions: &[String],
) -> Answer {
    let queries: Vec<Query> = questions.iter().map(|q| Query::parse(q, root)).collect();
    let mut located: Vec<Located> = questions
        .iter()
        .zip(&queries)
        .map(|(question, query)| Located {
            query: question.clone(),
            matches: Vec::new(),
            origins: Vec::new(),
            others: others(cluster, query),
        })
        .collect();
    let gaps = each_database(
        volume,
        cluster,
        |database| queries.iter().any(|q| q.concerns(database)),
        &mut |section| {
            for (query, found) in queries.iter().zip(&mut located) {
                if query.concerns(section.database) {
                    look(cluster, section, query, found);
                }
            }
            Ok::<(), io::Error>(())
        },
    );
    Answer {
        schema: SCHEMA,
        located,
        lost: gaps.unwrap_or_default(), // nothing here writes, so nothing fails
    }
}

/// Databases and tablespaces of the number that is asked for.
fn others(cluster: &ClusterCatalog, query: &Query) -> Vec<String> {
    let Query::Number(number) = query else {
        return Vec::new();
    };
    let oid = Oid(*number);
    let mut out = Vec::new();
    if let Some(d) = cluster.database(oid) {
        out.push(format!("database {}, {}", d.name, d.directory));
    }
    if cluster.tablespaces.iter().any(|t| t.oid == oid)
        && let Some(name) = cluster.tablespace_name(oid)
    {
        out.push(format!("tablespace {name}"));
    }
    for claim in cluster.database_claims.iter().filter(|c| c.oid == oid) {
        out.push(format!("former database {}", claim.name));
    }
    out
}

/// Looks for one query's answers in one database.
fn look(
    cluster: &ClusterCatalog,
    section: &mut Section<'_, '_>,
    query: &Query,
    found: &mut Located,
) {
    let catalog = section.catalog;
    for relation in &catalog.relations {
        if query.matches(section, relation) {
            let entry = section.entry(relation);
            let files = files(cluster, section, relation, query);
            let asked = query.file().filter(|_| !files.iter().any(|f| f.asked));
            found.matches.push(Match {
                relation: entry,
                files,
                missing: asked.map(|name| name.to_string()),
            });
        }
    }
    for claim in catalog.claims.iter().filter(|c| query.matches_claim(c)) {
        let path = cluster.paths.file(claim.locator, ForkNumber::Main, 0);
        let schema = catalog.schema(claim.namespace);
        found.origins.push(Origin {
            database_oid: section.database.map_or(0, |d| d.oid.0),
            oid: claim.oid.0,
            path: path.to_string(),
            origin: claim.describe(&catalog.names, schema),
        });
    }
}

/// A relation's files.
fn files(
    cluster: &ClusterCatalog,
    section: &mut Section<'_, '_>,
    relation: &Relation,
    query: &Query,
) -> Vec<FoundFile> {
    if relation.locator().is_none() {
        return Vec::new();
    }
    let block = u64::from(cluster.fmt.block_size.max(1));
    let asked = query.file();
    let (directory, files) = section.sizes.files(relation);
    files
        .iter()
        .map(|f| FoundFile {
            path: directory.join(f.name().to_string()).to_string(),
            fork: f.fork.name(),
            segment: f.segment,
            first_block: u64::from(f.segment) * u64::from(cluster.fmt.segment_blocks),
            blocks: f.bytes / block,
            bytes: f.bytes,
            asked: asked == Some(f.name()),
        })
        .collect()
}

/// The answer for people.
pub fn text(answer: &Answer) -> String {
    let mut out = String::new();
    for (i, located) in answer.located.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if answer.located.len() > 1 {
            out.push_str(&format!("{}:\n", plain(&located.query)));
        }
        for other in &located.others {
            out.push_str(&format!("{}\n", plain(other)));
        }
        for m in &located.matches {
            out.push_str(&match_text(m));
        }
        for origin in &located.origins {
            let words = plain(&origin.origin);
            out.push_str(&format!(
                "{}: no relation has it now; {words}\n",
                origin.path
            ));
        }
        if located.is_empty() {
            out.push_str(&format!("{}: nothing found\n", plain(&located.query)));
        }
    }
    out
}

/// A relation and its files.
fn match_text(found: &Match) -> String {
    let r = &found.relation;
    let schema = r.schema.as_deref().unwrap_or("?");
    let database = match &r.database.name {
        Some(name) => format!("database {}", plain(name)),
        None => "shared".to_owned(),
    };
    let kind = pgfsck_catalog::RelKind::from_letter(u8::try_from(r.kind).unwrap_or(b'?'));
    let mut out = format!(
        "{kind} {}.{} (OID {}), {database}\n",
        plain(schema),
        plain(&r.name),
        r.oid
    );
    if let Some(why) = &r.uncertain {
        out.push_str(&format!("  uncertain: {why}\n"));
    }
    for f in &found.files {
        let blocks = match f.blocks {
            0 => "no blocks".to_owned(),
            n => format!("blocks {} to {}", f.first_block, f.first_block + n - 1),
        };
        let mark = if f.asked { "* " } else { "  " };
        out.push_str(&format!(
            "{mark}{}  {} fork, segment {}, {blocks}, {} bytes\n",
            f.path, f.fork, f.segment, f.bytes
        ));
    }
    if let Some(name) = &found.missing {
        out.push_str(&format!("* {name} would be its file, but is not there\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Query {
        Query::parse(text, Path::new("/srv/data"))
    }

    #[test]
    fn paths_numbers_and_names_are_told_apart() {
        let file = |tablespace, database, name: &str| Query::File {
            tablespace,
            database: Oid(database),
            name: RelFileName::parse(name.as_bytes()).unwrap(),
        };
        let default = Some(Oid::PG_DEFAULT);
        assert_eq!(parse("base/5/16384.1"), file(default, 5, "16384.1"));
        assert_eq!(parse("./base/5/16384"), file(default, 5, "16384"));
        assert_eq!(parse("/srv/data/base/5/7_vm"), file(default, 5, "7_vm"));
        assert_eq!(parse("global/1262"), file(Some(Oid::PG_GLOBAL), 0, "1262"));
        assert_eq!(
            parse("pg_tblspc/16400/PG_17_202406281/5/t3_16401"),
            file(Some(Oid(16400)), 5, "t3_16401")
        );
        assert_eq!(
            parse("/mnt/fast/PG_17_202406281/5/16401"),
            file(None, 5, "16401")
        );
        assert_eq!(parse("/elsewhere/base/5/16401"), Query::NoRelation);
        assert_eq!(parse("base/5/PG_VERSION"), Query::NoRelation);
        assert_eq!(parse("16384"), Query::Number(16384));
        assert!(matches!(parse("16384_fsm"), Query::FileName(_)));
        let name = |parts: &[&str]| Query::Name(parts.iter().map(|p| (*p).to_owned()).collect());
        assert_eq!(
            parse("app.public.orders"),
            name(&["app", "public", "orders"])
        );
        assert_eq!(
            parse(r#"public."we.ird ""q""""#),
            name(&["public", r#"we.ird "q""#])
        );
    }
}
