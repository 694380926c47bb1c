//! statx(2), decoded.

use super::flags::Flags;
use super::{Errno, Op, retry};
use crate::base::path::Name;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags};
use std::ffi::CStr;

/// The type of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device, overlayfs whiteouts (0:0) among them.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A Unix socket.
    Socket,
}

impl Kind {
    /// Its name for a person, with an article.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::File => "a regular file",
            Self::Directory => "a directory",
            Self::Symlink => "a symlink",
            Self::Fifo => "a FIFO",
            Self::CharDevice => "a character device",
            Self::BlockDevice => "a block device",
            Self::Socket => "a socket",
        }
    }

    /// The letter of `ls -l` (but `f` for a regular file), as the journal stores it.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::File => "f",
            Self::Directory => "d",
            Self::Symlink => "l",
            Self::Fifo => "p",
            Self::CharDevice => "c",
            Self::BlockDevice => "b",
            Self::Socket => "s",
        }
    }

    /// The kind that [`Self::letter`] stands for.
    #[must_use]
    pub fn from_letter(letter: &str) -> Option<Self> {
        Some(match letter {
            "f" => Self::File,
            "d" => Self::Directory,
            "l" => Self::Symlink,
            "p" => Self::Fifo,
            "c" => Self::CharDevice,
            "b" => Self::BlockDevice,
            "s" => Self::Socket,
            _ => return None,
        })
    }

    pub(crate) fn from_file_type(file_type: FileType) -> Option<Self> {
        Some(match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Socket => Self::Socket,
            FileType::Unknown => return None,
        })
    }

    pub(crate) const fn file_type(self) -> FileType {
        match self {
            Self::File => FileType::RegularFile,
            Self::Directory => FileType::Directory,
            Self::Symlink => FileType::Symlink,
            Self::Fifo => FileType::Fifo,
            Self::CharDevice => FileType::CharacterDevice,
            Self::BlockDevice => FileType::BlockDevice,
            Self::Socket => FileType::Socket,
        }
    }
}

/// A point in time as the file system stores it. Seconds may be negative; the pair covers more than
/// 64-bit nanoseconds would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since the epoch, rounded down.
    pub sec: i64,
    /// Nanoseconds within the second.
    pub nsec: u32,
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.sec, self.nsec)
    }
}

/// What statx(2) says about one inode.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Type.
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub nlink: u32,
    /// Device number of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Device number of a device node.
    pub rdev: u64,
    /// Apparent size in bytes.
    pub size: u64,
    /// Allocated bytes.
    pub allocated: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of content.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
    /// When the inode was created, if the file system tells.
    pub btime: Option<Time>,
    /// True for the root of a mount (since Linux 5.8).
    pub mount_root: bool,
    /// Alignment in bytes that `O_DIRECT` requires of offsets; 0 = not known or not supported.
    pub dio_align: u32,
    /// chattr(1) flags that a copy would have to set again: a subset of "iad".
    pub flags: &'static str,
}

impl Stat {
    /// True for an immutable or append-only inode, which nothing can replace.
    #[must_use]
    pub fn is_immutable_or_append(&self) -> bool {
        self.flags.contains(['i', 'a'])
    }

    /// True for another stat of the same inode.
    #[must_use]
    pub fn is_inode_of(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    /// Those of immutable and append-only that it has.
    #[must_use]
    pub fn sticky_flags(&self) -> Flags {
        let immutable = if self.flags.contains('i') { Flags::IMMUTABLE } else { Flags::empty() };
        let append = if self.flags.contains('a') { Flags::APPEND } else { Flags::empty() };
        immutable.union(append)
    }

    /// True when content and identity are those of `earlier`: the same inode,
    /// size, mtime and ctime.
    #[must_use]
    pub fn unchanged_since(&self, earlier: &Self) -> bool {
        self.kind == earlier.kind
            && self.ino == earlier.ino
            && self.dev == earlier.dev
            && self.size == earlier.size
            && self.mtime == earlier.mtime
            && self.ctime == earlier.ctime
    }
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::DIOALIGN
}

fn decode(raw: &Statx) -> Stat {
    let mode = u32::from(raw.stx_mode);
    let time = |t: &rustix::fs::StatxTimestamp| Time { sec: t.tv_sec, nsec: t.tv_nsec };
    let immutable = raw.stx_attributes.contains(StatxAttributes::IMMUTABLE);
    let append = raw.stx_attributes.contains(StatxAttributes::APPEND);
    let nodump = raw.stx_attributes.contains(StatxAttributes::NODUMP);
    Stat {
        // Linux has no other types of inode; taken for a socket, it would be noted and not opened.
        kind: Kind::from_file_type(FileType::from_raw_mode(mode)).unwrap_or(Kind::Socket),
        mode: mode & 0o7777,
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        nlink: raw.stx_nlink,
        dev: rustix::fs::makedev(raw.stx_dev_major, raw.stx_dev_minor),
        ino: raw.stx_ino,
        rdev: rustix::fs::makedev(raw.stx_rdev_major, raw.stx_rdev_minor),
        size: raw.stx_size,
        allocated: raw.stx_blocks * 512,
        atime: time(&raw.stx_atime),
        mtime: time(&raw.stx_mtime),
        ctime: time(&raw.stx_ctime),
        btime: (raw.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| time(&raw.stx_btime)),
        mount_root: raw.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        dio_align: raw.stx_dio_offset_align.max(raw.stx_dio_mem_align),
        flags: match (immutable, append, nodump) {
            (false, false, false) => "",
            (true, false, false) => "i",
            (false, true, false) => "a",
            (false, false, true) => "d",
            (true, true, false) => "ia",
            (true, false, true) => "id",
            (false, true, true) => "ad",
            (true, true, true) => "iad",
        },
    }
}

/// FUSE and network file systems answer from a cache of a second or more unless asked like this; on
/// local disks it costs nothing.
const ASKED: AtFlags = AtFlags::STATX_FORCE_SYNC;

/// `statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC)`: the inode behind a descriptor,
/// `O_PATH` ones included (statx(2)).
pub fn stat_fd(fd: impl AsFd) -> Result<Stat, Errno> {
    let fd = fd.as_fd();
    retry(Op::Stat, || rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH | ASKED, wanted())).map(|raw| decode(&raw))
}

/// `statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_FORCE_SYNC)`: one
/// entry of a directory, symlinks themselves (statx(2)).
pub fn stat_at(dir: impl AsFd, name: &Name) -> Result<Stat, Errno> {
    stat_c(dir, name.as_c_str(), ASKED)
}

/// The same from the kernel's cache if it has one, for counting.
pub fn cached_stat_at(dir: impl AsFd, name: &Name) -> Result<Stat, Errno> {
    stat_c(dir, name.as_c_str(), AtFlags::empty())
}

fn stat_c(dir: impl AsFd, name: &CStr, sync: AtFlags) -> Result<Stat, Errno> {
    let dir = dir.as_fd();
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | sync;
    retry(Op::Stat, || rustix::fs::statx(dir, name, flags, wanted())).map(|raw| decode(&raw))
}
/// A device number as in `/proc/self/mountinfo`: `8:1`.
#[must_use]
pub fn device_number(dev: u64) -> String {
    format!("{}:{}", rustix::fs::major(dev), rustix::fs::minor(dev))
}
