//! A regular file on its way: its source, and its copy.

use super::entry::CopyEntry;
use crate::base::path::Name;
use crate::sys::stat::Stat;
use rustix::fd::OwnedFd;

/// An open source file, with its stat from when it was opened.
pub(super) struct OpenSource {
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
}

/// A new file on the target: 0600, ours alone.
pub(super) struct Created {
    pub(super) fd: OwnedFd,
    /// Its name until it is durable, if its own name is taken.
    pub(super) temporary: Option<Name>,
    /// It is not new but a finished file, of which some chunks are bad.
    pub(super) mended: bool,
    /// It has a mark, which must be removed at the end.
    pub(super) marked: bool,
    /// What it will replace.
    pub(super) stands: Option<Stat>,
}

/// One file that is being filled.
#[derive(Clone, Copy)]
pub(super) struct FileJob<'a> {
    pub(super) entry: &'a CopyEntry<'a>,
    pub(super) source: &'a OpenSource,
    pub(super) created: &'a Created,
}
