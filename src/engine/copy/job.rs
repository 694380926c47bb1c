//! A regular file on its way: its source, and its copy.

use super::entry::CopyEntry;
use crate::base::path::Name;
use crate::sys::Errno;
use crate::sys::stat::Stat;
use rustix::fd::OwnedFd;

/// An open source file, with its stat from when it was opened.
pub(super) struct OpenSource<'a> {
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
    /// What was read of it since then, if it was read together with others.
    pub(super) ahead: Option<Result<&'a [u8], Errno>>,
    /// Reads bypass the page cache.
    pub(super) direct: bool,
}

impl OpenSource<'_> {
    pub(super) const fn new(fd: OwnedFd, stat: Stat) -> Self {
        Self { fd, stat, ahead: None, direct: false }
    }
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
    pub(super) source: &'a OpenSource<'a>,
    pub(super) created: &'a Created,
    /// It may share the blocks of its source.
    pub(super) may_share: bool,
}
