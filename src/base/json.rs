//! How paths stand in JSON.

use crate::base::path::{RelPath, is_unprintable};
use data_encoding::BASE64;

/// The bytes of a path that its text does not give exactly, with the leading slash that
/// its text has.
pub(crate) fn exact(path: &RelPath) -> Option<String> {
    let text = std::str::from_utf8(path.as_bytes());
    let plain = text.is_ok_and(|t| !t.chars().any(|c| is_unprintable(c) || c == '\\'));
    (!plain).then(|| BASE64.encode(&[b"/", path.as_bytes()].concat()))
}
