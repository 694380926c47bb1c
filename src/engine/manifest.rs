//! The manifest in formats for other programs: JSON lines, and check lines of `b3sum`.
//! Both stream from the journal; nothing grows with the number of entries.

use super::content::digest::Algorithm;
use super::journal::{AcceptedAs, AcceptedRow, JournalError, Reader, Row, State};
use crate::base::clock::Moment;
use crate::base::json::exact;
use crate::base::path::{Name, RelPath, escape};
use crate::sys::stat::Kind;
use data_encoding::BASE64;
use serde_json::{Map, Value, json};

/// Rows that are asked for at once.
const PAGE: u32 = 512;

/// Calls `each` with every recorded entry and its path, directory by directory, until that returns
/// `false`: as it was copied, or as its owner has it since and it was accepted.
pub fn each(reader: &Reader, mut each: impl FnMut(RelPath, Row) -> bool) -> Result<(), JournalError> {
    let mut after = (-1, Vec::new());
    let mut place = (0, RelPath::root());
    let any_accepted = reader.has_accepted()?;
    loop {
        let page = reader.page((after.0, &after.1), false, PAGE)?;
        let Some(last) = page.last() else { break };
        after = (last.dir, last.name.clone());
        for row in page {
            if place.0 != row.dir {
                place = (row.dir, reader.path_of(row.dir)?);
            }
            let Ok(name) = Name::new(&row.name) else { continue };
            let accepted = if any_accepted { reader.accepted(row.dir, &name)? } else { None };
            let row = match accepted {
                Some(AcceptedRow { what: AcceptedAs::Content, row }) => row,
                Some(AcceptedRow { what: AcceptedAs::Removed, .. }) => continue,
                Some(AcceptedRow { what: AcceptedAs::Names, .. }) | None => row,
            };
            if !each(place.1.join(&name), row) {
                return Ok(());
            }
        }
    }
    if any_accepted { made(reader, each) } else { Ok(()) }
}

/// The same for what the owner of the target made, where nothing was copied.
fn made(reader: &Reader, mut each: impl FnMut(RelPath, Row) -> bool) -> Result<(), JournalError> {
    let mut after = (-1, Vec::new());
    loop {
        let page = reader.accepted_page((after.0, &after.1), false, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.row.dir, last.row.name.clone());
        for AcceptedRow { what, row } in page {
            let (Ok(name), AcceptedAs::Content) = (Name::new(&row.name), what) else { continue };
            if reader.find_copied(row.dir, &name)?.is_some() {
                continue;
            }
            let Some(above) = reader.known_path_of(row.dir)? else { continue };
            if !each(above.join(&name), row) {
                return Ok(());
            }
        }
    }
}

/// Why an entry has no line for `b3sum --check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCheckLine {
    /// Its digest is not BLAKE3 of all its bytes.
    OtherDigest,
    /// Its name is not UTF-8.
    NotUtf8,
    /// The journal has no digest of it.
    NoDigest,
}

/// A line for `b3sum --check` in the root, or why there is none.
///
/// b3sum reads its lines as UTF-8, wants a backslash, a newline and a carriage return escaped, and
/// refuses the replacement character.
pub fn check_line(path: &RelPath, row: &Row) -> Option<Result<String, NoCheckLine>> {
    if row.kind() != Kind::File {
        return None;
    }
    Some(match (row.digest, std::str::from_utf8(path.as_bytes())) {
        (Some(digest), _) if digest.algorithm != Algorithm::Blake3 => Err(NoCheckLine::OtherDigest),
        (Some(digest), Ok(text)) if !text.contains('\u{fffd}') => {
            let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
            let mark = if escaped == text { "" } else { "\\" };
            Ok(format!("{mark}{}  {escaped}", hex(&digest.bytes)))
        }
        (Some(_), _) => Err(NoCheckLine::NotUtf8),
        (None, _) => Err(NoCheckLine::NoDigest),
    })
}

/// One entry as a JSON object on one line.
#[must_use]
pub fn entry(path: &RelPath, row: &Row, targets: &[String]) -> Value {
    let wanted = &row.wanted;
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| drop(out.insert(key.into(), value));
    put("path", json!(path.to_string()));
    if let Some(bytes) = exact(path) {
        put("path_bytes", json!(bytes));
    }
    put("target", json!(targets.get(row.target as usize)));
    put("kind", json!(row.kind().letter()));
    put("state", json!(if row.state == State::Bad { "bad" } else { "done" }));
    put("mode", json!(format!("{:04o}", wanted.mode)));
    put("uid", json!(wanted.owner.map(|owner| owner.0)));
    put("gid", json!(wanted.owner.map(|owner| owner.1)));
    put("mtime", json!(wanted.mtime.map(|time| time.sec)));
    put("mtime_ns", json!(wanted.mtime.map(|time| time.nsec)));
    put("verified", json!(row.verified.map(|at| Moment::from_unix(at).rfc3339())));
    match row.kind() {
        Kind::File => {
            put("size", json!(row.size));
            put("allocated", json!(row.allocated()));
            let algorithm = row.digest.map(|digest| match digest.algorithm {
                Algorithm::Blake3 => "blake3",
                Algorithm::NonZeroChunks => "non-zero-chunks",
            });
            put("algorithm", json!(algorithm));
            put("digest", json!(row.digest.map(|digest| hex(&digest.bytes))));
        }
        Kind::Symlink => {
            let text = row.link.as_deref().unwrap_or_default();
            put("link", json!(escape(text)));
            put("link_bytes", json!(BASE64.encode(text)));
        }
        Kind::CharDevice | Kind::BlockDevice => put("device", json!(row.rdev)),
        _ => {}
    }
    if row.nlink > 1 && row.kind() != Kind::Directory {
        put("inode", json!(row.dst_ino));
    }
    if let Some(xattrs) = row.xattrs().filter(|xattrs| !xattrs.is_empty()) {
        let all =
            xattrs.iter().map(|(name, value)| (escape(name.as_bytes()).into_owned(), json!(BASE64.encode(value))));
        put("xattrs", Value::Object(all.collect()));
    }
    if !wanted.flags.is_empty() {
        put("flags", json!(wanted.flags.to_string()));
    }
    if wanted.project != 0 {
        put("project", json!(wanted.project));
    }
    Value::Object(out)
}

fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}
