//! The scheduler of every walk by descriptors: directories are read in batches, in inode order,
//! and handed to a visitor as tasks of a rayon pool.
//!
//! Memory is bounded by one rule, in [`Tasks::spawn`]: when enough tasks wait, a thread runs the
//! next one itself, nested inside the current one. How deep tasks may nest is a share of the
//! limit of open files ([`super::descriptors`]).
//!
//! The scheduler does not know what is done: a [`Visitor`] says what a directory is and what to
//! do with its names, and reports its own failures.

use crate::base::path::Name;
use crate::sys::Errno;
use crate::sys::dir::{DirEntry, read_batches};
use crate::sys::stat::Kind;
use rayon::Scope;
use rustix::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Entries that are read from a directory at once; sorted by inode they are read roughly in the
/// order in which they are on the medium.
pub(crate) const BATCH: usize = 2048;
/// Names of one task: enough to pay for the task, few enough to share out.
const NAMES: usize = 64;
/// The same where each call is waited for: then the threads are to wait for as many calls as there are.
const LATE_NAMES: usize = 4;
/// Tasks that wait before threads run the next ones themselves.
const MOST_QUEUED: usize = 512;

/// What is done in a walk. The tasks of one directory run at the same time.
pub(crate) trait Visitor: Sync {
    /// A directory of the walk. It can open itself again, so that waiting ones hold no descriptor
    /// beyond the budget.
    type Dir: Send + Sync;
    /// What a directory is read from.
    type Handle: AsFd;
    /// State that is kept while the names of one directory are read.
    type Reading;

    /// The queue of the walk.
    fn tasks(&self) -> &Tasks;

    /// True when the walk is to end early.
    fn is_stopped(&self) -> bool {
        false
    }

    /// A descriptor of the directory.
    fn open(&self, dir: &Self::Dir) -> Result<Arc<Self::Handle>, Errno>;

    /// The subdirectory `name`, unless the walk does not go on below it.
    fn enter<'s>(&'s self, worker: Worker<'_, 's>, above: &Arc<Self::Dir>, name: &Name) -> Option<Arc<Self::Dir>>;

    /// Called before the names of a directory are read.
    fn pre_visit<'s>(&'s self, worker: Worker<'_, 's>, dir: &Arc<Self::Dir>) -> Self::Reading;

    /// What kind of entry a name of the directory is; `None` leaves it out of the walk.
    fn sort(&self, dir: &Self::Dir, reading: &mut Self::Reading, entry: &DirEntry) -> Option<Kind>;

    /// Some names that are not directories, in inode order.
    fn leaves<'s>(&'s self, worker: Worker<'_, 's>, dir: &Arc<Self::Dir>, names: Vec<(Name, Kind)>);

    /// Called after all names were read; tasks of the directory may still be running.
    fn was_read(&self, dir: &Self::Dir, reading: Self::Reading, result: Result<(), Errno>);

    /// One more task of the directory will end with [`Self::let_go`].
    fn hold(&self, _: &Self::Dir) {}

    /// A task of the directory has ended; the last one makes the post-visit.
    fn let_go(&self, _: &Arc<Self::Dir>) {}
}

/// The queue of one walk.
#[derive(Debug)]
pub(crate) struct Tasks {
    queued: AtomicUsize,
    /// How deep tasks may nest; each costs stack, and the descriptor of a directory that is being
    /// read.
    deepest: u32,
    /// Names of one task.
    names: usize,
}

/// Where a task runs.
#[derive(Clone, Copy)]
pub(crate) struct Worker<'a, 's> {
    scope: &'a Scope<'s>,
    /// Tasks around it on the same thread.
    depth: u32,
}

impl<'a, 's> Worker<'a, 's> {
    /// The outermost task of a thread of the pool.
    pub(crate) fn new(scope: &'a Scope<'s>) -> Self {
        Self { scope, depth: 0 }
    }
}

impl Tasks {
    /// An empty queue.
    pub(crate) fn new(deepest: u32) -> Self {
        Self { queued: AtomicUsize::new(0), deepest, names: NAMES }
    }

    /// The same for a walk of a file system that may answer `late`.
    pub(crate) fn of_source(deepest: u32, late: bool) -> Self {
        Self { names: if late { LATE_NAMES } else { NAMES }, ..Self::new(deepest) }
    }

    /// Runs `task` on another thread, or here if enough tasks are already waiting.
    fn spawn<'s>(&'s self, worker: Worker<'_, 's>, task: impl FnOnce(Worker<'_, 's>) + Send + 's) {
        if self.queued.load(Relaxed) >= MOST_QUEUED && worker.depth < self.deepest {
            return task(Worker { depth: worker.depth + 1, ..worker });
        }
        self.queue(worker, task);
    }

    /// Runs `task` on another thread.
    fn queue<'s>(&'s self, worker: Worker<'_, 's>, task: impl FnOnce(Worker<'_, 's>) + Send + 's) {
        self.queued.fetch_add(1, Relaxed);
        worker.scope.spawn(move |scope| {
            self.queued.fetch_sub(1, Relaxed);
            task(Worker::new(scope));
        });
    }
}

/// Starts the walk of `dir`, which the caller holds once, as its own task.
pub(crate) fn start<'s, V: Visitor>(visitor: &'s V, worker: Worker<'_, 's>, dir: Arc<V::Dir>)
where
    V::Dir: 's,
{
    visitor.tasks().queue(worker, move |worker| walk(visitor, worker, dir));
}

/// Reads `dir` and makes tasks of its names.
fn walk<'s, V: Visitor>(visitor: &'s V, worker: Worker<'_, 's>, dir: Arc<V::Dir>)
where
    V::Dir: 's,
{
    let mut reading = visitor.pre_visit(worker, &dir);
    let result = visitor.open(&dir).and_then(|opened| {
        read_batches(&*opened, BATCH, |mut batch| {
            batch.sort_unstable_by_key(|entry| entry.ino);
            let (mut directories, mut leaves) = (Vec::new(), Vec::new());
            for entry in batch {
                match visitor.sort(&dir, &mut reading, &entry) {
                    Some(Kind::Directory) => directories.push(entry.name),
                    Some(kind) => leaves.push((entry.name, kind)),
                    None => {}
                }
            }
            while !leaves.is_empty() {
                let rest = leaves.split_off(leaves.len().min(visitor.tasks().names));
                let names = std::mem::replace(&mut leaves, rest);
                spawn_in(visitor, worker, &dir, move |worker, dir| {
                    visitor.leaves(worker, &dir, names);
                    visitor.let_go(&dir);
                });
            }
            for name in directories {
                spawn_subdirectory(visitor, worker, &dir, name);
            }
            !visitor.is_stopped()
        })
    });
    visitor.was_read(&dir, reading, result);
    visitor.let_go(&dir);
}

/// Walks the subdirectory `name` as its own task.
pub(crate) fn spawn_subdirectory<'s, V: Visitor>(
    visitor: &'s V,
    worker: Worker<'_, 's>,
    above: &Arc<V::Dir>,
    name: Name,
) where
    V::Dir: 's,
{
    spawn_in(visitor, worker, above, move |worker, above| {
        let dir = visitor.enter(worker, &above, &name);
        // Release it before its child is walked: its descriptor may be needed there.
        visitor.let_go(&above);
        drop(above);
        if let Some(dir) = dir {
            walk(visitor, worker, dir);
        }
    });
}

fn spawn_in<'s, V: Visitor>(
    visitor: &'s V,
    worker: Worker<'_, 's>,
    dir: &Arc<V::Dir>,
    task: impl FnOnce(Worker<'_, 's>, Arc<V::Dir>) + Send + 's,
) where
    V::Dir: 's,
{
    visitor.hold(dir);
    let dir = Arc::clone(dir);
    visitor.tasks().spawn(worker, move |worker| task(worker, dir));
}
