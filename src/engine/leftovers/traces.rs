//! What an unfinished copy looks like, and how to remove it without a trace.

use crate::base::path::{Name, RelPath};
use crate::engine::mapping::index::Index;
use crate::engine::mapping::model::Mapping;
use crate::sys::dir::TargetDir;
use crate::sys::file::set_times;
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, effective_ids};
use rustix::fs::OFlags;
use std::sync::OnceLock;

/// What the plan still copies.
pub(super) struct StillBrought<'a> {
    plan: &'a Mapping,
    index: Index,
    /// Opened by the first query, which few runs make; `None` when it cannot be.
    source: OnceLock<Option<Root>>,
}

impl<'a> StillBrought<'a> {
    pub(super) fn new(plan: &'a Mapping) -> Self {
        Self { plan, index: Index::new(plan), source: OnceLock::new() }
    }

    /// True when the backup has the source of `path`, and no pattern leaves it out.
    pub(super) fn has(&self, path: &RelPath) -> bool {
        let Some(source) = self.source.get_or_init(|| Root::open(&self.plan.source).ok()) else { return true };
        let is_there = |src: &RelPath| source.open_in(src, OFlags::PATH | OFlags::NOFOLLOW).is_ok();
        let brought = self.index.brought_to(self.plan, path);
        brought.iter().any(|brought| is_there(&brought.src) && !brought.is_left_out())
    }
}

/// Removes a name from a directory, keeping its times, which may be final already.
pub(super) fn unlink_keeping_times(dir: &TargetDir, name: &Name) -> Result<(), Errno> {
    let above = dir.stat()?;
    dir.unlink(name)?;
    set_times(Holder::file(dir), Some(above.atime), above.mtime)
}

/// True for a file as it is created, readable only by us: without its metadata yet.
pub(super) fn is_as_created(stat: &Stat) -> bool {
    let mode = if stat.kind == Kind::Symlink { 0o777 } else { 0o600 };
    stat.uid == effective_ids().0 && stat.nlink == 1 && stat.mode == mode
}
