//! Hard links across the whole run: which source inode already has a copy.
//!
//! The first name to arrive copies; names that arrive meanwhile wait in the
//! group and are linked by the thread that copies. A group is forgotten when all
//! names that the inode has were seen. Names that lie outside the plan, or far away,
//! keep it open: beyond a bound the oldest groups are left to the journal, which is
//! asked for them when a name comes after all.

use super::Override;
use super::dir::OpenDir;
use super::node::DirNode;
use crate::groups::Key;
use crate::journal::Row;
use crate::path::{Name, RelPath};
use crate::sys::stat::Stat;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Copied groups that are kept in memory, each about 1 KiB.
const MOST_GROUPS: usize = 8192;
/// Bytes of their rows.
const MOST_BYTES: u64 = 16 << 20;

/// The groups that are open.
#[derive(Debug, Default)]
struct Groups {
    /// With the number of names that are still to come.
    open: HashMap<Key, (Group, u32)>,
    /// Those that were copied, the oldest first; some are closed by now.
    order: VecDeque<Key>,
    /// Bytes that rows of `order` took when they were copied.
    bytes: u64,
}

impl Groups {
    fn is_full(&self) -> bool {
        self.order.len() >= MOST_GROUPS || self.bytes >= MOST_BYTES
    }

    /// Forgets the order of groups that are closed.
    fn tidy(&mut self) {
        let Self { open, order, bytes } = self;
        *bytes = 0;
        order.retain(|key| match open.get(key) {
            Some((Group::Copied(copied), _)) => {
                *bytes += copied.row.heap_bytes();
                true
            }
            _ => false,
        });
    }
}

/// All groups of the run.
#[derive(Debug, Default)]
pub(super) struct Links {
    groups: Mutex<Groups>,
    /// Some groups are known to the journal alone.
    shed: AtomicBool,
    /// A thread is about to leave some to it.
    shedding: AtomicBool,
    /// Of inodes with more names than the target allows: the copy that has room for the next.
    pub(super) further: Mutex<HashMap<Key, Copied>>,
}

impl Links {
    pub(super) fn claim(&self, waiter: Waiter) -> Claim {
        let key = waiter.key();
        let groups = &mut self.lock().open;
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
        if let Some((group, _)) = self.lock().open.get_mut(&key) {
            *group = Group::Copied(copied);
        }
    }

    /// Records the first copy and hands out those who waited for it.
    pub(super) fn copied(&self, key: Key, copied: Copied) -> Vec<Waiter> {
        let mut groups = self.lock();
        let Groups { open, order, bytes } = &mut *groups;
        let Some((group, left)) = open.get_mut(&key) else { return Vec::new() };
        let size = copied.row.heap_bytes();
        let before = std::mem::replace(group, Group::Copied(copied));
        if *left == 0 {
            open.remove(&key);
        } else {
            order.push_back(key);
            *bytes += size;
        }
        match before {
            Group::Copying(waiters) => waiters,
            Group::Copied(_) => Vec::new(),
        }
    }

    /// Forgets the group; those who waited start anew.
    pub(super) fn failed(&self, key: Key) -> Vec<Waiter> {
        match self.lock().open.remove(&key) {
            Some((Group::Copying(waiters), _)) => waiters,
            _ => Vec::new(),
        }
    }

    /// Leaves the older half of the groups to the journal when there are too many; `flush`
    /// makes sure that it has them.
    pub(super) fn shed(&self, flush: impl FnOnce()) {
        let full = {
            let mut groups = self.lock();
            if groups.is_full() {
                groups.tidy();
            }
            groups.is_full()
        };
        if !full || self.shedding.swap(true, Ordering::Acquire) {
            return;
        }
        // Those that come meanwhile may not be recorded yet: they are younger.
        let old: Vec<Key> = {
            let mut groups = self.lock();
            let half = groups.order.len() / 2;
            groups.order.drain(..half).collect()
        };
        flush();
        self.shed.store(true, Ordering::Relaxed);
        let mut groups = self.lock();
        for key in old {
            if let Some((Group::Copied(_), _)) = groups.open.get(&key) {
                groups.open.remove(&key);
            }
        }
        groups.tidy();
        drop(groups);
        self.shedding.store(false, Ordering::Release);
    }

    /// True once the journal has to be asked for groups of this run.
    pub(super) fn have_shed(&self) -> bool {
        self.shed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
