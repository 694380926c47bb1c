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

/// True when the backup has the source of `path`, and no pattern leaves it out.
pub(super) fn is_in_source(plan: &Mapping, path: &RelPath) -> bool {
    let Ok(source) = Root::open(&plan.source) else { return true };
    let is_there = |src: &RelPath| source.open_in(src, OFlags::PATH | OFlags::NOFOLLOW).is_ok();
    Index::new(plan).brought_to(plan, path).iter().any(|brought| is_there(&brought.src) && !brought.is_left_out())
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
