//! Hard links: names of one inode on one side that are several on the other.

use crate::base::path::RelPath;
use crate::engine::compare::links::apart;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::value::PropertyValue;
use crate::sys::stat::Stat;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// An inode, by device and number.
type Inode = (u64, u64);

/// The names whose inode has others on either side.
#[derive(Debug, Default)]
pub(super) struct LinkedPairs(Mutex<KnownPairs>);

#[derive(Debug, Default)]
struct KnownPairs {
    names: Vec<(RelPath, Inode, Inode)>,
    met: HashSet<(Inode, Inode)>,
}

impl LinkedPairs {
    /// Adds a name. False if these two inodes were met under another name and are the same ones: they need
    /// not be compared again.
    pub(super) fn is_new(&self, path: &RelPath, src: &Stat, dst: &Stat) -> bool {
        if src.nlink == 1 && dst.nlink == 1 {
            return true;
        }
        let (src, dst) = ((src.dev, src.ino), (dst.dev, dst.ino));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.names.push((path.clone(), src, dst));
        known.met.insert((src, dst))
    }

    /// Groups that are split or joined on the second side: for each inode beyond the first one of a group, its
    /// first name, held against the first name of all.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.names.sort();
        let (mut split, mut joined) = (BTreeMap::new(), BTreeMap::new());
        let mut told = HashSet::new();
        let mut found = Vec::new();
        for (path, src, dst) in &known.names {
            let (kept, inode) = split.entry(*src).or_insert((path, *dst));
            if inode != dst && told.insert((false, *src, *dst)) {
                found.push(apart(path.clone(), (*kept).clone()));
            }
            let (kept, inode) = joined.entry(*dst).or_insert((path, *src));
            if inode != src && told.insert((true, *src, *dst)) {
                let (own, other) = (PropertyValue::OwnInode, PropertyValue::InodeOf((*kept).clone()));
                found.push(Problem::differs(path.clone(), ProblemKind::Link, own, other));
            }
        }
        found
    }
}
