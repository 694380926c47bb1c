//! Entries that were looked at on the target, as the journal is told about them.

use super::row::{Row, RowChange};
use crate::sys::stat::{Stat, Time};

/// An entry that was looked at, with its inode number and ctime from before: as long as those
/// are the same, nothing about it has changed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The directory's id.
    pub dir: i64,
    /// The name in it.
    pub name: Vec<u8>,
    /// On the target.
    pub ino: u64,
    /// On the target.
    pub ctime: Time,
}

/// A row whose inode was given another owner or mode after it was recorded.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// The key, and the inode as it is now.
    pub seen: Seen,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Twelve bits.
    pub mode: u32,
}

impl Fixed {
    /// `row`, whose inode changed from `before` to `now`. If somebody else had changed it, the
    /// recorded ctime stays: nothing else tells of that change.
    #[must_use]
    pub fn new(row: &Row, before: RowChange, now: &Stat) -> Self {
        let ctime = if before == RowChange::AsRecorded { now.ctime } else { row.dst_ctime };
        let seen = Seen { dir: row.dir, name: row.name.clone(), ino: now.ino, ctime };
        Self { seen, owner: (now.uid, now.gid), mode: now.mode }
    }
}
