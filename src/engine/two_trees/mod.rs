//! Two trees against each other, without a journal: everything that a copy keeps, and the content as both
//! media have it. Nothing is hashed, because nothing is recorded: both sides are read and compared.

mod content;
mod groups;
mod holes;
mod inode;
mod options;
mod pair;
mod walk;

pub use options::{PairOptions, PairSide};
pub use pair::Compared;

use super::events::detail::Detail;
use super::events::kind::ProblemKind;
use super::events::no_thread::NoThread;
use super::events::problem::Problem;
use super::tree::budget::FdBudget;
use super::tree::node::{ENTRY, SourceNode};
use super::tree::pool;
use super::tree::scheduler::{self, Worker};
use crate::base::path::{Name, RelPath};
use crate::sys::Errno;
use crate::sys::dir::{SourceDir, open_held};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, stat_fd};
use pair::{PairWalk, PairedDir};
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use std::path::PathBuf;
use std::sync::Arc;

/// A side that is held.
struct HeldSide<'a> {
    side: PairSide<'a>,
    root: Arc<Root>,
    fd: OwnedFd,
    stat: Stat,
}

impl<'a> HeldSide<'a> {
    fn open(side: PairSide<'a>) -> Result<Self, PairError> {
        let opened = Root::open(side.above).map(Arc::new).and_then(|root| {
            let fd = root.open_strict(side.path, OFlags::PATH | OFlags::NOFOLLOW)?;
            let stat = stat_fd(&fd)?;
            Ok(Self { side, root, fd, stat })
        });
        opened.map_err(|errno| unopened(side, errno))
    }

    fn node(&self, budget: &Arc<FdBudget>) -> Result<Arc<SourceNode>, PairError> {
        let dir = open_held(&self.fd, ENTRY).map_err(|errno| unopened(self.side, errno))?;
        Ok(SourceNode::entry(&self.root, self.side.path, SourceDir::from_fd(dir), &self.stat, budget))
    }

    /// The directory that it is in, and its name there.
    fn in_directory(&self) -> Result<(SourceDir, Name), PairError> {
        let (Some(parent), Some(name)) = (self.side.path.parent(), self.side.path.last()) else {
            return Err(unopened(self.side, Errno::ISDIR));
        };
        let dir = self.root.open_strict(&parent, ENTRY).map_err(|errno| unopened(self.side, errno))?;
        Ok((SourceDir::from_fd(dir), name))
    }
}

/// Compares the tree `one` with `two`. An error says why nothing was compared.
pub fn compare(one: PairSide<'_>, two: PairSide<'_>, options: &PairOptions) -> Result<Compared, PairError> {
    let walk = PairWalk::new(options);
    let one = HeldSide::open(one)?;
    let two = match HeldSide::open(two) {
        Ok(two) => two,
        Err(PairError::Unopened(_, Errno::NOENT)) => {
            walk.problem(Problem::new(RelPath::root(), ProblemKind::Missing, Detail::OnlyInSource));
            return Ok(walk.finish());
        }
        Err(error) => return Err(error),
    };
    let pool = pool::start(options.means.threads, "compare").map_err(PairError::NoThread)?;
    if one.stat.kind == Kind::Directory && two.stat.kind == Kind::Directory {
        let (src, dst) = (one.node(&walk.source_budget)?, two.node(&walk.target_budget)?);
        walk.directory(&RelPath::root(), (&src, &one.stat), (&dst, &two.stat));
        let dir = PairedDir { src, dst, path: RelPath::root(), dev: one.stat.dev };
        pool.scope(|scope| scheduler::start(&walk, Worker::new(scope), Arc::new(dir)));
    } else {
        let ((src, from), (dst, to)) = (one.in_directory()?, two.in_directory()?);
        pool.install(|| walk.leaf(&RelPath::root(), (&src, &from), (&dst, &to)));
    }
    Ok(walk.finish())
}

/// Why `side` cannot be compared.
fn unopened(side: PairSide<'_>, errno: Errno) -> PairError {
    PairError::Unopened(side.above.join(side.path.as_path()), errno)
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// One of the trees.
    #[error("{0:?}: {1}")]
    Unopened(PathBuf, Errno),
    /// No thread can be started.
    #[error("{0:?}")]
    NoThread(NoThread),
}
