//! Paths in JSON.

use crate::base::path::{RelPath, is_unprintable};
use data_encoding::BASE64;

/// The bytes of a path whose text is not exact, with the leading slash that its text has.
pub(crate) fn exact(path: &RelPath) -> Option<String> {
    let text = std::str::from_utf8(path.as_bytes());
    let plain = text.is_ok_and(|t| !t.chars().any(|c| is_unprintable(c) || c == '\\'));
    (!plain).then(|| BASE64.encode(&[b"/", path.as_bytes()].concat()))
}

/// JSON text for a terminal or a file: unprintable characters in its strings are escaped.
pub fn text(value: &serde_json::Value) -> String {
    let text = format!("{value:#}\n");
    // JSON escapes everything below U+0020; the rest can only be in strings, and has four digits.
    let escape = |c: char| if is_hidden(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    if text.contains(is_hidden) { text.chars().map(escape).collect() } else { text }
}

fn is_hidden(c: char) -> bool {
    c != '\n' && is_unprintable(c)
}
