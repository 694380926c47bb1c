//! The walk below a recursive fixup. It only looks, and sends whatever is not as wanted to the
//! thread that has the journal and decides.

use super::attributes::{has, wanted};
use crate::base::path::{Name, RelPath};
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::mapping::explicit::{Covering, Explicit};
use crate::engine::mapping::model::Mapping;
use crate::engine::tree::budget::FdBudget;
use crate::engine::tree::node::TargetNode;
use crate::engine::tree::pool;
use crate::engine::tree::scheduler::{self, Tasks, Visitor, Worker};
use crate::sys::Errno;
use crate::sys::dir::{DirEntry, TargetDir, open_target};
use crate::sys::stat::{Kind, Stat};
use crossbeam_channel::Sender;
use std::sync::Arc;

/// Few descriptors: a limit of 64 open files is enough for any tree.
const THREADS: usize = 2;
const DIRECTORIES: i64 = 8;
const INLINE: u32 = 4;

/// What the walk found.
pub(super) enum Met {
    /// An inode that is not as the fixups want it.
    Other { dir: Arc<TargetDir>, name: Name, path: RelPath, said: Explicit },
    /// What could not be read, and why.
    Failed(Problem),
}

/// A walk below a recursive fixup.
pub(super) struct RecursiveFixup<'a> {
    plan: &'a Mapping,
    owners: bool,
    met: Sender<Met>,
    tasks: Tasks,
}

/// A directory that is walked.
pub(super) struct FixedDir {
    node: Arc<TargetNode>,
    path: RelPath,
    covering: Covering,
}

impl Drop for FixedDir {
    fn drop(&mut self) {
        self.node.close();
    }
}

impl<'a> RecursiveFixup<'a> {
    pub(super) fn new(plan: &'a Mapping, owners: bool, met: Sender<Met>) -> Self {
        Self { plan, owners, met, tasks: Tasks::new(INLINE) }
    }

    /// Walks everything below `path`.
    pub(super) fn run(&self, path: &RelPath) {
        let pool = match pool::start(THREADS, "fixup") {
            Ok(pool) => pool,
            Err(error) => {
                return self.send(Met::Failed(Problem::new(
                    path.clone(),
                    ProblemKind::Fixup,
                    Detail::FixupWithoutThread(error),
                )));
            }
        };
        let root = &self.plan.root;
        let opened = open_target(root, path);
        match opened.and_then(|dir| TargetNode::top(root, path, dir, &FdBudget::new(DIRECTORIES))) {
            Ok(node) => {
                let dir = Arc::new(self.dir(node, path.clone()));
                pool.scope(|scope| scheduler::start(self, Worker::new(scope), dir));
            }
            Err(errno) => self.failed(path.clone(), errno),
        }
    }

    fn dir(&self, node: Arc<TargetNode>, path: RelPath) -> FixedDir {
        let covering = Covering::of(self.plan, &path);
        FixedDir { node, path, covering }
    }

    fn send(&self, met: Met) {
        // The receiver is gone: the run is ending.
        drop(self.met.send(met));
    }

    fn failed(&self, path: RelPath, errno: Errno) {
        self.send(Met::Failed(Problem::failed(path, ProblemKind::Fixup, Operation::FixUp, errno)));
    }

    fn stat(&self, above: &FixedDir, dir: &TargetDir, name: &Name) -> Option<Stat> {
        dir.stat_at(name).map_err(|errno| self.failed(above.path.join(name), errno)).ok()
    }

    /// Compares one inode with what the fixups ask for.
    fn look(&self, above: &FixedDir, dir: &Arc<TargetDir>, name: &Name, stat: &Stat) {
        let (said, _) = above.covering.say(self.plan, name, stat.kind);
        if wanted(stat, said, self.owners) != has(stat) {
            let path = above.path.join(name);
            self.send(Met::Other { dir: Arc::clone(dir), name: name.clone(), path, said });
        }
    }

    fn opened(&self, dir: &FixedDir) -> Option<Arc<TargetDir>> {
        dir.node.open().map_err(|errno| self.failed(dir.path.clone(), errno)).ok()
    }
}

impl Visitor for RecursiveFixup<'_> {
    type Dir = FixedDir;
    type Handle = TargetDir;
    type Reading = ();

    fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    fn open(&self, dir: &FixedDir) -> Result<Arc<TargetDir>, Errno> {
        dir.node.open()
    }

    fn enter<'s>(&'s self, _: Worker<'_, 's>, above: &Arc<FixedDir>, name: &Name) -> Option<Arc<FixedDir>> {
        let dir = self.opened(above)?;
        let stat = self.stat(above, &dir, name)?;
        self.look(above, &dir, name, &stat);
        if stat.kind != Kind::Directory {
            return None;
        }
        let path = above.path.join(name);
        match dir.open_dir(name).and_then(|dir| dir.stat().map(|stat| (dir, stat))) {
            Ok((dir, stat)) => Some(Arc::new(self.dir(TargetNode::below(&above.node, name, dir, &stat), path))),
            Err(errno) => {
                self.failed(path, errno);
                None
            }
        }
    }

    fn pre_visit<'s>(&'s self, _: Worker<'_, 's>, _: &Arc<FixedDir>) {}

    /// A type that the file system does not report here shows in the stat.
    fn sort(&self, _: &FixedDir, (): &mut (), entry: &DirEntry) -> Option<Kind> {
        Some(entry.kind.unwrap_or(Kind::File))
    }

    fn leaves<'s>(&'s self, worker: Worker<'_, 's>, dir: &Arc<FixedDir>, names: Vec<(Name, Kind)>) {
        let Some(opened) = self.opened(dir) else { return };
        for (name, _) in names {
            match self.stat(dir, &opened, &name) {
                Some(stat) if stat.kind == Kind::Directory => scheduler::spawn_subdirectory(self, worker, dir, name),
                Some(stat) => self.look(dir, &opened, &name, &stat),
                None => {}
            }
        }
    }

    fn was_read(&self, dir: &FixedDir, (): (), result: Result<(), Errno>) {
        if let Err(errno) = result {
            let problem = Problem::failed(dir.path.clone(), ProblemKind::Fixup, Operation::ReadForFixup, errno);
            self.send(Met::Failed(problem));
        }
    }
}
