//! What is said of a directory before it is closed to be filled, so that whatever a
//! kill leaves of it is known as this plan's by the next run: a mark on the inode, or,
//! where the file system takes none, a row of the journal.

use super::dir_metadata::PostVisit;
use super::directories::Directories;
use super::guard::{Guard, is_as_created};
use super::node::DirNode;
use crate::base::path::RelPath;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Row, State};
use crate::engine::meta::mark::{self, Mark, Was};
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Stat;
use crate::sys::xattr::Holder;
use std::sync::Arc;

impl Directories {
    /// The mark of a directory that was found at `path`. One that is as its row says has none.
    pub(super) fn mark_of(
        &self,
        dir: &TargetDir,
        stat: &Stat,
        prior: Option<&Row>,
        path: impl Fn() -> RelPath,
    ) -> Result<Mark, Errno> {
        if prior.is_some_and(|row| row.state == State::Done && (row.dst_ino, row.dst_ctime) == (stat.ino, stat.ctime)) {
            return Ok(Mark::None);
        }
        mark::read(Holder::file(dir), || self.cx.binding(&path()))
    }

    /// Marks a directory that was made where others may move names. False where that
    /// cannot be: then the journal has to know it before anything is made in it.
    pub(super) fn mark_created(&self, dir: &TargetDir, path: &RelPath) -> bool {
        mark::set(Holder::file(dir), self.cx.binding(path), Was::Created).is_ok()
    }

    /// A descriptor to make or rename something with. Before that closes the directory it
    /// is marked; the journal hears of one that an earlier run had finished.
    pub(super) fn open_to_fill(&self, node: &DirNode) -> Result<Arc<TargetDir>, Errno> {
        let finished = match &node.post_visit {
            PostVisit::Apply(metadata) => metadata.prior.as_ref().filter(|row| row.state == State::Done),
            PostVisit::Nothing => None,
        };
        let reopen = || {
            if let Some(prior) = finished {
                self.cx.submit.send(Written::row(prior.reopened(), node.file_system));
            }
        };
        let mut told = false;
        let (dir, closed) = node.open_to_fill(|dir| {
            if !self.mark_closing(node, dir)? {
                reopen();
                // A directory that is new to the journal was announced when it was found.
                self.cx.submit.flush();
                told = true;
            }
            Ok(())
        })?;
        if closed && !told {
            reopen();
        }
        Ok(dir)
    }

    /// False where the file system takes no mark.
    fn mark_closing(&self, node: &DirNode, dir: &TargetDir) -> Result<bool, Errno> {
        // There nobody is kept out, and everything is taken for the plan's.
        if node.disk.bare {
            return Ok(true);
        }
        let stat = dir.stat()?;
        // It was left closed and says whose it was.
        if matches!(node.mark, Mark::Ours(_)) && is_as_created(&stat) {
            return Ok(true);
        }
        // Also where closing it changes nothing: those above can be finished before it.
        let mut was = Was::Open { uid: stat.uid, gid: stat.gid, mode: stat.mode };
        if matches!(node.guard, Guard::Until(_))
            && let PostVisit::Apply(metadata) = &node.post_visit
            && let Some((uid, gid, mode)) =
                metadata.prior.as_ref().and_then(|row| row.wanted.owner.map(|o| (o.0, o.1, row.wanted.mode)))
        {
            was = Was::Open { uid, gid, mode };
        }
        let marked = mark::set(Holder::file(dir), self.cx.binding(&node.path()), was).is_ok();
        if marked {
            node.set_marked();
        }
        Ok(marked)
    }
}
