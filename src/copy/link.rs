//! Hard links across the whole run: which source inode already has a copy.
//!
//! The first name to arrive copies; names that arrive meanwhile wait in the
//! group and are linked by the thread that copies. A group is forgotten when all
//! names that the inode has were seen, so memory follows open groups, not files.

use super::Engine;
use super::dir::OpenDir;
use super::node::DirNode;
use crate::journal::Row;
use crate::path::{Name, RelPath};
use crate::progress::counters::add;
use crate::sys::stat::Stat;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A name that waits for its group's first copy. It holds its directory.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) dir: Arc<OpenDir>,
    pub(super) name: Name,
    pub(super) stat: Stat,
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

/// A source inode: device and inode number.
type Key = (u64, u64);

/// All groups of the run.
#[derive(Debug, Default)]
pub(super) struct Links {
    groups: Mutex<HashMap<Key, (Group, u32)>>,
    /// Of inodes with more names than the target allows: the copy that has room for the next.
    further: Mutex<HashMap<Key, Copied>>,
}

impl Links {
    pub(super) fn claim(&self, waiter: Waiter) -> Claim {
        let key = key(&waiter.stat);
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
    pub(super) fn replace(&self, stat: &Stat, copied: Copied) {
        if let Some((group, _)) = self.lock().get_mut(&key(stat)) {
            *group = Group::Copied(copied);
        }
    }

    /// Records the first copy and hands out those who waited for it.
    pub(super) fn copied(&self, stat: &Stat, copied: Copied) -> Vec<Waiter> {
        let mut groups = self.lock();
        let Some((group, left)) = groups.get_mut(&key(stat)) else { return Vec::new() };
        let before = std::mem::replace(group, Group::Copied(copied));
        if *left == 0 {
            groups.remove(&key(stat));
        }
        match before {
            Group::Copying(waiters) => waiters,
            Group::Copied(_) => Vec::new(),
        }
    }

    /// Forgets the group; those who waited start anew.
    pub(super) fn failed(&self, stat: &Stat) -> Vec<Waiter> {
        match self.lock().remove(&key(stat)) {
            Some((Group::Copying(waiters), _)) => waiters,
            _ => Vec::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, (Group, u32)>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// `full` has as many names as its file system allows (65 000 on ext4): the
    /// next ones go to a further copy. One thread makes it, the others wait for it.
    pub(super) fn link_further(&self, waiter: &Waiter, full: &Copied) {
        let key = key(&waiter.stat);
        let mut further = self.links.further.lock().unwrap_or_else(PoisonError::into_inner);
        let next = further.get(&key).filter(|next| next.row.dst_ino != full.row.dst_ino).cloned();
        if let Some(next) = next {
            drop(further);
            return self.link(waiter, &next);
        }
        self.problems.note(format!(
            "{}: its inode has all the hard links that the target's file system allows; \
             from here on they go to a second copy",
            waiter.dir.node.path().join(&waiter.name)
        ));
        if let Some(copied) = self.copy_apart(waiter) {
            further.insert(key, copied);
        }
    }

    /// Starts a further inode for the group.
    pub(super) fn copy_apart(&self, waiter: &Waiter) -> Option<Copied> {
        let Arrived::Yes(Some(copied)) = self.copy_alone(waiter) else { return None };
        self.links.replace(&waiter.stat, copied.clone());
        Some(copied)
    }

    /// An earlier run gave this name another inode than `copied` of the same
    /// group, and it still stands: nothing to do.
    pub(super) fn keep_apart(&self, waiter: &Waiter, known: Row) {
        let (dir, name) = (&waiter.dir, &waiter.name);
        let tally = self.tally(dir.node.target);
        self.lost_before(&dir.node, name, &known);
        if known.alias {
            add(&tally.hardlinks, 1);
        }
        add(&tally.skipped, 1);
        add(&tally.skipped_bytes, waiter.stat.size);
        let copied = Copied { place: Place::Node(Arc::clone(&dir.node)), name: name.clone(), row: Arc::new(known) };
        self.links.replace(&waiter.stat, copied);
    }
}

fn key(stat: &Stat) -> Key {
    (stat.dev, stat.ino)
}
