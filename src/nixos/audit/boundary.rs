//! Which mounts inside the source are entered: those that hold a disk's data in a place where the
//! root's own data belongs.

use super::verdict::{Given, WalkedTree};
use crate::base::path::RelPath;
use crate::sys::errno_words;
use crate::sys::filesystem::space;
use crate::sys::stat::Stat;
use rustix::fs::OFlags;

/// File systems that keep a disk's data, by their magic numbers (linux/magic.h).
const DISKS: [u64; 10] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0xf2f5_2010, // f2fs
    0x2fc1_2fc1, // zfs
    0xca45_1a4e, // bcachefs
    0x5265_4973, // reiserfs
    0x3153_464a, // jfs
    0x3434,      // nilfs2
    0x794c_7630, // overlay: an installer's own root
];

/// Why the mount at `path` is not entered; `None` when it is.
pub(super) fn stays_out(given: &Given<'_>, path: &RelPath, stat: &Stat) -> Option<String> {
    let elsewhere = [b"mnt".as_slice(), b"media"];
    if given.side == WalkedTree::Backup
        && elsewhere.iter().any(|top| path.names().next().is_some_and(|name| name.as_bytes() == *top))
    {
        return Some("another disk, by its place".into());
    }
    if stat.dev == given.dev {
        return None;
    }
    match given.root.open_in(path, OFlags::PATH | OFlags::NOFOLLOW).and_then(space) {
        Ok(space) if DISKS.contains(&space.magic) => None,
        Ok(space) if space.is_memory() => Some("a file system in memory".into()),
        Ok(space) => match space.without_owners() {
            Some(kind) => Some(format!("a file system of the kind {kind}, which keeps no owners")),
            None => Some(format!("a file system of another kind ({:#x})", space.magic)),
        },
        Err(errno) => Some(format!("a mount that cannot be read: {}", errno_words(errno))),
    }
}
