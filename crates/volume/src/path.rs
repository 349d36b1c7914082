//! Paths below the data directory.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path relative to the data directory, with `/`, never absolute and never with `..`.
///
/// Names come from hostile directories, so they need not be UTF-8. `Display` renders every byte
/// that is not printable text as `\xNN`, so that a path can go to a terminal or into JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct VolPath(Vec<u8>);

impl VolPath {
    /// The data directory itself.
    #[must_use]
    pub fn root() -> Self {
        Self(Vec::new())
    }

    /// A path written out in this program's own text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }

    /// The path of `name` below this one.
    #[must_use]
    pub fn join(&self, name: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref().as_bytes();
        let mut out = Vec::with_capacity(self.0.len() + 1 + name.len());
        out.extend_from_slice(&self.0);
        if !out.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(name);
        Self(out)
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components, first to last.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&c| c == b'/').filter(|c| !c.is_empty())
    }

    /// The directory and the last component.
    #[must_use]
    pub fn split_last(&self) -> (Self, &OsStr) {
        match self.0.iter().rposition(|&c| c == b'/') {
            Some(i) => (
                Self(self.0.get(..i).unwrap_or_default().to_vec()),
                OsStr::from_bytes(self.0.get(i + 1..).unwrap_or_default()),
            ),
            None => (Self::root(), OsStr::from_bytes(&self.0)),
        }
    }

    /// This path below a directory of the machine.
    #[must_use]
    pub fn below(&self, root: &Path) -> PathBuf {
        if self.0.is_empty() {
            root.to_path_buf()
        } else {
            root.join(OsStr::from_bytes(&self.0))
        }
    }
}

impl From<String> for VolPath {
    fn from(s: String) -> Self {
        Self(s.into_bytes())
    }
}

impl fmt::Display for VolPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_plain(c) {
                    fmt::Write::write_char(f, c)?;
                } else {
                    let mut buf = [0; 4];
                    for b in c.encode_utf8(&mut buf).bytes() {
                        write!(f, "\\x{b:02x}")?;
                    }
                }
            }
            for b in chunk.invalid() {
                write!(f, "\\x{b:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character can stand in a report as it is: not a control character, and none of the
/// invisible ones that reorder or hide text on a terminal (Unicode's `Cf`, `Zl` and `Zp`, and the
/// fillers that show nothing).
#[must_use]
pub fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_shown_harmless() {
        let p = VolPath::root()
            .join(OsStr::from_bytes(b"base"))
            .join(OsStr::from_bytes(b"a\x1b[31m\xff\xe2\x80\xae"));
        assert_eq!(p.to_string(), r"base/a\x1b[31m\xff\xe2\x80\xae");
    }

    #[test]
    fn splits_at_the_last_component() {
        let path = VolPath::new("base/5/16384");
        let (dir, name) = path.split_last();
        assert_eq!(dir, VolPath::new("base/5"));
        assert_eq!(name, "16384");
        let path = VolPath::new("PG_VERSION");
        let (dir, name) = path.split_last();
        assert_eq!(dir, VolPath::root());
        assert_eq!(name, "PG_VERSION");
    }
}
