//! A name that is being copied, on its way through the copier's parts.

use super::node::DirNode;
use super::open_dir::OpenDir;
use super::stands::Stands;
use crate::base::path::{Name, RelPath};
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::{Reader, RowAnswer};
use crate::engine::mapping::explicit::Explicit;
use std::sync::Arc;

/// What the plan or the copier says of one entry itself, over what the backup has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Override {
    pub(super) target: Option<u32>,
    pub(super) explicit: Explicit,
    /// It changed while the run was looking at it: the next run copies it again.
    pub(super) stopgap: bool,
    /// Why it has an inode of its own instead of a hard link.
    pub(super) apart: Option<Unpreserved>,
    /// What it is put over.
    pub(super) stands: Stands,
}

impl Override {
    /// The target of the plan that an entry in `dir` counts for.
    pub(super) fn target_in(&self, dir: &DirNode) -> u32 {
        self.target.unwrap_or(dir.target)
    }
}

/// A name of a directory that is being copied.
#[derive(Clone, Copy)]
pub(super) struct CopyEntry<'a> {
    pub(super) dir: &'a Arc<OpenDir>,
    /// Its name on the target.
    pub(super) name: &'a Name,
    /// What the plan says of it itself.
    pub(super) own: Override,
    /// A connection to the journal, if the journal may know the name.
    pub(super) reader: Option<&'a Reader>,
    /// What the journal has said of it.
    pub(super) recorded: &'a RowAnswer,
}

impl<'a> CopyEntry<'a> {
    pub(super) fn node(&self) -> &'a Arc<DirNode> {
        &self.dir.node
    }

    /// Below the target's root.
    pub(super) fn path(&self) -> RelPath {
        self.dir.node.path().join(self.name)
    }

    /// The target of the plan that it counts for.
    pub(super) fn target(&self) -> u32 {
        self.own.target_in(&self.dir.node)
    }

    /// What the source calls it.
    pub(super) fn in_source(&self) -> &'a Name {
        self.dir.in_source(self.name)
    }

    pub(super) fn with(self, own: Override) -> Self {
        Self { own, ..self }
    }

    /// Its place on the target.
    pub(super) fn at(&self) -> TargetName<'a> {
        TargetName { above: &self.dir.node, name: self.name, target: self.dir.node.target }
    }
}

/// A name in a directory of the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct TargetName<'a> {
    pub(super) above: &'a Arc<DirNode>,
    pub(super) name: &'a Name,
    /// The target of the plan that has it.
    pub(super) target: u32,
}

impl TargetName<'_> {
    pub(super) fn path(&self) -> RelPath {
        self.above.path().join(self.name)
    }
}
