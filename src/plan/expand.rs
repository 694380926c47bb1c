//! Globs of the plan, expanded inside the source.

use crate::base::path::{Name, RelPath};
use crate::sys::Errno;
use crate::sys::dir::read_batches;
use crate::sys::root::Root;
use globset::{GlobBuilder, GlobMatcher};
use rustix::fs::OFlags;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// True when the path has a component to expand.
pub(crate) fn is_glob(path: &RelPath) -> bool {
    path.as_bytes().iter().any(|b| b"*?[{".contains(b))
}

/// A matcher for the paths below the root that `pattern`, which goes to `to`, can match; `None` if it
/// is not a pattern.
pub(crate) fn matcher(to: &RelPath, pattern: &RelPath) -> Option<GlobMatcher> {
    if !is_glob(pattern) {
        return None;
    }
    let text = String::from_utf8_lossy(pattern.as_bytes()).into_owned();
    let above = globset::escape(&String::from_utf8_lossy(to.as_bytes()));
    let text = if to.is_root() { text } else { format!("{above}/{text}") };
    Some(GlobBuilder::new(&text).literal_separator(true).build().ok()?.compile_matcher())
}

/// The paths below `from` that match `pattern`, sorted. A component without special characters is
/// taken literally; others match names, hidden ones only if the pattern starts with a dot, as in a
/// shell. A name equal to the pattern's text matches as well.
pub(crate) fn expand(source: &Root, from: &RelPath, pattern: &RelPath) -> Result<Vec<RelPath>, Errno> {
    let mut found = vec![RelPath::root()];
    for name in pattern.names() {
        let component = RelPath::root().join(&name);
        if !is_glob(&component) {
            found = found.into_iter().map(|path| path.join(&name)).collect();
            continue;
        }
        let mut next = Vec::new();
        for path in found {
            next.extend(matching(source, &from.join_path(&path), &name)?.iter().map(|name| path.join(name)));
        }
        found = next;
    }
    found.retain(|path| source.open_in(&from.join_path(path), OFlags::PATH | OFlags::NOFOLLOW).is_ok());
    found.sort();
    Ok(found)
}

fn matching(source: &Root, dir: &RelPath, pattern: &Name) -> Result<Vec<Name>, Errno> {
    let text = String::from_utf8_lossy(pattern.as_bytes()).into_owned();
    // Checking the plan has already built this glob once.
    let Ok(glob) = GlobBuilder::new(&text).literal_separator(true).build() else { return Err(Errno::INVAL) };
    let matcher = glob.compile_matcher();
    let fd = match source.open_in(dir, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    let hidden = pattern.as_bytes().starts_with(b".");
    let mut found = Vec::new();
    read_batches(&fd, 4096, |batch| {
        found.extend(batch.into_iter().map(|entry| entry.name).filter(|name| {
            let matches = matcher.is_match(OsStr::from_bytes(name.as_bytes())) || name == pattern;
            matches && (hidden || !name.as_bytes().starts_with(b"."))
        }));
        true
    })?;
    Ok(found)
}
