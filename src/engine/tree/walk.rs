//! A read-only walk by directory descriptors, for whoever counts: work-stealing,
//! in inode order, of bounded memory, and never through a symlink.

use super::budget::FdBudget;
use super::descriptors::share;
use super::source::SourceNode;
use crate::base::path::{Name, RelPath};
use crate::sys::Errno;
use crate::sys::dir::{SourceDir, read_batches};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat};
use rayon::Scope;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What is done with the entries of a walk.
pub trait Visit: Sync {
    /// What a directory hands to its entries.
    type Place: Send + Sync;

    /// The entry `name` of the directory `dir`. For a directory that is to be entered,
    /// what it hands on.
    fn entry(&self, above: &Self::Place, dir: &SourceDir, name: &Name, stat: &Stat) -> Option<Self::Place>;

    /// Something that could not be looked at.
    fn unreadable(&self, what: Unread<'_, Self::Place>);
}

/// What a walk could not look at.
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
pub struct Means {
    /// Threads of its pool.
    pub threads: usize,
    /// Directories that stay open at most, beyond the work in them.
    pub directories: i64,
    /// Tasks of a thread that run inside one another.
    pub inline: u32,
}

impl Means {
    /// What `threads` may use of a limit of `open_files`.
    #[must_use]
    pub fn new(open_files: u64, threads: usize) -> Self {
        let share = share(open_files, threads);
        Self { threads, directories: share.directories, inline: share.inline }
    }
}

/// A directory that is walked.
struct Dir<P> {
    node: Arc<SourceNode>,
    place: P,
}

impl<P> Drop for Dir<P> {
    fn drop(&mut self) {
        self.node.close();
    }
}

struct Walk<'v, V> {
    visit: &'v V,
    queued: AtomicUsize,
    inline: u32,
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

const READ: usize = 2048;
const TASK: usize = 256;
const MOST_QUEUED: usize = 512;

/// Walks everything below `starts`. A pool that cannot be started is as unreadable as what it would have read.
pub fn walk<V: Visit>(root: &Arc<Root>, starts: Vec<Start<V::Place>>, visit: &V, means: Means) {
    let budget = FdBudget::new(means.directories);
    let walk = Walk { visit, queued: AtomicUsize::new(0), inline: means.inline };
    let Ok(pool) = crate::engine::tree::pool::start(means.threads, "walk") else {
        return visit.unreadable(Unread::Everything);
    };
    pool.scope(|scope| {
        for Start { path, dir, stat, place } in starts {
            let node = SourceNode::entry(root, &path, dir, &stat, &budget);
            walk.spawn(scope, 0, Task::Directory(Dir { node, place }));
        }
    });
}

enum Task<P> {
    /// All entries of a directory.
    Directory(Dir<P>),
    /// A subdirectory that is not open yet.
    Below(Arc<Dir<P>>, Name, Box<Stat>, P),
    /// Some entries of a large directory.
    Names(Arc<Dir<P>>, Vec<Name>),
}

impl<V: Visit> Walk<'_, V> {
    /// Runs `task` on another thread, or here when enough tasks wait already.
    fn spawn<'s>(&'s self, scope: &Scope<'s>, inline: u32, task: Task<V::Place>)
    where
        V::Place: 's,
    {
        if self.queued.load(Relaxed) >= MOST_QUEUED && inline < self.inline {
            return self.run(scope, inline + 1, task);
        }
        self.queued.fetch_add(1, Relaxed);
        scope.spawn(move |scope| {
            self.queued.fetch_sub(1, Relaxed);
            self.run(scope, 0, task);
        });
    }

    fn run<'s>(&'s self, scope: &Scope<'s>, inline: u32, task: Task<V::Place>)
    where
        V::Place: 's,
    {
        match task {
            Task::Directory(dir) => self.directory(scope, inline, &Arc::new(dir)),
            Task::Names(dir, names) => self.names(scope, inline, &dir, &names),
            Task::Below(above, name, stat, place) => match above.node.open_dir(&name) {
                Ok(dir) => {
                    let node = SourceNode::below(&above.node, &name, dir, &stat);
                    drop(above);
                    self.directory(scope, inline, &Arc::new(Dir { node, place }));
                }
                Err(errno) => self.visit.unreadable(Unread::Directory(&place, errno)),
            },
        }
    }

    fn directory<'s>(&'s self, scope: &Scope<'s>, inline: u32, dir: &Arc<Dir<V::Place>>)
    where
        V::Place: 's,
    {
        let read = dir.node.open().and_then(|src| {
            read_batches(&*src, READ, |mut batch| {
                batch.sort_unstable_by_key(|entry| entry.ino);
                let mut names: Vec<Name> = batch.into_iter().map(|entry| entry.name).collect();
                while names.len() > TASK {
                    let task = names.split_off(names.len() - TASK);
                    self.spawn(scope, inline, Task::Names(Arc::clone(dir), task));
                }
                self.names(scope, inline, dir, &names);
                true
            })
        });
        if let Err(errno) = read {
            self.visit.unreadable(Unread::Directory(&dir.place, errno));
        }
    }

    fn names<'s>(&'s self, scope: &Scope<'s>, inline: u32, dir: &Arc<Dir<V::Place>>, names: &[Name])
    where
        V::Place: 's,
    {
        let src = match dir.node.open() {
            Ok(src) => src,
            Err(errno) => return self.visit.unreadable(Unread::Directory(&dir.place, errno)),
        };
        let mut below = Vec::new();
        for name in names {
            match src.cached_stat_at(name) {
                Ok(stat) => {
                    let place = self.visit.entry(&dir.place, &src, name, &stat);
                    if let Some(place) = place.filter(|_| stat.kind == Kind::Directory) {
                        below.push(Task::Below(Arc::clone(dir), name.clone(), Box::new(stat), place));
                    }
                }
                Err(errno) => self.visit.unreadable(Unread::Entry(&dir.place, name, errno)),
            }
        }
        drop(src);
        below.into_iter().for_each(|task| self.spawn(scope, inline, task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::root::Root;
    use crate::sys::stat::stat_fd;
    use rustix::fs::{Mode, OFlags, mkdirat, openat};
    use std::sync::atomic::AtomicU64;

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
            walk(&root, vec![start], &counted, Means { threads, directories, inline });
            assert_eq!(counted.entries.into_inner(), 4 * depth);
            assert_eq!(counted.deepest.into_inner(), depth);
            assert_eq!(counted.unreadable.into_inner(), 0);
        }
    }
}
