//! A directory of the source while it is read, beside the one of the target.

use super::node::DirNode;
use crate::base::path::Name;
use crate::engine::tree::node::SourceNode;
use crate::engine::volume::Volume;
use crate::sys::root::Root;
use std::sync::Arc;

/// A source directory and the target directory that it goes to.
#[derive(Debug)]
pub(crate) struct OpenDir {
    pub(super) node: Arc<DirNode>,
    pub(super) src: Arc<SourceNode>,
    /// Device number of the source.
    pub(super) dev: u64,
    /// The source's file system.
    pub(super) volume: Arc<Volume>,
    pub(super) position: SourcePosition,
    /// The name in the source of the one entry that goes from here to another name.
    pub(super) renamed: Option<Name>,
}

impl OpenDir {
    /// What the source calls the entry that goes to `name`.
    pub(super) fn in_source<'n>(&'n self, name: &'n Name) -> &'n Name {
        self.renamed.as_ref().unwrap_or(name)
    }

    /// The source directory, to look at what lies in it beside an entry.
    pub(super) fn beside(&self) -> Option<Root> {
        self.src.open().and_then(|src| Root::again(&*src)).ok()
    }
}

impl Drop for OpenDir {
    fn drop(&mut self) {
        self.src.close();
    }
}

/// What a directory hands down to its subdirectories.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SourcePosition {
    /// Where in the plan's tree of sources the walk is; `None` off every entry's path.
    pub(super) cursor: Option<usize>,
    /// Number of the share within which names of one inode become links.
    pub(super) share: u32,
}
