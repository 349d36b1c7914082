//! `backup_manifest`: every file of a base backup with its size and checksum, and the log that it needs.
//!
//! Written by `backup/backup_manifest.c` (`replication/backup_manifest.c` up to 14; 13+), read by
//! pg_verifybackup and pg_combinebackup (`common/parse_manifest.c`). It is JSON text, one file in a line:
//!
//! | member | majors | meaning |
//! |---|---|---|
//! | `PostgreSQL-Backup-Manifest-Version` | 13+ | 1; 2 from 17 on |
//! | `System-Identifier` | 17+ | pg_control's, as a number of 64 bits |
//! | `Files` | 13+ | a list of `Path` or `Encoded-Path` (hexadecimal), `Size` in bytes, `Last-Modified`, `Checksum-Algorithm` and `Checksum` |
//! | `WAL-Ranges` | 13+ | a list of `Timeline`, `Start-LSN`, `End-LSN` |
//! | `Manifest-Checksum` | 13+ | the SHA-256 of all lines before the last one, which has this member |
//!
//! Not in it are the manifest itself and the segments in pg_wal. A CRC-32C is written as its four bytes lie in
//! memory on a little-endian machine.
//!
//! The text is read as a stream: what is kept of it is up to the caller.

use crate::ids::{Lsn, TimeLineId};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{self, Read};
use thiserror::Error;

/// How a file's checksum was computed (`pg_checksum_type`, `common/checksum_helper.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// CRC-32C.
    Crc32c,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl ChecksumAlgorithm {
    /// By the name in the manifest, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "CRC32C" => Self::Crc32c,
            "SHA224" => Self::Sha224,
            "SHA256" => Self::Sha256,
            "SHA384" => Self::Sha384,
            "SHA512" => Self::Sha512,
            _ => return None,
        })
    }

    /// The name in the manifest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32c => "CRC32C",
            Self::Sha224 => "SHA224",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        }
    }

    /// Bytes of a checksum.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Crc32c => 4,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Its path below the data directory: any bytes.
    pub path: Vec<u8>,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its checksum, if one was computed.
    pub checksum: Option<(ChecksumAlgorithm, Vec<u8>)>,
}

/// A stretch of the log that the backup needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalRange {
    /// On which timeline.
    pub timeline: TimeLineId,
    /// From where.
    pub start: Lsn,
    /// To where.
    pub end: Lsn,
}

/// What a manifest says beside its files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupManifest {
    /// Its version.
    pub version: u64,
    /// `System-Identifier`, from version 2 on.
    pub system_identifier: Option<u64>,
    /// `WAL-Ranges`.
    pub wal_ranges: Vec<WalRange>,
}

/// Why a manifest cannot be believed.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It is not of the form: what, as the JSON parser or the rules for members say it.
    #[error("{0}")]
    Form(String),
    /// Its own checksum is wrong.
    #[error("its own checksum is wrong")]
    Checksum {
        /// What the last line says.
        have: String,
        /// What the lines before it give.
        expect: String,
    },
    /// It could not be read.
    #[error("{0}")]
    Io(io::Error),
}

/// No line of a manifest is longer, in bytes: a path has less than 1 KiB, and its encoding twice as many.
const LINE_LIMIT: usize = 1 << 16;

/// The versions that exist.
const VERSIONS: std::ops::RangeInclusive<u64> = 1..=2;

/// Reads a manifest and hands each of its files to `each`, which may refuse it with a reason.
///
/// # Errors
/// [`ManifestError`]; what was handed on before an error may be wrong.
pub fn read(
    input: impl Read,
    each: &mut dyn FnMut(ManifestFile) -> Result<(), String>,
) -> Result<BackupManifest, ManifestError> {
    let mut lines = Lines::new(input);
    let mut parser = serde_json::Deserializer::from_reader(&mut lines);
    let top = Top { each }.deserialize(&mut parser);
    let top = top.and_then(|top| parser.end().map(|()| top));
    let (manifest, stored) = match top {
        Ok(top) => top,
        Err(e) => {
            return Err(lines
                .failed
                .take()
                .map_or_else(|| ManifestError::Form(e.to_string()), ManifestError::Io));
        }
    };
    if !lines.line.ends_with(b"\n") {
        return Err(ManifestError::Form("the last line does not end".to_owned()));
    }
    let expect = hex(&lines.sum.finalize());
    if !stored.eq_ignore_ascii_case(&expect) {
        return Err(ManifestError::Checksum {
            have: stored,
            expect,
        });
    }
    Ok(manifest)
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Hexadecimal digits as bytes.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: &u8| char::from(*c).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| {
            let (high, low) = (digit(pair.first()?)?, digit(pair.last()?)?);
            u8::try_from(high * 16 + low).ok()
        })
        .collect()
}

/// Passes the text on line by line, and sums up all lines but the last one.
struct Lines<R> {
    input: R,
    sum: Sha256,
    /// The line under way, or the last one.
    line: Vec<u8>,
    /// How much of `ready` was passed on.
    passed: usize,
    ready: Vec<u8>,
    failed: Option<io::Error>,
}

impl<R: Read> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            sum: Sha256::new(),
            line: Vec::new(),
            passed: 0,
            ready: Vec::new(),
            failed: None,
        }
    }

    /// Takes bytes that were read: a line is summed up when another byte follows it.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.split_inclusive(|&c| c == b'\n') {
            if self.line.ends_with(b"\n") {
                self.sum.update(&self.line);
                self.line.clear();
            }
            if self.line.len() + part.len() > LINE_LIMIT {
                return Err(io::Error::other("a line is too long"));
            }
            self.line.extend_from_slice(part);
        }
        Ok(())
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.passed == self.ready.len() {
            let mut ready = std::mem::take(&mut self.ready);
            ready.resize(LINE_LIMIT, 0);
            let got = match self.input.read(&mut ready) {
                Ok(got) => got,
                Err(e) => {
                    let kind = e.kind();
                    if kind != io::ErrorKind::Interrupted {
                        self.failed = Some(e);
                    }
                    return Err(kind.into());
                }
            };
            ready.truncate(got);
            self.take(&ready)?;
            (self.ready, self.passed) = (ready, 0);
        }
        let rest = self.ready.get(self.passed..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        self.passed += n;
        Ok(n)
    }
}

/// The whole text.
struct Top<'a> {
    each: &'a mut dyn FnMut(ManifestFile) -> Result<(), String>,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = (BackupManifest, String);

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = (BackupManifest, String);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a backup manifest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut manifest = BackupManifest::default();
        let mut checksum: Option<String> = None;
        let mut seen: Vec<String> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if seen.contains(&name) {
                return Err(A::Error::custom(format!("{name} is there twice")));
            }
            match name.as_str() {
                "PostgreSQL-Backup-Manifest-Version" => {
                    manifest.version = map.next_value()?;
                    if !VERSIONS.contains(&manifest.version) {
                        let version = manifest.version;
                        return Err(A::Error::custom(format!("version {version} is unknown")));
                    }
                }
                "System-Identifier" => manifest.system_identifier = Some(map.next_value()?),
                "Files" => map.next_value_seed(Files { each: self.each })?,
                "WAL-Ranges" => {
                    manifest.wal_ranges = map.next_value::<Ranges>()?.0;
                }
                "Manifest-Checksum" => checksum = Some(map.next_value()?),
                other => {
                    return Err(A::Error::custom(format!(
                        "{other:?} is no member of a manifest"
                    )));
                }
            }
            seen.push(name);
        }
        let missing = |name: &str| A::Error::custom(format!("{name} is missing"));
        if manifest.version == 0 {
            return Err(missing("PostgreSQL-Backup-Manifest-Version"));
        }
        if manifest.version >= 2 && manifest.system_identifier.is_none() {
            return Err(missing("System-Identifier"));
        }
        let checksum = checksum.ok_or_else(|| missing("Manifest-Checksum"))?;
        if unhex(&checksum).is_none_or(|sum| sum.len() != ChecksumAlgorithm::Sha256.bytes()) {
            return Err(A::Error::custom("Manifest-Checksum is no SHA-256"));
        }
        Ok((manifest, checksum))
    }
}

/// The list of files.
struct Files<'a> {
    each: &'a mut dyn FnMut(ManifestFile) -> Result<(), String>,
}

impl<'de> DeserializeSeed<'de> for Files<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Files<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(file) = list.next_element::<FileText>()? {
            let file = file.parse().map_err(A::Error::custom)?;
            (self.each)(file).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// One file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct FileText {
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    size: Option<u64>,
    #[serde(rename = "Last-Modified")]
    _last_modified: Option<IgnoredAny>,
    #[serde(rename = "Checksum-Algorithm")]
    checksum_algorithm: Option<String>,
    checksum: Option<String>,
}

impl FileText {
    /// `json_manifest_finalize_file` (`common/parse_manifest.c`).
    fn parse(self) -> Result<ManifestFile, String> {
        let path = match (self.path, self.encoded_path) {
            (Some(path), None) => path.into_bytes(),
            (None, Some(encoded)) => {
                unhex(&encoded).ok_or_else(|| format!("{encoded:?} is no encoded path"))?
            }
            (Some(_), Some(_)) => return Err("a file with both kinds of path".to_owned()),
            (None, None) => return Err("a file without a path".to_owned()),
        };
        let of = String::from_utf8_lossy(&path).into_owned();
        let bytes = self
            .size
            .ok_or_else(|| format!("{of:?}: a file without a size"))?;
        let checksum = match (self.checksum_algorithm, self.checksum) {
            (None, None) => None,
            (Some(name), Some(sum)) => {
                let algorithm = ChecksumAlgorithm::from_name(&name)
                    .ok_or_else(|| format!("{of:?}: unknown checksum algorithm {name:?}"))?;
                let sum = unhex(&sum)
                    .filter(|s| s.len() == algorithm.bytes())
                    .ok_or_else(|| format!("{of:?}: {sum:?} is no {}", algorithm.name()))?;
                Some((algorithm, sum))
            }
            (None, Some(_)) => return Err(format!("{of:?}: a checksum without an algorithm")),
            (Some(_), None) => return Err(format!("{of:?}: an algorithm without a checksum")),
        };
        Ok(ManifestFile {
            path,
            bytes,
            checksum,
        })
    }
}

/// More stretches of the log than any backup can cross timelines.
const MAX_RANGES: usize = 1 << 16;

/// The list of them.
struct Ranges(Vec<WalRange>);

impl<'de> Deserialize<'de> for Ranges {
    fn deserialize<D: Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Ranges;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of stretches of the log")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ranges, A::Error> {
                let mut ranges = Vec::new();
                while let Some(range) = list.next_element::<RangeText>()? {
                    if ranges.len() == MAX_RANGES {
                        return Err(A::Error::custom("too many stretches of the log"));
                    }
                    ranges.push(range.parse().map_err(A::Error::custom)?);
                }
                Ok(Ranges(ranges))
            }
        }
        parser.deserialize_seq(List)
    }
}

/// One stretch of the log, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeText {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

impl RangeText {
    fn parse(&self) -> Result<WalRange, String> {
        let lsn = |text: &str| text.parse().map_err(|_| format!("{text:?} is no LSN"));
        Ok(WalRange {
            timeline: TimeLineId(self.timeline),
            start: lsn(&self.start)?,
            end: lsn(&self.end)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: &str) -> String {
        let body = format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 7500000000000000001,\n\"Files\": [\n{files}],\n\"WAL-Ranges\": [\n{{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000120\" }}\n],\n"
        );
        let sum = hex(&Sha256::digest(body.as_bytes()));
        format!("{body}\"Manifest-Checksum\": \"{sum}\"}}\n")
    }

    fn read_all(text: &str) -> Result<(BackupManifest, Vec<ManifestFile>), ManifestError> {
        let mut files = Vec::new();
        let manifest = read(text.as_bytes(), &mut |file| {
            files.push(file);
            Ok(())
        })?;
        Ok((manifest, files))
    }

    #[test]
    fn a_manifest_is_read() {
        let text = manifest(concat!(
            "{ \"Path\": \"base/5/1\", \"Size\": 8192, \"Last-Modified\": \"2026-01-01 00:00:00 GMT\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"0a0b0c0d\" },\n",
            "{ \"Encoded-Path\": \"ff2f41\", \"Size\": 0 }\n"
        ));
        let (head, files) = read_all(&text).unwrap();
        assert_eq!(head.system_identifier, Some(7_500_000_000_000_000_001));
        assert_eq!(head.wal_ranges[0].end, Lsn(0x200_0120));
        assert_eq!(
            files[0].checksum,
            Some((ChecksumAlgorithm::Crc32c, vec![10, 11, 12, 13]))
        );
        assert_eq!(files[1].path, b"\xff/A");
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_a_reason() {
        let good = manifest("{ \"Path\": \"a\", \"Size\": 1 }\n");
        let bad = [
            ("", "EOF"),
            ("[]", "invalid type"),
            ("{}", "is missing"),
            (&good.replace("\"Path\"", "\"Pfad\""), "unknown field"),
            (
                &good.replace("Version\": 2", "Version\": 9876599"),
                "is unknown",
            ),
            (&good.replace("\"Size\": 1", "\"Size\": -1"), "invalid"),
            (
                &good.replace("\"Size\": 1", "\"Size\": 1, \"Checksum\": \"00\""),
                "without an algorithm",
            ),
            (&good.replace("0/2000028", "oops"), "is no LSN"),
            (&good.replace("\"a\"", "\"b\""), "its own checksum"),
            (good.trim_end(), "does not end"),
            (&format!("{good}more"), "trailing"),
            (
                &good.replace("\"a\"", &format!("\"{}\"", "a".repeat(LINE_LIMIT))),
                "too long",
            ),
        ];
        for (text, reason) in bad {
            let error = read_all(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}
