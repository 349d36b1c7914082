//! Text from the data never reaches a terminal raw.

use pgfsck_volume::is_plain;
use serde::Serialize;
use std::io::{self, Write};

/// Replaces control characters and the invisible ones that reorder or hide text.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

/// The same for text in lines, which stay lines.
pub fn plain_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(plain).collect();
    lines.join("\n")
}

/// What a value is in JSON, in many lines or in one. It says the same as without escapes, and shows harmless on
/// a terminal: JSON itself asks for the escape of some control characters only.
pub fn json(value: &impl Serialize, pretty: bool) -> io::Result<String> {
    let mut out = Vec::new();
    write_json(&mut out, value, pretty)?;
    String::from_utf8(out).map_err(io::Error::other)
}

/// The same, written as it is walked.
pub fn write_json(out: &mut dyn Write, value: &impl Serialize, pretty: bool) -> io::Result<()> {
    let out = Harmless(out);
    let written = if pretty {
        serde_json::to_writer_pretty(out, value)
    } else {
        serde_json::to_writer(out, value)
    };
    Ok(written?)
}

/// Escapes what a terminal would obey, in JSON that is written in pieces of whole characters.
struct Harmless<'w>(&'w mut dyn Write);

impl Write for Harmless<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(piece).map_err(io::Error::other)?;
        // Outside of strings JSON has nothing but ASCII and line ends.
        let is_harmless = |c: char| c == '\n' || is_plain(c);
        let mut units = [0; 2];
        let mut rest = text;
        while let Some(at) = rest.find(|c| !is_harmless(c)) {
            let (before, from) = rest.split_at(at);
            self.0.write_all(before.as_bytes())?;
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut units) {
                    write!(self.0, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        self.0.write_all(rest.as_bytes())?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_shown() {
        assert_eq!(plain("a\x1b[2J\u{202e}é"), r"a\u{1b}[2J\u{202e}é");
        assert_eq!(plain_lines("a\u{9b}2J\nb\tc\n"), "a\\u{9b}2J\nb\\u{9}c\n");
    }

    #[test]
    fn json_is_harmless_and_means_the_same() {
        let text = "a\x1b[2J\u{7f}\u{9b}\u{202e}\u{e0041}é\n";
        for pretty in [false, true] {
            let shown = json(&[text], pretty).unwrap();
            assert!(shown.chars().all(|c| c == '\n' || is_plain(c)), "{shown}");
            assert!(
                shown.contains(r"\u001b[2J\u007f\u009b\u202e\udb40\udc41é"),
                "{shown}"
            );
            assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), [text]);
        }
    }
}
