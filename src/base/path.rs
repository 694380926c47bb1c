//! Names and relative paths as bytes.
//!
//! A [`Name`] is one directory entry, and all that the write side ever passes to the kernel besides a
//! directory descriptor. A [`RelPath`] is a list of names for messages, the journal and the plan.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One path component: not empty, not `.` or `..`, without `/` and NUL.
///
/// The length limit is the file system's (`NAME_MAX`), so it is not checked here.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(CString);

/// Why bytes are not a valid [`Name`] or [`RelPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// A component of no bytes.
    #[error("an empty name")]
    Empty,
    /// `.` instead of a name.
    #[error("`.` is not a name")]
    Dot,
    /// `..`, which would leave the tree.
    #[error("`..` is not allowed")]
    DotDot,
    /// A `/` inside one component.
    #[error("a `/` inside a name")]
    Slash,
    /// A NUL byte, which no Linux path can contain.
    #[error("a NUL byte")]
    Nul,
}

impl Name {
    /// Checks one component.
    pub fn new(bytes: &[u8]) -> Result<Self, BadPath> {
        match bytes {
            b"" => return Err(BadPath::Empty),
            b"." => return Err(BadPath::Dot),
            b".." => return Err(BadPath::DotDot),
            _ => {}
        }
        if bytes.contains(&b'/') {
            return Err(BadPath::Slash);
        }
        CString::new(bytes).map(Self).map_err(|_| BadPath::Nul)
    }

    /// The name's bytes, without a terminator.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The name as system calls take it.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", escape(self.as_bytes()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(self.as_bytes()))
    }
}

/// A normalised path below some root: names joined by single slashes, without a
/// leading or trailing one. Empty means the root itself.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// The root itself.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// A path as it was shown, for showing it again: what was escaped must not be escaped twice.
    #[must_use]
    pub fn shown(text: &str) -> Self {
        Self::new(&unescape(text)).unwrap_or_default()
    }

    /// Normalises `bytes`: repeated, leading and trailing slashes and `.`
    /// components vanish; `..` and NUL are errors.
    pub fn new(bytes: &[u8]) -> Result<Self, BadPath> {
        let mut out = Vec::with_capacity(bytes.len());
        for part in bytes.split(|b| *b == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(BadPath::DotDot),
                _ if part.contains(&0) => return Err(BadPath::Nul),
                _ => {}
            }
            if !out.is_empty() {
                out.push(b'/');
            }
            out.extend_from_slice(part);
        }
        Ok(Self(out))
    }

    /// True for the root itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path's bytes, without a leading slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for APIs of the standard library; relative, never absolute.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The components from the top down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = Name> + '_ {
        // Every constructor keeps each component a valid name, so none is dropped here.
        self.0.split(|b| *b == b'/').filter_map(|part| Name::new(part).ok())
    }

    /// Number of components.
    #[must_use]
    pub fn depth(&self) -> usize {
        if self.0.is_empty() { 0 } else { 1 + self.0.iter().filter(|b| **b == b'/').count() }
    }

    /// This path with one more component.
    #[must_use]
    pub fn join(&self, name: &Name) -> Self {
        self.join_path(&Self(name.as_bytes().to_vec()))
    }

    /// This path with all components of `tail` below it.
    #[must_use]
    pub fn join_path(&self, tail: &Self) -> Self {
        let mut out = Vec::with_capacity(self.0.len() + 1 + tail.0.len());
        out.extend_from_slice(&self.0);
        if !self.0.is_empty() && !tail.0.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(&tail.0);
        Self(out)
    }

    /// The path without its last component; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// The last component; `None` for the root.
    #[must_use]
    pub fn last(&self) -> Option<Name> {
        self.names().next_back()
    }

    /// The rest of `self` below `base`: the root for equal paths, `None` when `self` is neither `base` nor
    /// below it.
    #[must_use]
    pub fn strip_prefix(&self, base: &Self) -> Option<Self> {
        if base.0.is_empty() {
            return Some(self.clone());
        }
        let tail = self.0.strip_prefix(base.0.as_slice())?;
        match tail.split_first() {
            None => Some(Self::root()),
            Some((b'/', rest)) => Some(Self(rest.to_vec())),
            Some(_) => None,
        }
    }

    /// The path before `tail`, if `self` ends with it: the inverse of [`Self::join_path`].
    #[must_use]
    pub fn strip_suffix(&self, tail: &Self) -> Option<Self> {
        if tail.0.is_empty() {
            return Some(self.clone());
        }
        let head = self.0.strip_suffix(tail.0.as_slice())?;
        match head.split_last() {
            None => Some(Self::root()),
            Some((b'/', rest)) => Some(Self(rest.to_vec())),
            Some(_) => None,
        }
    }

    /// True when the last components are those of `tail`.
    #[must_use]
    pub fn ends_with(&self, tail: &Self) -> bool {
        self.strip_suffix(tail).is_some()
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", escape(&self.0))
    }
}

/// Shown with a leading slash, as a relative path is always below some root.
impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", escape(&self.0))
    }
}

/// True for characters that a terminal does not show as themselves: control characters, marks that
/// reorder a line (Unicode's bidirectional controls), and the separators of lines and paragraphs.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of several lines made safe for a terminal: of unprintable characters only newlines, tabs and
/// sequences that set colors are kept.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_unprintable(c) && c != '\n') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        let kept = matches!(c, '\n' | '\t') || c == '\x1b' && sets_color(&text[at + 1..]);
        if is_unprintable(c) && !kept { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// True for the rest of an SGR sequence (ECMA-48): `[`, numbers and semicolons, `m`.
fn sets_color(rest: &str) -> bool {
    rest.strip_prefix('[')
        .and_then(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').chars().next())
        == Some('m')
}

/// Bytes made safe for one line of a terminal or a JSON string: unprintable characters, backslashes and
/// bytes that are not UTF-8 become `\n`, `\u{202e}`, `\\` or `\xNN`.
#[must_use]
pub fn escape(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(|c| is_unprintable(c) || c == '\\')
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_unprintable(c) || c == '\\' {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    Cow::Owned(out)
}

/// The bytes that [`escape`] has escaped. Backslashes that it cannot have written are kept.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let code = &rest[at + 1..];
        let (bytes, length) = match code.as_bytes().first() {
            Some(b'n') => (vec![b'\n'], 1),
            Some(b'r') => (vec![b'\r'], 1),
            Some(b't') => (vec![b'\t'], 1),
            Some(b'\\') => (vec![b'\\'], 1),
            Some(b'x') => match code.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) => (vec![byte], 3),
                None => (vec![b'\\'], 0),
            },
            Some(b'u') => match code.get(2..).and_then(|hex| hex.split_once('}')) {
                Some((hex, _)) => match u32::from_str_radix(hex, 16).ok().and_then(char::from_u32) {
                    Some(c) => (c.to_string().into_bytes(), hex.len() + 3),
                    None => (vec![b'\\'], 0),
                },
                None => (vec![b'\\'], 0),
            },
            _ => (vec![b'\\'], 0),
        };
        out.extend_from_slice(&bytes);
        rest = &code[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).expect("a valid path")
    }

    #[test]
    fn names_refuse_what_the_kernel_would_resolve() {
        assert_eq!(Name::new(b""), Err(BadPath::Empty));
        assert_eq!(Name::new(b"."), Err(BadPath::Dot));
        assert_eq!(Name::new(b".."), Err(BadPath::DotDot));
        assert_eq!(Name::new(b"a/b"), Err(BadPath::Slash));
        assert_eq!(Name::new(b"a\0b"), Err(BadPath::Nul));
        assert_eq!(Name::new(b"\xff\n").map(|n| n.as_bytes().to_vec()), Ok(b"\xff\n".to_vec()));
    }

    #[test]
    fn paths_are_normalised_once() {
        assert_eq!(rel("//a/./b//").as_bytes(), b"a/b");
        assert!(rel("/").is_root());
        assert_eq!(RelPath::new(b"a/../b"), Err(BadPath::DotDot));
        assert_eq!(rel("a/b").depth(), 2);
        assert_eq!(rel("").depth(), 0);
    }

    #[test]
    fn a_prefix_ends_at_a_component() {
        assert_eq!(rel("a/b/c").strip_prefix(&rel("a")), Some(rel("b/c")));
        assert_eq!(rel("a").strip_prefix(&rel("a")), Some(RelPath::root()));
        assert_eq!(rel("ab").strip_prefix(&rel("a")), None);
        assert_eq!(rel("a").strip_prefix(&RelPath::root()), Some(rel("a")));
    }

    #[test]
    fn a_suffix_begins_at_a_component() {
        assert_eq!(rel("a/b/c").strip_suffix(&rel("b/c")), Some(rel("a")));
        assert_eq!(rel("a").strip_suffix(&rel("a")), Some(RelPath::root()));
        assert_eq!(rel("ab").strip_suffix(&rel("b")), None);
        assert_eq!(rel("a").strip_suffix(&RelPath::root()), Some(rel("a")));
        assert!(rel("persist/home/sinh").ends_with(&rel("home/sinh")));
    }

    #[test]
    fn parents_and_last_names() {
        assert_eq!(rel("a/b").parent(), Some(rel("a")));
        assert_eq!(rel("a").parent(), Some(RelPath::root()));
        assert_eq!(RelPath::root().parent(), None);
        assert_eq!(rel("a/b").last().map(|n| n.as_bytes().to_vec()), Some(b"b".to_vec()));
    }

    #[test]
    fn escaping_keeps_a_line_a_line() {
        assert_eq!(escape(b"caf\xc3\xa9"), "café");
        assert_eq!(escape(b"a\nb"), "a\\nb");
        assert_eq!(escape(b"a\xffb\\"), "a\\xffb\\\\");
        assert_eq!(escape("gpj.\u{202e}x\u{2028}\u{61c}".as_bytes()), "gpj.\\u{202e}x\\u{2028}\\u{61c}");
    }

    #[test]
    fn of_what_is_printed_only_lines_and_colors_control_a_terminal() {
        assert_eq!(printable("a\tb\nc\\"), "a\tb\nc\\");
        assert_eq!(printable("\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m");
        assert_eq!(printable("\x1b[2J\x1b]0;t\x07\u{2069}"), "\\u{1b}[2J\\u{1b}]0;t\\u{7}\\u{2069}");
        assert_eq!(printable("\x1b[31"), "\\u{1b}[31");
    }

    #[test]
    fn what_was_escaped_comes_back() {
        for bytes in [
            b"caf\xc3\xa9".as_slice(),
            b"a\nb\r\t",
            b"a\xffb\\",
            b"\x1b[31m",
            b"\x00\x7f",
            b"\\n",
            b"x\\",
            "\u{202e}\u{2029}".as_bytes(),
        ] {
            assert_eq!(unescape(&escape(bytes)), bytes, "{bytes:?}");
        }
        assert_eq!(unescape("a\\u{zz}\\xg1\\"), b"a\\u{zz}\\xg1\\");
    }
}
