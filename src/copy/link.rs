//! Hard links across the whole run: which source inode already has a copy.
//!
//! The first name to arrive copies; names that arrive meanwhile wait in the
//! group and are linked by the thread that copies. A group is forgotten when all
//! names that the inode has were seen, so memory follows open groups, not files.

use super::Override;
use super::dir::OpenDir;
use super::node::DirNode;
use crate::groups::Key;
use crate::journal::Row;
use crate::path::{Name, RelPath};
use crate::sys::stat::Stat;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A name that waits for its group's first copy. It holds its directory.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) dir: Arc<OpenDir>,
    pub(super) name: Name,
    pub(super) stat: Stat,
    /// What the plan says of this name.
    pub(super) own: Override,
}

impl Waiter {
    /// The group that it belongs to.
    pub(super) fn key(&self) -> Key {
        (self.stat.dev, self.stat.ino, self.dir.place.share)
    }
}

/// Where a copied inode can be linked from.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Copied by this run.
    Node(Arc<DirNode>),
    /// Found in the journal: the directory's path below the root.
    Path(RelPath),
}

/// A finished copy.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    pub(super) place: Place,
    pub(super) name: Name,
    pub(super) row: Arc<Row>,
}

/// What became of one entry.
#[derive(Debug)]
pub(super) enum Arrived {
    /// It is complete; if its inode has further names, here is what they link to.
    Yes(Option<Copied>),
    /// It is not there, and a problem says why.
    No,
}

#[derive(Debug)]
enum Group {
    Copying(Vec<Waiter>),
    Copied(Copied),
}

/// What to do with a name.
#[derive(Debug)]
pub(super) enum Claim {
    /// Copy it, then call [`Links::copied`] or [`Links::failed`].
    First(Waiter),
    /// Link it to this.
    Link(Waiter, Copied),
    /// It waits; whoever copies the first name will see to it.
    Waits,
}

/// All groups of the run.
#[derive(Debug, Default)]
pub(super) struct Links {
    groups: Mutex<HashMap<Key, (Group, u32)>>,
    /// Of inodes with more names than the target allows: the copy that has room for the next.
    pub(super) further: Mutex<HashMap<Key, Copied>>,
}

impl Links {
    pub(super) fn claim(&self, waiter: Waiter) -> Claim {
        let key = waiter.key();
        let mut groups = self.lock();
        let Some((group, left)) = groups.get_mut(&key) else {
            groups.insert(key, (Group::Copying(Vec::new()), waiter.stat.nlink.saturating_sub(1)));
            return Claim::First(waiter);
        };
        *left = left.saturating_sub(1);
        match group {
            Group::Copying(waiters) => {
                waiters.push(waiter);
                Claim::Waits
            }
            Group::Copied(copied) => {
                let copied = copied.clone();
                if *left == 0 {
                    groups.remove(&key);
                }
                Claim::Link(waiter, copied)
            }
        }
    }

    /// Further names link to `copied` from here on.
    pub(super) fn replace(&self, key: Key, copied: Copied) {
        if let Some((group, _)) = self.lock().get_mut(&key) {
            *group = Group::Copied(copied);
        }
    }

    /// Records the first copy and hands out those who waited for it.
    pub(super) fn copied(&self, key: Key, copied: Copied) -> Vec<Waiter> {
        let mut groups = self.lock();
        let Some((group, left)) = groups.get_mut(&key) else { return Vec::new() };
        let before = std::mem::replace(group, Group::Copied(copied));
        if *left == 0 {
            groups.remove(&key);
        }
        match before {
            Group::Copying(waiters) => waiters,
            Group::Copied(_) => Vec::new(),
        }
    }

    /// Forgets the group; those who waited start anew.
    pub(super) fn failed(&self, key: Key) -> Vec<Waiter> {
        match self.lock().remove(&key) {
            Some((Group::Copying(waiters), _)) => waiters,
            _ => Vec::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, (Group, u32)>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
