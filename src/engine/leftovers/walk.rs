//! The walk through the directories of the target, which finds what may be left there.

use super::removal::{LeftoverCount, LeftoverRemoval, Suspects, is_closed};
use crate::base::path::{Name, RelPath};
use crate::engine::context::RunContext;
use crate::engine::events::stop::StopReason;
use crate::engine::journal::{JournalError, Reader};
use crate::engine::tree::budget::FdBudget;
use crate::engine::tree::node::TargetNode;
use crate::engine::tree::pool;
use crate::engine::tree::scheduler::{self, Tasks, Visitor, Worker};
use crate::engine::tree::temporary::is_temporary;
use crate::sys::Errno;
use crate::sys::dir::{DirEntry, TargetDir, open_target};
use crate::sys::stat::{Kind, Stat};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Few descriptors: a limit of 64 open files is enough for any tree.
const THREADS: usize = 2;
const DIRECTORIES: i64 = 8;
const INLINE: u32 = 4;

/// A walk that looks for leftovers.
pub(super) struct LeftoverWalk<'a> {
    run: &'a RunContext,
    /// Device and inode number of the journal's directory.
    state: (u64, u64),
    tasks: Tasks,
    /// One directory at a time: removals put its times back.
    removal: Mutex<LeftoverRemoval<'a>>,
}

/// A directory that is searched.
pub(super) struct SearchedDir {
    node: Arc<TargetNode>,
    path: RelPath,
    stat: Stat,
}

impl Drop for SearchedDir {
    fn drop(&mut self) {
        self.node.close();
    }
}

impl<'a> LeftoverWalk<'a> {
    pub(super) fn new(run: &'a RunContext, reader: Reader, state: (u64, u64)) -> Self {
        Self { run, state, tasks: Tasks::new(INLINE), removal: Mutex::new(LeftoverRemoval::new(run, reader)) }
    }

    /// Searches the destinations of entries: their own temporary names, and everything below them.
    pub(super) fn run(self, places: &[RelPath]) -> LeftoverCount {
        match pool::start(THREADS, "leftovers") {
            Ok(pool) => pool.scope(|scope| {
                let budget = FdBudget::new(DIRECTORIES);
                for place in places {
                    if self.is_stopped() {
                        return;
                    }
                    self.heed(|removal| removal.entry(place));
                    if let Some(dir) = self.top(place, &budget) {
                        scheduler::start(&self, Worker::new(scope), Arc::new(dir));
                    }
                }
            }),
            Err(error) => {
                self.run.stop.set(StopReason::NoThread(error));
                self.removal().found.all_gone = false;
            }
        }
        self.removal.into_inner().unwrap_or_else(PoisonError::into_inner).found
    }

    fn top(&self, path: &RelPath, budget: &Arc<FdBudget>) -> Option<SearchedDir> {
        let root = &self.run.mapping.root;
        let opened = open_target(root, path).and_then(|dir| {
            let stat = dir.stat()?;
            Ok((TargetNode::top(root, path, dir, budget)?, stat))
        });
        let (node, stat) = opened.map_err(|errno| self.removal().unreadable(path, errno)).ok()?;
        self.searched(node, path.clone(), stat)
    }

    /// The journal's own directory is not searched.
    fn searched(&self, node: Arc<TargetNode>, path: RelPath, stat: Stat) -> Option<SearchedDir> {
        ((stat.dev, stat.ino) != self.state).then_some(SearchedDir { node, path, stat })
    }

    fn removal(&self) -> MutexGuard<'_, LeftoverRemoval<'a>> {
        self.removal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A journal that cannot be read ends the run, and the search with it.
    fn heed<T>(&self, step: impl FnOnce(&mut LeftoverRemoval<'a>) -> Result<T, JournalError>) -> Option<T> {
        let mut removal = self.removal();
        let done = step(&mut removal);
        removal.found.all_gone &= done.is_ok();
        self.run.heed(done)
    }
}

impl Visitor for LeftoverWalk<'_> {
    type Dir = SearchedDir;
    type Handle = TargetDir;
    type Reading = Suspects;

    fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    fn is_stopped(&self) -> bool {
        self.run.stop.is_set()
    }

    fn open(&self, dir: &SearchedDir) -> Result<Arc<TargetDir>, Errno> {
        dir.node.open()
    }

    fn enter<'s>(&'s self, _: Worker<'_, 's>, above: &Arc<SearchedDir>, name: &Name) -> Option<Arc<SearchedDir>> {
        if self.is_stopped() {
            return None;
        }
        let path = above.path.join(name);
        let opened = above.node.open().and_then(|dir| dir.open_dir(name));
        let (dir, stat) = opened
            .and_then(|dir| dir.stat().map(|stat| (dir, stat)))
            .map_err(|errno| self.removal().unreadable(&path, errno))
            .ok()?;
        // Another file system only if a run has copied to it.
        if stat.dev != above.stat.dev && self.heed(|removal| removal.reader.find_path(&path))?.is_none() {
            return None;
        }
        self.searched(TargetNode::below(&above.node, name, dir, &stat), path, stat).map(Arc::new)
    }

    fn pre_visit<'s>(&'s self, _: Worker<'_, 's>, _: &Arc<SearchedDir>) -> Suspects {
        Suspects::default()
    }

    fn sort(&self, dir: &SearchedDir, suspects: &mut Suspects, entry: &DirEntry) -> Option<Kind> {
        if is_temporary(&entry.name) {
            suspects.temporaries.push(entry.name.clone());
            return None;
        }
        let looked = || dir.node.open().and_then(|opened| opened.stat_at(&entry.name)).ok().map(|stat| stat.kind);
        let kind = entry.kind.or_else(looked);
        if kind == Some(Kind::File) && is_closed(&dir.stat) {
            suspects.halves.push(entry.name.clone());
        }
        kind.filter(|kind| *kind == Kind::Directory)
    }

    /// Directories alone go on from `sort`.
    fn leaves<'s>(&'s self, _: Worker<'_, 's>, _: &Arc<SearchedDir>, _: Vec<(Name, Kind)>) {}

    fn was_read(&self, dir: &SearchedDir, suspects: Suspects, result: Result<(), Errno>) {
        let opened = dir.node.open();
        if let Some(errno) = result.err().or(opened.as_ref().err().copied()) {
            self.removal().unreadable(&dir.path, errno);
        }
        if let Ok(opened) = opened {
            self.heed(|removal| removal.directory((&opened, &dir.path), &dir.stat, suspects));
        }
    }
}
