//! How a directory is claimed before it is closed and filled, so that the next run knows
//! whatever a kill leaves of it as this plan's: a mark on the inode or, where the file
//! system does not support one, a row of the journal.

use super::dir_metadata::PostVisit;
use super::directories::Directories;
use super::guard::Guard;
use super::node::DirNode;
use crate::base::path::RelPath;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Row, State};
use crate::engine::judge::is_as_created;
use crate::engine::meta::mark::{self, Mark, Was};
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Stat;
use crate::sys::xattr::Holder;
use std::sync::Arc;

impl Directories {
    /// The mark of a directory found at `path`; none if the directory is as its row says.
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

    /// Marks a new directory in a place where others may move names. False where it cannot be
    /// marked: then the journal must know it before anything is made in it.
    pub(super) fn mark_created(&self, dir: &TargetDir, path: &RelPath) -> bool {
        mark::set(Holder::file(dir), self.cx.binding(path), Was::Created).is_ok()
    }

    /// A descriptor for making or renaming names. The directory is marked before this closes
    /// it, and the journal is told if an earlier run had finished it.
    pub(super) fn open_to_fill(&self, node: &DirNode) -> Result<Arc<TargetDir>, Errno> {
        let finished = match &node.post_visit {
            PostVisit::Apply(metadata) => metadata.prior.as_ref().filter(|row| row.state == State::Done),
            PostVisit::Nothing | PostVisit::InPlace(_) => None,
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
        // Such a file system keeps nobody out, and everything there is taken for the plan's.
        if node.disk.bare {
            return Ok(true);
        }
        let stat = dir.stat()?;
        // An earlier run left it closed; its mark says who owned it.
        if matches!(node.mark, Mark::Ours(_)) && is_as_created(&stat) {
            return Ok(true);
        }
        // Needed even if closing it changes nothing: directories above can be finished first.
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
