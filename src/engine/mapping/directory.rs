//! The smallest mapping: one directory to one directory.

use super::model::{Asked, Attrs, Entry, EntryKind, Mapping, Need, Presence, Target};
use super::renumber::Renumbering;
use crate::base::path::RelPath;
use ignore::gitignore::Gitignore;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Why there is no such mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The name becomes a file name.
    #[error("`{0}` cannot name a journal: use ASCII letters, digits, `.`, `_` and `-`, and no dot at the start")]
    Name(String),
    /// It has no name in a directory of its own.
    #[error("{0} is not a destination: name the directory to create, as in /mnt/disk/photos")]
    Destination(String),
    /// A relative path, and no current directory.
    #[error("the current directory is not known: {0}")]
    Current(String),
}

impl Mapping {
    /// Everything below `from`, to `to`, whose parent exists. `name` names the journal, which is in
    /// `.persistcp` on the target's file system: a run with the same name goes on where the last one
    /// ended.
    pub fn directory(name: &str, from: &Path, to: &Path) -> Result<Self, MappingError> {
        if !Self::is_name(name) {
            return Err(MappingError::Name(name.to_string()));
        }
        let absolute = |path| std::path::absolute(path).map_err(|error| MappingError::Current(error.to_string()));
        let (from, to) = (absolute(from)?, absolute(to)?);
        let last = to.file_name().and_then(|last| RelPath::new(last.as_bytes()).ok());
        let (Some(root), Some(dst)) = (to.parent(), last) else {
            return Err(MappingError::Destination(to.display().to_string()));
        };
        let (src, need) = (RelPath::root(), Need::Required);
        let entry = Entry {
            src: src.clone(),
            real: src.clone(),
            link: None,
            follow: None,
            dst: dst.clone(),
            kind: EntryKind::Tree,
            need,
            uid: None,
            gid: None,
            mode: None,
            presence: Presence::Present,
        };
        let asked = Asked { target: name.to_string(), src: src.clone(), dst: dst.clone(), need, pattern: None };
        let target = Target {
            name: name.to_string(),
            from: src,
            to: dst,
            is_map: true,
            need,
            parents: Attrs { uid: 0, gid: 0, mode: 0o755 },
            exclude: Vec::new(),
            excluded: Gitignore::empty(),
            entries: vec![entry],
        };
        Ok(Self {
            name: name.to_string(),
            source: from,
            root: root.to_path_buf(),
            targets: vec![target],
            fixups: Vec::new(),
            drift: Vec::new(),
            id_conflicts: Vec::new(),
            renumbering: Renumbering::default(),
            id_warnings: Vec::new(),
            notes: Vec::new(),
            asked: vec![asked],
            state: None,
        })
    }

    /// True for a text that needs no quoting anywhere: it becomes a file name.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) && name.len() <= 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_has_a_name_and_so_has_the_journal() {
        let directory = |name, to: &str| Mapping::directory(name, Path::new("/from"), Path::new(to));
        let mapping = directory("photos", "/mnt/disk/photos").expect("a good mapping");
        assert_eq!(
            (mapping.root.as_path(), mapping.targets[0].to.to_string()),
            (Path::new("/mnt/disk"), "/photos".into())
        );
        for to in ["/", "/mnt/.."] {
            assert_eq!(directory("photos", to).map(drop), Err(MappingError::Destination(to.into())));
        }
        for name in ["", ".photos", "a/b", "ä"] {
            assert_eq!(directory(name, "/to").map(drop), Err(MappingError::Name(name.into())));
        }
    }
}
