//! Whether a directory of a tree is the state of a copy, and no part of what the tree holds.

use super::location::STATE_DIR;
use crate::base::path::Name;
use crate::sys::Errno;
use crate::sys::at;
use crate::sys::dir::read_batches;
use crate::sys::stat::{Kind, stat_at};
use rustix::fd::AsFd;

/// True if `dir`, the top of a tree, has a [`STATE_DIR`] with a journal's database in it: the tree is or was a
/// target. Anything else of that name belongs to the tree.
pub fn was_target(dir: impl AsFd) -> Result<bool, Errno> {
    let Ok(name) = Name::new(STATE_DIR.as_bytes()) else { return Ok(false) };
    let kind = match stat_at(&dir, &name) {
        Ok(stat) => stat.kind,
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    if kind != Kind::Directory {
        return Ok(false);
    }
    let state = at::reopen(at::subdir_handle(&dir, &name)?)?;
    let mut found = false;
    read_batches(&state, 64, |batch| {
        found |= batch.iter().any(|entry| {
            let is_file = |kind| kind == Kind::File;
            entry.name.as_bytes().ends_with(b".sqlite")
                && entry.kind.map_or_else(|| stat_at(&state, &entry.name).is_ok_and(|s| is_file(s.kind)), is_file)
        });
        !found
    })?;
    Ok(found)
}
