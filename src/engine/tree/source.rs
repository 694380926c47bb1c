//! A directory of the backup while something in it is unfinished. Its descriptor
//! is only a cache within a budget: like a directory of the target it knows how
//! to open itself again, so a few open files are enough for any tree.

use super::budget::FdBudget;
use crate::base::path::{Name, RelPath};
use crate::sys::Errno;
use crate::sys::dir::SourceDir;
use crate::sys::root::Root;
use crate::sys::stat::Stat;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use std::sync::{Arc, Mutex, PoisonError};

/// Opens directories on the way to and including an entry, symlinks inside the backup followed.
pub(crate) const ENTRY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// One directory.
#[derive(Debug)]
pub(crate) struct SourceNode {
    at: At,
    dev: u64,
    ino: u64,
    fd: Mutex<Option<Arc<SourceDir>>>,
    budget: Arc<FdBudget>,
}

/// Where a directory is found again.
#[derive(Debug)]
enum At {
    /// A path in the backup, as the plan names it.
    Entry(Arc<Root>, RelPath),
    /// A name in another directory.
    Below(Arc<SourceNode>, Name),
    /// Being dropped.
    Nowhere,
}

impl SourceNode {
    /// The directory at `path` of the backup.
    pub(crate) fn entry(
        root: &Arc<Root>,
        path: &RelPath,
        dir: SourceDir,
        stat: &Stat,
        budget: &Arc<FdBudget>,
    ) -> Arc<Self> {
        Self::new(At::Entry(Arc::clone(root), path.clone()), dir, stat, budget)
    }

    /// The directory `name` in `above`.
    pub(crate) fn below(above: &Arc<Self>, name: &Name, dir: SourceDir, stat: &Stat) -> Arc<Self> {
        Self::new(At::Below(Arc::clone(above), name.clone()), dir, stat, &above.budget)
    }

    fn new(at: At, dir: SourceDir, stat: &Stat, budget: &Arc<FdBudget>) -> Arc<Self> {
        let kept = budget.take().then(|| Arc::new(dir));
        Arc::new(Self { at, dev: stat.dev, ino: stat.ino, fd: Mutex::new(kept), budget: Arc::clone(budget) })
    }

    /// A descriptor: the cached one, or the directory opened again, name by name
    /// and never through a symlink. `ESTALE` when another directory stands there.
    pub(crate) fn open(&self) -> Result<Arc<SourceDir>, Errno> {
        let mut closed = Vec::new();
        let mut node = self;
        let mut dir = loop {
            if let Some(fd) = node.cached() {
                break fd;
            }
            match &node.at {
                At::Entry(root, path) => break node.checked(SourceDir::from_fd(root.open_in(path, ENTRY)?))?,
                At::Below(above, name) => {
                    closed.push((node, name));
                    node = above;
                }
                At::Nowhere => return Err(Errno::BADF),
            }
        };
        for (node, name) in closed.into_iter().rev() {
            dir = node.checked(dir.open_dir(name)?)?;
        }
        Ok(dir)
    }

    fn checked(&self, dir: SourceDir) -> Result<Arc<SourceDir>, Errno> {
        let stat = dir.stat()?;
        if (stat.dev, stat.ino) == (self.dev, self.ino) { Ok(Arc::new(dir)) } else { Err(Errno::STALE) }
    }

    fn cached(&self) -> Option<Arc<SourceDir>> {
        self.fd.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the cached descriptor: nothing is left to be done in the directory itself.
    pub(crate) fn close(&self) {
        if self.fd.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.budget.give_back();
        }
    }

    /// As [`SourceDir::open_dir`].
    pub(crate) fn open_dir(&self, name: &Name) -> Result<SourceDir, Errno> {
        self.open()?.open_dir(name)
    }

    /// As [`SourceDir::open_file`].
    pub(crate) fn open_file(&self, name: &Name) -> Result<OwnedFd, Errno> {
        self.open()?.open_file(name)
    }

    /// As [`SourceDir::open_handle`].
    pub(crate) fn open_handle(&self, name: &Name) -> Result<OwnedFd, Errno> {
        self.open()?.open_handle(name)
    }

    /// As [`SourceDir::stat_at`].
    pub(crate) fn stat_at(&self, name: &Name) -> Result<Stat, Errno> {
        self.open()?.stat_at(name)
    }
}

impl Drop for SourceNode {
    fn drop(&mut self) {
        self.close();
        // A chain of thousands of parents must not unwind by recursion.
        let mut at = std::mem::replace(&mut self.at, At::Nowhere);
        while let At::Below(above, _) = at {
            let Some(mut node) = Arc::into_inner(above) else { return };
            at = std::mem::replace(&mut node.at, At::Nowhere);
        }
    }
}
