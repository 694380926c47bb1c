//! Which state of the source an entry was made from.

use crate::engine::meta::Attributes;
use crate::engine::volume::Volume;
use crate::sys::stat::{Stat, Time};

/// The source inode that an entry was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId {
    /// Its file system, by its number in the table `volume`; `None` in rows of a release
    /// that did not record it.
    pub volume: Option<i64>,
    /// Inode number.
    pub ino: u64,
    /// Time of the last change of the inode.
    pub ctime: Time,
}

/// The number of no volume: what has it was not copied, but found in its place.
const IN_PLACE: i64 = 0;

impl SourceId {
    /// The identity of an inode of the target that is its own source.
    #[must_use]
    pub fn in_place(stat: &Stat) -> Self {
        Self { volume: Some(IN_PLACE), ino: stat.ino, ctime: stat.ctime }
    }

    /// True for such an identity.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.volume == Some(IN_PLACE)
    }

    /// True for the same inode, whatever has happened to it.
    #[must_use]
    pub fn is_same_inode(&self, other: &Self) -> bool {
        (self.volume, self.ino) == (other.volume, other.ino)
    }

    /// The identity in the stat of an inode of `volume`.
    #[must_use]
    pub fn of(stat: &Stat, volume: &Volume) -> Self {
        Self { volume: Some(volume.id), ino: stat.ino, ctime: stat.ctime }
    }

    /// The same, or `None` if the inode's attributes could not all be read: no later run may take
    /// its copy for complete.
    #[must_use]
    pub fn of_whole(stat: &Stat, volume: &Volume, attributes: &Attributes) -> Option<Self> {
        (!attributes.unread).then(|| Self::of(stat, volume))
    }
}

/// What a stat of the source tells about the entry that a row was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It has not changed.
    Holds,
    /// Type, size and mtime are those of the row; only reading it tells about the rest.
    Unproven(Doubt),
    /// It has changed, or it could not be read whole.
    Changed,
}

/// Why a stat that looks the same proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The ctime of its file system may not be reliable.
    Clock,
    /// Another inode number, ctime or file system than the row's.
    Numbers,
}
