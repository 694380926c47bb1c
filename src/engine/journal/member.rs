//! The names of a linked source inode.

use super::row::Row;
use std::sync::Arc;

/// A name of a linked source inode.
#[derive(Clone, Debug)]
pub struct Member {
    /// The directory's id.
    pub dir: i64,
    /// The name in it.
    pub name: Vec<u8>,
    /// Index of the plan's target.
    pub target: u32,
    /// Inode number on the target.
    pub dst_ino: u64,
    /// Number of names that the source inode had.
    pub nlink: u32,
    /// What all names of its group, and no others, have in common: the source inode in one state,
    /// and the owner and mode that the plan gives it.
    pub group: Arc<[u8]>,
}

impl Member {
    pub(super) fn of(row: Row) -> Self {
        let mtime = row.wanted.mtime.map(|time| (time.sec, time.nsec));
        let key = (row.source, row.size, row.rdev, mtime, row.wanted.mode, row.wanted.owner, row.digest, row.link);
        let group = Arc::from(format!("{:?} {key:?}", row.wanted.kind).into_bytes());
        Self { dir: row.dir, name: row.name, target: row.target, dst_ino: row.dst_ino, nlink: row.nlink, group }
    }
}
