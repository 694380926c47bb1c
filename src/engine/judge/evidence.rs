//! What is at hand of a source entry besides its stat.

use crate::engine::content::digest::Digest;
use crate::engine::journal::Row;
use rustix::fd::OwnedFd;

/// How an entry can be looked into, to prove that it is the recorded one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SourceAccess<'a> {
    /// By its name in its directory.
    Name,
    /// It is open.
    Open(&'a OwnedFd),
    /// It was read in this run, and had this content.
    Known(&'a KnownContent),
}

/// The content of an inode that has several names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KnownContent {
    /// Of a regular file.
    Digest(Digest),
    /// Of a symlink.
    Text(Vec<u8>),
    /// A FIFO or device node: its stat says everything.
    None,
}

impl KnownContent {
    /// True when `row` was made of it.
    pub(crate) fn is_of(&self, row: &Row) -> bool {
        match self {
            Self::Digest(digest) => row.digest == Some(*digest),
            Self::Text(text) => row.link.as_ref() == Some(text),
            Self::None => row.digest.is_none() && row.link.is_none(),
        }
    }
}
