//! A directory while something in it is unfinished. Its descriptor is only a cache
//! within a budget: the node knows how to open itself again, so a few open files are
//! enough for any tree.

use super::budget::{FdBudget, Kept};
use crate::base::path::{Name, RelPath};
use crate::sys::Errno;
use crate::sys::dir::{SourceDir, TargetDir, open_target};
use crate::sys::root::Root;
use crate::sys::stat::Stat;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use std::path::Path;
use std::sync::Arc;

/// Opens directories on the way to and including an entry, symlinks inside the backup followed.
pub(crate) const ENTRY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// A directory of the backup.
pub(crate) type SourceNode = Node<SourceDir>;
/// A directory of the target that is only read.
pub(crate) type TargetNode = Node<TargetDir>;

/// One directory, of either side.
pub(crate) struct Node<D: OpenDirectory> {
    at: NodeOrigin<D>,
    dev: u64,
    ino: u64,
    fd: Kept<D>,
}

/// What an open directory can do that a node needs.
pub(crate) trait OpenDirectory: Sized {
    /// A subdirectory, never through a symlink.
    fn below(&self, name: &Name) -> Result<Self, Errno>;
    /// The directory itself.
    fn look(&self) -> Result<Stat, Errno>;
}

impl OpenDirectory for SourceDir {
    fn below(&self, name: &Name) -> Result<Self, Errno> {
        self.open_dir(name)
    }

    fn look(&self) -> Result<Stat, Errno> {
        self.stat()
    }
}

impl OpenDirectory for TargetDir {
    fn below(&self, name: &Name) -> Result<Self, Errno> {
        self.open_dir(name)
    }

    fn look(&self) -> Result<Stat, Errno> {
        self.stat()
    }
}

/// How a directory is found again.
enum NodeOrigin<D: OpenDirectory> {
    /// By a function of its own.
    Top(Box<dyn Fn() -> Result<D, Errno> + Send + Sync>),
    /// A name in another directory.
    Below(Arc<Node<D>>, Name),
    /// Being dropped.
    Nowhere,
}

impl<D: OpenDirectory> Node<D> {
    /// The directory `name` in `above`.
    pub(crate) fn below(above: &Arc<Self>, name: &Name, dir: D, stat: &Stat) -> Arc<Self> {
        Self::new(NodeOrigin::Below(Arc::clone(above), name.clone()), dir, stat, above.fd.budget())
    }

    fn new(at: NodeOrigin<D>, dir: D, stat: &Stat, budget: &Arc<FdBudget>) -> Arc<Self> {
        Arc::new(Self { at, dev: stat.dev, ino: stat.ino, fd: Kept::new(dir, budget) })
    }

    /// A descriptor: the cached one, or the directory opened again, name by name and never through a
    /// symlink. `ESTALE` when its name belongs to another directory.
    pub(crate) fn open(&self) -> Result<Arc<D>, Errno> {
        let mut closed = Vec::new();
        let mut node = self;
        let mut dir = loop {
            if let Some(fd) = node.fd.get() {
                break fd;
            }
            match &node.at {
                NodeOrigin::Top(open) => break node.checked(open()?)?,
                NodeOrigin::Below(above, name) => {
                    closed.push((node, name));
                    node = above;
                }
                NodeOrigin::Nowhere => return Err(Errno::BADF),
            }
        };
        for (node, name) in closed.into_iter().rev() {
            dir = node.checked(dir.below(name)?)?;
        }
        Ok(dir)
    }

    fn checked(&self, dir: D) -> Result<Arc<D>, Errno> {
        let stat = dir.look()?;
        if (stat.dev, stat.ino) == (self.dev, self.ino) { Ok(Arc::new(dir)) } else { Err(Errno::STALE) }
    }

    /// Closes the cached descriptor: nothing is left to be done in the directory itself.
    pub(crate) fn close(&self) {
        self.fd.close();
    }
}

impl SourceNode {
    /// The directory at `path` of the backup, as the plan names it.
    pub(crate) fn entry(
        root: &Arc<Root>,
        path: &RelPath,
        dir: SourceDir,
        stat: &Stat,
        budget: &Arc<FdBudget>,
    ) -> Arc<Self> {
        let (root, path) = (Arc::clone(root), path.clone());
        let again = move || root.open_in(&path, ENTRY).map(SourceDir::from_fd);
        Self::new(NodeOrigin::Top(Box::new(again)), dir, stat, budget)
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

impl TargetNode {
    /// The directory at `path` below `root`.
    pub(crate) fn top(root: &Path, path: &RelPath, dir: TargetDir, budget: &Arc<FdBudget>) -> Result<Arc<Self>, Errno> {
        let stat = dir.stat()?;
        let (root, path) = (root.to_owned(), path.clone());
        Ok(Self::new(NodeOrigin::Top(Box::new(move || open_target(&root, &path))), dir, &stat, budget))
    }
}

impl<D: OpenDirectory> std::fmt::Debug for Node<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("dev", &self.dev).field("ino", &self.ino).finish_non_exhaustive()
    }
}

impl<D: OpenDirectory> Drop for Node<D> {
    fn drop(&mut self) {
        // A chain of thousands of parents must not unwind by recursion.
        let mut at = std::mem::replace(&mut self.at, NodeOrigin::Nowhere);
        while let NodeOrigin::Below(above, _) = at {
            let Some(mut node) = Arc::into_inner(above) else { return };
            at = std::mem::replace(&mut node.at, NodeOrigin::Nowhere);
        }
    }
}
