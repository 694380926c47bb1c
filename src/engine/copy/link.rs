//! Hard links across the whole run: which source inode already has a copy.
//!
//! The first name to arrive copies; names that arrive meanwhile wait in the group and are
//! linked by the thread that copies. A group is forgotten when all names of its inode have
//! been seen. Names outside the plan, or far away, keep it open: beyond a bound the oldest
//! groups are left to the journal, which is asked when another name turns up after all.

use super::entry::{CopyEntry, Override};
use super::node::DirNode;
use super::open_dir::OpenDir;
use crate::base::path::{Name, RelPath};
use crate::engine::groups;
use crate::engine::journal::{Row, RowAnswer};
use crate::engine::judge::{KnownContent, SourceAccess};
use crate::engine::volume::Volume;
use crate::sys::stat::{Kind, Stat};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A name that waits for its group's first copy. It holds its directory.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) dir: Arc<OpenDir>,
    pub(super) name: Name,
    pub(super) stat: Stat,
    /// Its row, when an earlier run finished it and neither side has changed since.
    pub(super) known: Option<Arc<Row>>,
    /// What the plan says of this name, and what had the name on the target when it was judged.
    pub(super) own: Override,
    pub(super) volume: Arc<Volume>,
    /// Read if the inode number alone proves nothing.
    pub(super) content: Option<KnownContent>,
}

impl Waiter {
    /// The name on its way through the other parts.
    pub(super) fn entry(&self) -> CopyEntry<'_> {
        CopyEntry { dir: &self.dir, name: &self.name, own: self.own, reader: None, recorded: &RowAnswer::Unasked }
    }

    /// Where it goes.
    pub(super) fn path(&self) -> RelPath {
        self.dir.node.path().join(&self.name)
    }

    /// The group that it belongs to: device and inode number and, where those prove nothing, the
    /// whole stat and the content.
    pub(super) fn key(&self) -> InodeKey {
        key_of(&self.stat, self.dir.position.share, self.content.as_ref())
    }

    /// The same name with a newer `stat`, if its number alone identifies the inode.
    pub(super) fn with(&self, stat: Stat) -> Option<Self> {
        let same = self.content.is_none() && (stat.dev, stat.ino) == (self.stat.dev, self.stat.ino);
        let (dir, volume) = (Arc::clone(&self.dir), Arc::clone(&self.volume));
        same.then(|| Self { dir, name: self.name.clone(), stat, own: self.own, volume, content: None, known: None })
    }

    /// Proof that it is what an earlier run copied: what was read of it, else `other`.
    pub(super) fn access<'a>(&'a self, other: SourceAccess<'a>) -> SourceAccess<'a> {
        self.content.as_ref().map_or(other, SourceAccess::Known)
    }

    /// True when `row` is of the inode that this name had when it was looked at.
    pub(super) fn is_of(&self, row: &Row) -> bool {
        let source = row.source.is_none_or(|source| (source.ino, source.ctime) == (self.stat.ino, self.stat.ctime));
        let stat = &self.stat;
        source
            && (row.kind(), row.wanted.mtime) == (stat.kind, Some(stat.mtime))
            && (stat.kind != Kind::File || row.size == stat.size)
            && (!matches!(stat.kind, Kind::CharDevice | Kind::BlockDevice) || row.rdev == stat.rdev)
            && self.content.as_ref().is_none_or(|content| content.is_of(row))
    }
}

/// The key of an inode with `stat`, whose `content` was read where its number proves nothing.
pub(crate) fn key_of(stat: &Stat, share: u32, content: Option<&KnownContent>) -> InodeKey {
    let print = content.map_or(0, |content| {
        let mut hasher = DefaultHasher::new();
        (stat.kind, stat.size, stat.mode, stat.uid, stat.gid, stat.nlink, stat.rdev).hash(&mut hasher);
        let times = [Some(stat.mtime), Some(stat.ctime), stat.btime];
        times.map(|time| time.map(|time| (time.sec, time.nsec))).hash(&mut hasher);
        match content {
            KnownContent::Digest(digest) => digest.bytes.hash(&mut hasher),
            KnownContent::Text(text) => text.hash(&mut hasher),
            KnownContent::None => {}
        }
        hasher.finish()
    });
    ((stat.dev, stat.ino, share), print)
}

/// Where a copied inode can be linked from.
#[derive(Clone, Debug)]
pub(super) enum CopiedAt {
    /// Copied by this run.
    Node(Arc<DirNode>),
    /// Found in the journal: the directory's path below the root.
    Path(RelPath),
}

/// A finished copy.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    pub(super) at: CopiedAt,
    pub(super) name: Name,
    pub(super) row: Arc<Row>,
}

/// The result for one entry.
#[derive(Debug)]
pub(super) enum CopyResult {
    /// It is complete; if its inode has further names, here is what they link to.
    Complete(Option<Copied>),
    /// It is not there, and a problem says why.
    Failed,
}

#[derive(Debug)]
enum LinkGroup {
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
    /// It waits; the thread that copies the first name will link it.
    Waits,
}

/// A source inode, as [`Waiter::key`] tells it from others.
pub(crate) type InodeKey = (groups::GroupKey, u64);

/// Copied groups that are kept in memory, each about 1 KiB.
const MOST_GROUPS: usize = 8192;
/// Bytes of their rows.
const MOST_BYTES: u64 = 16 << 20;

/// The groups that are open.
#[derive(Debug, Default)]
struct OpenGroups {
    /// With the number of names that are still to come.
    open: HashMap<InodeKey, (LinkGroup, u32)>,
    /// Those that were copied, oldest first; some are already closed.
    order: VecDeque<InodeKey>,
    /// Bytes of the rows of `order`, as of their copy.
    bytes: u64,
}

impl OpenGroups {
    fn is_full(&self) -> bool {
        self.order.len() >= MOST_GROUPS || self.bytes >= MOST_BYTES
    }

    /// Drops closed groups from the order.
    fn tidy(&mut self) {
        let Self { open, order, bytes } = self;
        *bytes = 0;
        order.retain(|key| match open.get(key) {
            Some((LinkGroup::Copied(copied), _)) => {
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
    groups: Mutex<OpenGroups>,
    /// A thread is about to leave some to the journal.
    shedding: AtomicBool,
    /// For inodes with more names than the target allows: the copy that has room for the next one.
    pub(super) further: Mutex<HashMap<InodeKey, Copied>>,
}

impl Links {
    pub(super) fn claim(&self, waiter: Waiter) -> Claim {
        let key = waiter.key();
        let groups = &mut self.lock().open;
        let Some((group, left)) = groups.get_mut(&key) else {
            groups.insert(key, (LinkGroup::Copying(Vec::new()), waiter.stat.nlink.saturating_sub(1)));
            return Claim::First(waiter);
        };
        *left = left.saturating_sub(1);
        match group {
            LinkGroup::Copying(waiters) => {
                waiters.push(waiter);
                Claim::Waits
            }
            LinkGroup::Copied(copied) => {
                let copied = copied.clone();
                if *left == 0 {
                    groups.remove(&key);
                }
                Claim::Link(waiter, copied)
            }
        }
    }

    /// Further names link to `copied` from here on.
    pub(super) fn replace(&self, key: InodeKey, copied: Copied) {
        if let Some((group, _)) = self.lock().open.get_mut(&key) {
            *group = LinkGroup::Copied(copied);
        }
    }

    /// Records the first copy and returns the names that waited for it.
    pub(super) fn copied(&self, key: InodeKey, copied: Copied) -> Vec<Waiter> {
        let mut groups = self.lock();
        let OpenGroups { open, order, bytes } = &mut *groups;
        let Some((group, left)) = open.get_mut(&key) else { return Vec::new() };
        let size = copied.row.heap_bytes();
        let before = std::mem::replace(group, LinkGroup::Copied(copied));
        if *left == 0 {
            open.remove(&key);
        } else {
            order.push_back(key);
            *bytes += size;
        }
        match before {
            LinkGroup::Copying(waiters) => waiters,
            LinkGroup::Copied(_) => Vec::new(),
        }
    }

    /// Forgets the group; the names that waited start again.
    pub(super) fn failed(&self, key: InodeKey) -> Vec<Waiter> {
        match self.lock().open.remove(&key) {
            Some((LinkGroup::Copying(waiters), _)) => waiters,
            _ => Vec::new(),
        }
    }

    /// Leaves the older half of the groups to the journal when there are too many; `flush` makes
    /// sure that the journal has them.
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
        // Those that arrive meanwhile may not be recorded yet, but they are younger.
        let old: Vec<InodeKey> = {
            let mut groups = self.lock();
            let half = groups.order.len() / 2;
            groups.order.drain(..half).collect()
        };
        flush();
        let mut groups = self.lock();
        for key in old {
            if let Some((LinkGroup::Copied(_), _)) = groups.open.get(&key) {
                groups.open.remove(&key);
            }
        }
        groups.tidy();
        drop(groups);
        self.shedding.store(false, Ordering::Release);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OpenGroups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
