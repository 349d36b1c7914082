//! `pgfsck page`: blocks of one file, explained field by field, with their bytes.

mod describe;

use super::read_control;
use crate::args::{ListFormat, PageArgs};
use crate::output::{complain, print, print_json};
use crate::text::plain;
use anyhow::{Context, anyhow, bail};
use describe::{Fork, describe};
use pgfsck_format::names::RelFileName;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ClusterFormat, ForkNumber};
use pgfsck_volume::{Directory, VolPath, Volume};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Blocks that one call explains, at most: what it prints is some hundred times as long.
const MAX_BLOCKS: u32 = 1024;
/// Directories above the file in which its cluster is looked for.
const MAX_DEPTH: usize = 5;

/// Prints the blocks; exit code 1 if one has a wrong checksum.
pub fn run(args: &PageArgs) -> anyhow::Result<ExitCode> {
    let file = std::fs::canonicalize(&args.file)
        .with_context(|| format!("could not open \"{}\"", args.file.display()))?;
    let fmt = format_of(args.datadir.as_deref(), &file)?;
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    let name = RelFileName::parse(name);
    let fork = match name.as_ref().map(|n| n.fork) {
        Some(ForkNumber::Fsm) => Fork::FreeSpace,
        Some(ForkNumber::Vm) => Fork::Visibility,
        _ => Fork::Pages,
    };
    let segment = name.map_or(0, |n| n.segment);
    let base = segment.saturating_mul(fmt.segment_blocks);
    let blocks = args.blocks.unwrap_or((base, base));
    let count = blocks.1.saturating_sub(blocks.0).saturating_add(1);
    if count > MAX_BLOCKS {
        bail!("{count} blocks are too many; at most {MAX_BLOCKS} at a time");
    }
    let parent = file.parent().unwrap_or(Path::new("/"));
    let volume = Directory::new(parent, Vec::new())?;
    let opened = volume
        .open(&VolPath::root().join(file.file_name().unwrap_or_default()))
        .with_context(|| format!("could not open \"{}\"", file.display()))?;
    let mut pages = Vec::new();
    let mut sound = true;
    let mut bytes = vec![0; fmt.block_len()];
    for block in blocks.0..=blocks.1 {
        let Some(at) = block.checked_sub(base) else {
            bail!("block {block} is not in this file, which begins with block {base}");
        };
        let offset = u64::from(at) * u64::from(fmt.block_size);
        let got = opened
            .read_at(&mut bytes, offset)
            .with_context(|| format!("could not read block {block}"))?;
        if got < bytes.len() {
            complain(&format!(
                "error: block {block} is beyond the end of the file"
            ));
            sound = false;
            break;
        }
        let page = Page::new(&bytes, BlockNumber(block), fmt)?;
        let described = describe(&page, offset, fork);
        sound &= described["checksum"]["verdict"] != "wrong";
        pages.push(described);
    }
    match args.format {
        ListFormat::Text => print(&text(&pages))?,
        ListFormat::Json => {
            let document = json!({
                "schema": "pgfsck.page/1",
                "file": plain(&args.file.to_string_lossy()),
                "pages": pages,
            });
            print_json(&document)?;
        }
    }
    Ok(ExitCode::from(u8::from(!sound)))
}

/// The format of the cluster that the file lies in: of the data directory that was named, or of the one
/// above the file.
fn format_of(datadir: Option<&Path>, file: &Path) -> anyhow::Result<ClusterFormat> {
    let named = datadir.map(Path::to_path_buf);
    let above = || -> Option<PathBuf> {
        let dirs = file.ancestors().skip(1).take(MAX_DEPTH);
        dirs.map(Path::to_path_buf)
            .find(|dir| dir.join("global/pg_control").is_file())
    };
    let dir = named.or_else(above).ok_or_else(|| {
        anyhow!(
            "no global/pg_control above the file tells its format; name the data directory with -D"
        )
    })?;
    let volume = Directory::new(&dir, Vec::new())?;
    Ok(read_control(&volume)?.1)
}

/// The pages for people: each field with its name, each item with its bytes.
fn text(pages: &[Value]) -> String {
    let mut out = String::new();
    for page in pages {
        let Some(fields) = page.as_object() else {
            continue;
        };
        if !out.is_empty() {
            out.push('\n');
        }
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("items", Value::Array(items)) => {
                    for item in items {
                        lines(&mut out, "item", item);
                    }
                }
                ("special_space", Value::Object(_)) => lines(&mut out, "special space", value),
                _ => {
                    let _ = writeln!(out, "{:<16}{}", format!("{name}:"), words(value));
                }
            }
        }
    }
    out
}

/// One object on a line, its bytes below it.
fn lines(out: &mut String, title: &str, object: &Value) {
    let Some(fields) = object.as_object() else {
        return;
    };
    let _ = write!(out, "\n{title}");
    for (name, value) in fields.iter().filter(|(name, _)| *name != "data") {
        if name == "number" {
            let _ = write!(out, " {}", words(value));
        } else if !value.is_null() {
            let _ = write!(out, "  {name} {}", words(value));
        }
    }
    out.push('\n');
    let data = fields.get("data").and_then(Value::as_str).unwrap_or("");
    for (i, row) in data.as_bytes().chunks(32).enumerate() {
        let _ = write!(out, "  {:04x}  ", i * 16);
        let mut ascii = String::new();
        for pair in row.chunks(2) {
            let pair = std::str::from_utf8(pair).unwrap_or("??");
            let _ = write!(out, "{pair} ");
            let byte = u8::from_str_radix(pair, 16).unwrap_or(b'.');
            ascii.push(if byte.is_ascii_graphic() || byte == b' ' {
                byte.into()
            } else {
                '.'
            });
        }
        let _ = writeln!(
            out,
            "{:>width$} {ascii}",
            "",
            width = (32 - row.len()) / 2 * 3
        );
    }
}

/// A value without JSON's quotes.
fn words(value: &Value) -> String {
    match value {
        Value::String(s) => plain(s),
        Value::Array(list) => {
            let all: Vec<String> = list.iter().map(words).collect();
            if all.is_empty() {
                "none".into()
            } else {
                all.join(" ")
            }
        }
        Value::Object(fields) => {
            let all: Vec<String> = fields
                .iter()
                .map(|(k, v)| format!("{k} {}", words(v)))
                .collect();
            all.join(", ")
        }
        other => other.to_string(),
    }
}
