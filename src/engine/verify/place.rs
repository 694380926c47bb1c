//! Where on the target verification looks.

use super::batch::RowOrigin;
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::CheckedDir;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Stat;
use std::cell::OnceCell;

/// Where the entry of a row is to be.
pub(super) struct Place<'a> {
    /// Its directory, or why it cannot be opened.
    pub(super) dir: Result<&'a CheckedDir<'a>, &'a &'a Errno>,
    pub(super) path: &'a RelPath,
    pub(super) name: &'a Name,
    pub(super) origin: RowOrigin,
    /// Whether names came or went in the directory since it was recorded; asked when a name is gone.
    pub(super) names_moved: &'a OnceCell<bool>,
}

/// A name that is accepted.
#[derive(Clone, Copy)]
pub(super) struct Accepting<'a> {
    /// Its directory, and the id of that.
    pub(super) dir: (&'a CheckedDir<'a>, i64),
    pub(super) path: &'a RelPath,
    pub(super) name: &'a Name,
    /// Index of the mapping's target.
    pub(super) target: u32,
}

/// A directory of the target whose names are checked.
#[derive(Clone, Copy)]
pub(crate) struct Listed<'a> {
    pub(crate) dir: &'a TargetDir,
    /// Of the directory.
    pub(crate) stat: &'a Stat,
    pub(crate) path: &'a RelPath,
    /// Index of the plan's target.
    pub(crate) target: u32,
}
