//! What something should be and what it is, as data: the command line says it in words.

use crate::base::path::RelPath;
use crate::sys::Errno;
use crate::sys::stat::{Kind, Stat, Time};

/// What was expected, or what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    /// In its usual notation: a number, a mode, a time, a digest, the text of a link.
    Plain(String),
    /// It is not there.
    None,
    /// An inode of this type.
    Kind(Kind),
    /// Anything but a directory.
    NoDirectory,
    /// An inode as a listing shows it.
    Inode(Appearance),
    /// The inode of this number.
    InodeNumber(u64),
    /// The inode that this name has.
    InodeOf(RelPath),
    /// An inode that no other name has.
    OwnInode,
    /// So many bytes on the medium.
    Allocated(u64),
    /// A device number.
    Device(u64),
    /// Its path leads nowhere, or cannot be followed.
    NotThere,
    /// It cannot be read any more.
    Unread(Errno),
    /// An owner, a group and a mode.
    OwnerAndMode(u32, u32, u32),
    /// The value of an extended attribute: its length, and the beginning of its BLAKE3 digest.
    Attribute(usize, String),
}

impl From<String> for PropertyValue {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl From<Appearance> for PropertyValue {
    fn from(appearance: Appearance) -> Self {
        Self::Inode(appearance)
    }
}

impl From<Kind> for PropertyValue {
    fn from(kind: Kind) -> Self {
        Self::Kind(kind)
    }
}

/// What a person tells an inode by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appearance {
    /// Its type.
    pub kind: Kind,
    /// Its length, which counts for a regular file.
    pub size: u64,
    /// When its content changed, where that is known.
    pub mtime: Option<Time>,
}

impl From<&Stat> for Appearance {
    fn from(stat: &Stat) -> Self {
        Self { kind: stat.kind, size: stat.size, mtime: Some(stat.mtime) }
    }
}
