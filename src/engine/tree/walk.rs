//! A read-only walk by directory descriptors, for counting: work-stealing, in inode order, with
//! bounded memory, and never through a symlink.

use super::budget::FdBudget;
use super::descriptors::share;
use super::node::SourceNode;
use super::scheduler::{self, Tasks, Visitor, Worker};
use crate::base::path::{Name, RelPath};
use crate::sys::Errno;
use crate::sys::dir::{DirEntry, SourceDir};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat};
use std::sync::Arc;

/// What is done with the entries of a walk.
pub trait Visit: Sync {
    /// What a directory hands to its entries.
    type Place: Send + Sync;

    /// The entry `name` of the directory `dir`. Returns what it hands on, for a directory that is to
    /// be entered.
    fn entry(&self, above: &Self::Place, dir: &SourceDir, name: &Name, stat: &Stat) -> Option<Self::Place>;

    /// Something that could not be read.
    fn unreadable(&self, what: Unread<'_, Self::Place>);
}

/// What a walk could not read.
#[derive(Debug)]
pub enum Unread<'a, P> {
    /// An entry of a directory.
    Entry(&'a P, &'a Name, Errno),
    /// A directory, or the rest of it.
    Directory(&'a P, Errno),
    /// Everything: the threads could not be started.
    Everything,
}

/// How a walk works.
#[derive(Clone, Copy, Debug)]
pub struct WalkOptions {
    /// Threads of its pool.
    pub threads: usize,
    /// How many directories may stay open, beyond the work in them.
    pub directories: i64,
    /// How deep tasks of a thread may nest.
    pub inline: u32,
    /// The file system answers late.
    pub late: bool,
}

impl WalkOptions {
    /// What `threads` may use of a limit of `open_files`.
    #[must_use]
    pub fn new(open_files: u64, threads: usize) -> Self {
        let share = share(open_files, threads);
        Self { threads, directories: share.directories, inline: share.inline, late: false }
    }
}

/// A directory that is walked.
struct WalkedDir<P> {
    node: Arc<SourceNode>,
    place: P,
}

impl<P> Drop for WalkedDir<P> {
    fn drop(&mut self) {
        self.node.close();
    }
}

struct RunningWalk<'v, V> {
    visit: &'v V,
    tasks: Tasks,
}

/// Where a walk begins: a directory of the backup, by the path that the plan names.
pub struct Start<P> {
    /// Below the backup.
    pub path: RelPath,
    /// The directory, open.
    pub dir: SourceDir,
    /// Its stat.
    pub stat: Stat,
    /// What it hands to its entries.
    pub place: P,
}

/// Walks everything below `starts`. If the pool cannot be started, everything counts as unreadable.
pub fn walk<V: Visit>(root: &Arc<Root>, starts: Vec<Start<V::Place>>, visit: &V, means: WalkOptions) {
    let budget = FdBudget::new(means.directories);
    let walk = RunningWalk { visit, tasks: Tasks::of_source(means.inline, means.late) };
    let Ok(pool) = super::pool::start(means.threads, "walk") else {
        return visit.unreadable(Unread::Everything);
    };
    pool.scope(|scope| {
        for Start { path, dir, stat, place } in starts {
            let node = SourceNode::entry(root, &path, dir, &stat, &budget);
            scheduler::start(&walk, Worker::new(scope), Arc::new(WalkedDir { node, place }));
        }
    });
}

impl<V: Visit> Visitor for RunningWalk<'_, V> {
    type Dir = WalkedDir<V::Place>;
    type Handle = SourceDir;
    type Reading = ();

    fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    fn open(&self, dir: &Self::Dir) -> Result<Arc<SourceDir>, Errno> {
        dir.node.open()
    }

    fn enter<'s>(&'s self, _: Worker<'_, 's>, above: &Arc<Self::Dir>, name: &Name) -> Option<Arc<Self::Dir>> {
        let src = self.opened(above)?;
        let (stat, place) = self.entry(above, &src, name)?;
        match src.open_dir(name) {
            Ok(dir) => Some(Arc::new(WalkedDir { node: SourceNode::below(&above.node, name, dir, &stat), place })),
            Err(errno) => {
                self.visit.unreadable(Unread::Directory(&place, errno));
                None
            }
        }
    }

    fn pre_visit<'s>(&'s self, _: Worker<'_, 's>, _: &Arc<Self::Dir>) {}

    /// Every name is stat'ed: that shows a type that the file system does not report here.
    fn sort(&self, _: &Self::Dir, (): &mut (), entry: &DirEntry) -> Option<Kind> {
        Some(entry.kind.unwrap_or(Kind::File))
    }

    fn leaves<'s>(&'s self, worker: Worker<'_, 's>, dir: &Arc<Self::Dir>, names: Vec<(Name, Kind)>) {
        let Some(src) = self.opened(dir) else { return };
        for (name, _) in names {
            match src.cached_stat_at(&name) {
                Ok(stat) if stat.kind == Kind::Directory => scheduler::spawn_subdirectory(self, worker, dir, name),
                Ok(stat) => drop(self.visit.entry(&dir.place, &src, &name, &stat)),
                Err(errno) => self.visit.unreadable(Unread::Entry(&dir.place, &name, errno)),
            }
        }
    }

    fn was_read(&self, dir: &Self::Dir, (): (), result: Result<(), Errno>) {
        if let Err(errno) = result {
            self.visit.unreadable(Unread::Directory(&dir.place, errno));
        }
    }
}

impl<V: Visit> RunningWalk<'_, V> {
    fn opened(&self, dir: &WalkedDir<V::Place>) -> Option<Arc<SourceDir>> {
        dir.node.open().map_err(|errno| self.visit.unreadable(Unread::Directory(&dir.place, errno))).ok()
    }

    /// Visits what may be a directory; returns it if it is to be entered.
    fn entry(&self, above: &WalkedDir<V::Place>, src: &SourceDir, name: &Name) -> Option<(Stat, V::Place)> {
        match src.cached_stat_at(name) {
            Ok(stat) => {
                let place = self.visit.entry(&above.place, src, name, &stat);
                place.filter(|_| stat.kind == Kind::Directory).map(|place| (stat, place))
            }
            Err(errno) => {
                self.visit.unreadable(Unread::Entry(&above.place, name, errno));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::root::Root;
    use crate::sys::stat::stat_fd;
    use rustix::fs::{Mode, OFlags, mkdirat, openat};
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[derive(Default)]
    struct Counted {
        entries: AtomicU64,
        deepest: AtomicU64,
        unreadable: AtomicU64,
    }

    impl Visit for Counted {
        type Place = u64;

        fn entry(&self, above: &u64, _: &SourceDir, _: &Name, _: &Stat) -> Option<u64> {
            self.entries.fetch_add(1, Relaxed);
            self.deepest.fetch_max(above + 1, Relaxed);
            Some(above + 1)
        }

        fn unreadable(&self, _: Unread<'_, u64>) {
            self.unreadable.fetch_add(1, Relaxed);
        }
    }

    /// Far below PATH_MAX, and with more directories than may stay open.
    #[test]
    fn every_entry_is_visited_once_at_any_depth() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut at = rustix::fs::open(place.path(), flags, Mode::empty()).expect("open");
        let (depth, name) = (700_u64, "a name of twenty byt");
        for level in 0..depth {
            for extra in 0..3 {
                mkdirat(&at, format!("{level}-{extra}"), Mode::RWXU).expect("mkdir");
            }
            mkdirat(&at, name, Mode::RWXU).expect("mkdir");
            at = openat(&at, name, flags, Mode::empty()).expect("open");
        }
        let root = Arc::new(Root::open(place.path()).expect("open"));
        for (threads, directories, inline) in [(1, 0, 1), (8, 3, 4)] {
            let fd = root.open_in(&RelPath::root(), flags).expect("open");
            let stat = stat_fd(&fd).expect("stat");
            let start = Start { path: RelPath::root(), dir: SourceDir::from_fd(fd), stat, place: 0 };
            let counted = Counted::default();
            walk(&root, vec![start], &counted, WalkOptions { threads, directories, inline, late: threads == 1 });
            assert_eq!(counted.entries.into_inner(), 4 * depth);
            assert_eq!(counted.deepest.into_inner(), depth);
            assert_eq!(counted.unreadable.into_inner(), 0);
        }
    }
}
