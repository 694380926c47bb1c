//! What every part of the copier shares: what to copy and how, what was recorded, and
//! where results, numbers and failures go.

use super::node::DirNode;
use super::options::CopyOptions;
use super::records::Records;
use crate::base::path::RelPath;
use crate::engine::context::RunContext;
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::epoch::{FileSystems, Submit};
use crate::engine::judge::{History, Policy};
use crate::engine::meta::mark::Binding;
use crate::engine::meta::{self, Wanted};
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Stat;
use crate::sys::xattr::Holder;
use std::sync::Arc;

/// Shared by all parts.
pub(super) struct CopyContext {
    /// What all stages of the run share.
    pub(super) run: RunContext,
    pub(super) options: CopyOptions,
    pub(super) records: Records,
    /// Where finished entries go.
    pub(super) submit: Submit,
    pub(super) file_systems: Arc<FileSystems>,
}

/// An inode with its metadata.
pub(super) struct AppliedMetadata {
    pub(super) stat: Stat,
    /// It has everything its file system can hold; otherwise the next run tries again.
    pub(super) whole: bool,
}

impl CopyContext {
    /// What earlier runs did in a target of the plan.
    pub(super) fn history(&self, target: u32) -> History {
        self.options.histories.get(target as usize).copied().unwrap_or_default()
    }

    /// What a judge of a name in that target goes by.
    pub(super) fn policy(&self, target: u32) -> Policy<'_> {
        let (history, overwrite) = (self.history(target), self.options.overwrite);
        Policy { history, overwrite, newer_kept: self.options.newer_kept, rate_limit: &self.run.rate_limit }
    }

    /// What an inode at `path` is marked with.
    pub(super) fn binding(&self, path: &RelPath) -> Binding {
        Binding::new(&self.run.mapping.name, path)
    }

    /// The index and the abilities of the file system that holds `dir`.
    pub(super) fn file_system(&self, dir: &TargetDir) -> Result<(usize, Disk), Errno> {
        let dev = dir.stat()?.dev;
        let index = self.file_systems.index(dev, dir)?;
        Ok((index, self.file_systems.disk(index).unwrap_or(Disk::usual(dev))))
    }

    /// Opens a directory of the target by its path below the root, name by name.
    pub(super) fn open_target(&self, path: &RelPath) -> Result<TargetDir, Errno> {
        crate::sys::dir::open_target(&self.run.mapping.root, path)
    }

    /// Applies metadata to the directory of `node` itself or to an entry in it, reports what
    /// could not be applied, and returns the inode as it now is.
    pub(super) fn apply_metadata(
        &self,
        node: &DirNode,
        holder: Holder<'_>,
        wanted: &mut Wanted,
        path: impl Fn() -> RelPath,
    ) -> Result<AppliedMetadata, Errno> {
        let around = meta::InodeContext { disk: node.disk, handed: node.handed };
        let applied = meta::apply(holder, wanted, around, path);
        let whole = applied.problems.iter().all(|problem| problem.unpreserved().is_some());
        applied.problems.into_iter().for_each(|p| self.problem(node.target, p));
        wanted.lost = applied.lost;
        wanted.given_up = applied.given_up;
        wanted.flags = wanted.flags.difference(applied.given_up);
        applied.stat.map(|stat| AppliedMetadata { stat, whole })
    }
}
