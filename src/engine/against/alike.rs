//! Names that may be links to one inode of the backup, where its file system's numbers do not
//! prove it: number, stat and content are the same.

use crate::base::path::RelPath;
use crate::engine::compare::links::{apart, is_split};
use crate::engine::copy::InodeKey;
use crate::engine::events::problem::Problem;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// All such names of a comparison.
#[derive(Default)]
pub(super) struct Alike(Mutex<HashMap<InodeKey, Group>>);

struct Group {
    first: RelPath,
    /// The last name whose inode on the target is not the first name's.
    other: Option<(u32, RelPath)>,
    nlink: u32,
    names: usize,
    inodes: HashSet<u64>,
}

impl Alike {
    /// Adds a name of the target, whose inode there is `ino`; the source's has `nlink` names.
    pub(super) fn add(&self, key: InodeKey, nlink: u32, (target, path): (u32, &RelPath), ino: u64) {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Group { first: path.clone(), other: None, nlink, names: 0, inodes: HashSet::new() };
        let group = groups.entry(key).or_insert_with(new);
        group.names += 1;
        if group.inodes.insert(ino) && group.inodes.len() > 1 {
            group.other = Some((target, path.clone()));
        }
    }

    /// Groups that are more inodes on the target than in the backup.
    pub(super) fn problems(&self) -> Vec<(u32, Problem)> {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let split = groups.drain().map(|(_, group)| group).filter_map(|group| {
            let is_split = is_split(group.inodes.len(), group.names, group.nlink);
            let (target, path) = group.other.filter(|_| is_split)?;
            Some((target, apart(path, group.first)))
        });
        split.collect()
    }
}
