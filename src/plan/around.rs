//! A map that has another target's destination inside it: it copies what is around that.

use crate::base::path::RelPath;
use crate::sys::dir::read_batches;
use crate::sys::root::Root;
use crate::sys::stat::{Kind, stat_fd};
use crate::sys::{Errno, leads_nowhere};
use globset::{GlobBuilder, GlobMatcher};
use rustix::fs::OFlags;
use std::collections::BTreeSet;

/// A name beside the way to an inner destination.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beside {
    /// Below the map's `from`.
    pub(super) path: RelPath,
    pub(super) is_link: bool,
}

/// Every name of the directories from `from` on the way to the `inner` paths below it, but those paths and
/// the ways themselves; sorted. `ENOENT` if there is no `from`, `ENOTDIR` if something else is in the way.
pub(super) fn names(root: &Root, from: &RelPath, inner: &[RelPath]) -> Result<Vec<Beside>, Errno> {
    let mut found = Vec::new();
    let mut waiting = vec![RelPath::root()];
    while let Some(dir) = waiting.pop() {
        let fd = match root.open_in(&from.join_path(&dir), OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            // Nothing to copy beside it.
            Err(Errno::NOENT) if !dir.is_root() => continue,
            Err(errno) => return Err(errno),
        };
        let mut names = Vec::new();
        read_batches(&fd, 4096, |batch| {
            names.extend(batch.into_iter().map(|entry| entry.name));
            true
        })?;
        for path in names.iter().map(|name| dir.join(name)) {
            if inner.contains(&path) {
                continue;
            }
            if inner.iter().any(|inner| inner.strip_prefix(&path).is_some()) {
                waiting.push(path);
                continue;
            }
            let held = root.open_in(&from.join_path(&path), OFlags::PATH | OFlags::NOFOLLOW);
            match held.and_then(stat_fd) {
                Ok(stat) => found.push(Beside { path, is_link: stat.kind == Kind::Symlink }),
                // It went away.
                Err(errno) if leads_nowhere(errno) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A matcher of the destinations that [`names`] can have below `to`; `inner` are those inside it.
pub(super) fn matcher(to: &RelPath, inner: &[RelPath]) -> Option<GlobMatcher> {
    let above = |inner: &RelPath| {
        let ways = std::iter::successors(inner.parent(), RelPath::parent);
        ways.take_while(|way| way.strip_prefix(to).is_some()).collect::<Vec<_>>()
    };
    let ways: BTreeSet<RelPath> = inner.iter().flat_map(above).collect();
    let any = |way: &RelPath| match way.is_root() {
        true => "*".to_string(),
        false => format!("{}/*", globset::escape(&String::from_utf8_lossy(way.as_bytes())).replace(',', "[,]")),
    };
    let text = format!("{{{}}}", ways.iter().map(any).collect::<Vec<_>>().join(","));
    Some(GlobBuilder::new(&text).literal_separator(true).build().ok()?.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_is_each_name_that_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["nix/store/a", "nix/var/nix", "nix/var/persist/x", "nix/persist/old"] {
            std::fs::DirBuilder::new().recursive(true).create(dir.path().join(path)).unwrap();
        }
        std::os::unix::fs::symlink("store", dir.path().join("nix/link")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let around = |inner: &[&str]| {
            let inner: Vec<RelPath> = inner.iter().map(|text| RelPath::shown(text)).collect();
            names(&root, &RelPath::shown("/nix"), &inner)
                .map(|found| found.iter().map(|beside| (beside.path.to_string(), beside.is_link)).collect::<Vec<_>>())
        };
        let named = |all: &[(&str, bool)]| Ok(all.iter().map(|(path, link)| (path.to_string(), *link)).collect());
        let only = [("/link", true), ("/persist", false), ("/store", false), ("/var/nix", false)];
        assert_eq!(around(&["/var/persist"]), named(&only));
        assert_eq!(around(&["/persist"]), named(&[("/link", true), ("/store", false), ("/var", false)]));
        let deeper = [("/link", true), ("/persist", false), ("/store", false), ("/var", false)];
        assert_eq!(around(&["/new/persist"]), named(&deeper));
        assert_eq!(names(&root, &RelPath::shown("/no"), &[]), Err(Errno::NOENT));
    }

    #[test]
    fn a_destination_around_is_known_without_the_backup() {
        let to = RelPath::shown("/a,b/n");
        let matcher = matcher(&to, &[RelPath::shown("/a,b/n/var/persist")]).unwrap();
        for (path, matches) in
            [("a,b/n/store", true), ("a,b/n/var/x", true), ("a,b/n/var/persist/etc", false), ("a,b/store", false)]
        {
            assert_eq!(matcher.is_match(path), matches, "{path}");
        }
    }
}
