//! Names that are hard links to one inode of the backup should be links to one inode of the
//! target. Each pass sees a different part of that: a name and its row, all rows of a group, or
//! names whose content alone says that they may be links. What is wrong is decided here.

use crate::base::path::RelPath;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Disk;
use crate::engine::events::value::PropertyValue;
use crate::engine::journal::Row;
use crate::sys::stat::{Kind, Stat};
use std::collections::HashMap;

/// No file system with hard links stops at fewer (minix: 250; NTFS: 1024; ext4: 65 000).
const FEWEST_AT_LIMIT: usize = 250;

/// True when an inode with so many names may be one to which its file system gives no more.
pub(crate) const fn is_at_limit(names: usize) -> bool {
    names >= FEWEST_AT_LIMIT
}

/// True when `names`, of inodes with `nlink` names each, have more `inodes` than they need. If
/// numbers prove nothing, as many identical files as these names are links of may exist.
pub(crate) fn is_split(inodes: usize, names: usize, nlink: u32) -> bool {
    inodes > names.div_ceil(nlink.max(1) as usize)
}

/// The problem of a name that has another inode than `kept`.
pub(crate) fn apart(path: RelPath, kept: RelPath) -> Problem {
    Problem::differs(path, ProblemKind::Link, PropertyValue::InodeOf(kept), PropertyValue::OwnInode)
}

/// The problem of a single name that has another inode than its row: names of one group were all
/// recorded with the inode that they share. An inode with as many names is the whole group,
/// restored from elsewhere. With FUSE the numbers may be made up each time, and tell nothing.
pub(super) fn moved(disk: Disk, path: &RelPath, row: &Row, stat: &Stat) -> Option<Problem> {
    let moved = stat.ino != row.dst_ino && stat.nlink != row.nlink;
    let tells = row.nlink > 1 && stat.kind != Kind::Directory && !disk.bare;
    let inode = PropertyValue::InodeNumber;
    (moved && tells).then(|| Problem::differs(path.clone(), ProblemKind::Link, inode(row.dst_ino), inode(stat.ino)))
}

/// Names of one inode of the backup, by the inodes that they are on the target.
#[derive(Debug)]
pub(crate) struct NamesByInode<N>(HashMap<u64, Vec<N>>);

impl<N> Default for NamesByInode<N> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<N> NamesByInode<N> {
    pub(crate) fn add(&mut self, ino: u64, name: N) {
        self.0.entry(ino).or_default().push(name);
    }

    /// If the names have too many inodes: a name of the inode that is kept, the one with the most
    /// names, and the names of the others. `nlink` gives the number of names that a name's inode
    /// has in the backup. A group that reached its file system's limit of names is as it should be.
    pub(crate) fn split(self, nlink: impl Fn(&N) -> u32) -> Option<(N, Vec<N>)> {
        let mut inodes: Vec<_> = self.0.into_values().collect();
        let (count, names) = (inodes.len(), inodes.iter().map(Vec::len).sum());
        inodes.sort_by_key(|names| std::cmp::Reverse(names.len()));
        let mut inodes = inodes.into_iter();
        let largest = inodes.next().filter(|largest| !is_at_limit(largest.len()))?;
        let kept = largest.into_iter().next().filter(|kept| is_split(count, names, nlink(kept)))?;
        Some((kept, inodes.flatten().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(names: &[(u64, &'static str)], nlink: u32) -> Option<(&'static str, Vec<&'static str>)> {
        let mut group = NamesByInode::default();
        names.iter().for_each(|(ino, name)| group.add(*ino, *name));
        group.split(|_| nlink)
    }

    #[test]
    fn the_inode_with_most_names_stays() {
        assert_eq!(split(&[(7, "a"), (8, "b"), (8, "c")], 3), Some(("b", vec!["a"])));
        assert_eq!(split(&[(9, "d")], 3), None);
        // Two files of two names each, of the same content.
        assert_eq!(split(&[(7, "a"), (7, "b"), (8, "c"), (8, "d")], 2), None);
    }

    #[test]
    fn a_group_at_the_limit_of_its_file_system_is_whole() {
        let mut group = NamesByInode::default();
        (0..FEWEST_AT_LIMIT).for_each(|_| group.add(1, "full"));
        group.add(2, "further");
        assert!(group.split(|_| 1000).is_none());
    }
}
