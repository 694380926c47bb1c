//! Whole file systems: what they are, what they can hold, and syncfs.

use super::{Errno, Op, raw, retry};
use rustix::fd::{AsFd, OwnedFd};

/// Btrfs, in `linux/magic.h`.
pub const BTRFS: u64 = 0x9123_683e;

/// File systems with their own medium (or in memory), by their magic numbers.
const LOCAL: [u64; 23] = [
    BTRFS,
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0xf2f5_2010, // f2fs
    0xca45_1a4e, // bcachefs
    0x2fc1_2fc1, // zfs
    0x3153_464a, // jfs
    0x5265_4973, // reiserfs
    0x3434,      // nilfs2
    0x2405_1905, // ubifs
    0x72b6,      // jffs2
    0x4d44,      // vfat
    0x2011_bab0, // exfat
    0x7366_746e, // ntfs3
    0x4244,      // hfs
    0x482b,      // hfsplus
    0x9660,      // iso9660
    0x1501_3346, // udf
    0x7371_7368, // squashfs
    0xe0f5_e1e2, // erofs
    0x794c_7630, // overlay
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
];

/// What statfs(2) says about a file system.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// The magic number, as in `linux/magic.h`.
    pub magic: u64,
    /// Size in bytes.
    pub size: u64,
    /// Bytes that an unprivileged writer may still allocate.
    pub available: u64,
    /// Bytes that are free, those reserved for root included.
    pub free: u64,
    /// All inodes; 0 if they are created on demand (btrfs).
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
    /// The longest name in bytes.
    pub name_max: u64,
    /// The largest file in bytes, if the kind of file system tells.
    pub file_max: Option<u64>,
    /// Mounted read-only.
    pub read_only: bool,
}

impl Space {
    /// True for file systems that lose everything at power-off.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        const TMPFS: u64 = 0x0102_1994;
        const RAMFS: u64 = 0x8584_58f6;
        const OVERLAY: u64 = 0x794c_7630;
        [TMPFS, RAMFS, OVERLAY].contains(&self.magic)
    }

    /// True when there is no medium below the page cache: tmpfs and ramfs.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        [0x0102_1994, 0x8584_58f6].contains(&self.magic)
    }

    /// True if chown and chmod may be refused for every inode: without owners, or with FUSE, whose drivers
    /// answer as they like.
    #[must_use]
    pub fn may_lack_owners(&self) -> bool {
        self.is_fuse() || self.without_owners().is_some()
    }

    /// True if the driver may answer from a cache of its own: FUSE, network file systems, and whatever is
    /// not known to read its own medium.
    #[must_use]
    pub fn may_cache(&self) -> bool {
        !LOCAL.contains(&self.magic)
    }

    /// True for FUSE.
    #[must_use]
    pub fn is_fuse(&self) -> bool {
        self.magic == 0x6573_5546
    }

    /// True for btrfs.
    #[must_use]
    pub fn is_btrfs(&self) -> bool {
        self.magic == BTRFS
    }

    /// The name of a file system that keeps no Unix owners and modes.
    #[must_use]
    pub fn without_owners(&self) -> Option<&'static str> {
        match self.magic {
            0x4d44 => Some("vfat"),
            0x2011_bab0 => Some("exfat"),
            0x5346_544e | 0x7366_746e => Some("ntfs"),
            _ => None,
        }
    }
}

/// What tells one file system from another.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The magic number, as in `linux/magic.h`.
    pub magic: u64,
    /// `f_fsid`: derived from the UUID by most file systems, and by btrfs from the subvolume's number as
    /// well; from the device number by others, and 0 for those that have none.
    pub fsid: u64,
    /// The UUID, only of XFS and btrfs: nothing else about them survives a reboot and tells which
    /// subvolumes belong together.
    pub uuid: Option<[u8; 16]>,
    /// Its files can share blocks (reflink).
    pub reflink: bool,
}

impl Identity {
    /// True if files of this file system, on the device `dev`, can share blocks with those of `other`. An XFS can
    /// be mounted beside a snapshot with the same UUID; the subvolumes of a btrfs have a device number each.
    #[must_use]
    pub fn shares_blocks_with(&self, dev: u64, (other, other_dev): (&Self, u64)) -> bool {
        self.reflink
            && self.magic == other.magic
            && self.uuid == other.uuid
            && (self.magic == BTRFS || dev == other_dev)
    }
}

/// The identity of the file system that holds `fd` (statfs(2)). An `O_PATH` handle does not give its
/// UUID.
pub fn identity(fd: impl AsFd) -> Result<Identity, Errno> {
    let fd = fd.as_fd();
    let magic = (retry(Op::Statfs, || rustix::fs::fstatfs(fd))?.f_type as u64) & 0xffff_ffff;
    let fsid = retry(Op::Statfs, || rustix::fs::fstatvfs(fd))?.f_fsid;
    let (uuid, reflink) = match magic {
        XFS => raw::xfs_geometry(fd).map(|(uuid, reflink)| (Some(uuid), reflink))?,
        BTRFS => (Some(raw::btrfs_uuid(fd)?), true),
        _ => (None, false),
    };
    Ok(Identity { magic, fsid, uuid, reflink })
}

/// XFS, in `linux/magic.h`.
pub const XFS: u64 = 0x5846_5342;

/// statfs(2) and statvfs(3) of the file system that holds `fd`.
pub fn space(fd: impl AsFd) -> Result<Space, Errno> {
    let s = retry(Op::Statfs, || rustix::fs::fstatfs(fd.as_fd()))?;
    let v = retry(Op::Statfs, || rustix::fs::fstatvfs(fd.as_fd()))?;
    let magic = (s.f_type as u64) & 0xffff_ffff;
    Ok(Space {
        magic,
        size: v.f_blocks * v.f_frsize,
        available: v.f_bavail * v.f_frsize,
        free: v.f_bfree * v.f_frsize,
        inodes: v.f_files,
        inodes_free: v.f_ffree,
        name_max: v.f_namemax,
        file_max: file_max(magic, v.f_bsize),
        read_only: v.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

/// The limit that no file of this kind of file system exceeds; older formats may stop earlier.
fn file_max(magic: u64, block: u64) -> Option<u64> {
    match magic {
        // vfat stores 32 bits of size, ext4 32 bits of block number.
        0x4d44 => Some(u64::from(u32::MAX)),
        0xef53 => Some(u64::from(u32::MAX).saturating_mul(block)),
        _ => None,
    }
}

/// A descriptor for syncfs(2), opened before anything is written: since Linux
/// 5.8 each open description reports write-back errors since it was opened.
#[derive(Debug)]
pub struct SyncFd(OwnedFd);

impl SyncFd {
    /// Opens a new description of the directory `dir`: a duplicate would share its error cursor with the
    /// original.
    pub fn open(dir: impl AsFd) -> Result<Self, Errno> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        retry(Op::Open, || rustix::fs::openat(dir.as_fd(), c".", flags, Mode::empty())).map(Self)
    }

    /// Writes the whole file system to the medium and reports any write-back error since the last call on
    /// this descriptor.
    pub fn sync(&self) -> Result<(), Errno> {
        // Debug builds only: `tests/power.rs` uses it to show that it would notice.
        #[cfg(debug_assertions)]
        if std::env::var_os("PERSISTCP_TEST_NO_SYNCFS").is_some() {
            return Ok(());
        }
        retry(Op::Syncfs, || rustix::fs::syncfs(&self.0))
    }
}

/// The soft limit of open files (getrlimit(2)).
#[must_use]
pub fn open_files() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20)
}

/// Raises the soft limit of open files to the hard one and returns it (getrlimit(2)).
#[must_use]
pub fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(1 << 20);
    match setrlimit(Resource::Nofile, Rlimit { current: Some(hard), maximum: limit.maximum }) {
        Ok(()) => hard,
        Err(_) => limit.current.unwrap_or(1024),
    }
}

/// The id of the mount that `fd` is on (statx(2), `STATX_MNT_ID`, since Linux 5.8).
pub fn mount_id(fd: impl AsFd) -> Result<u64, Errno> {
    use rustix::fs::{AtFlags, StatxFlags};
    let fd = fd.as_fd();
    let stat = retry(Op::Stat, || rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID))?;
    if stat.stx_mask & StatxFlags::MNT_ID.bits() == 0 { Err(Errno::NOSYS) } else { Ok(stat.stx_mnt_id) }
}

/// True when this process may give files away to any owner.
#[must_use]
pub fn may_chown() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::file_max;

    #[test]
    fn vfat_holds_less_than_four_gibibytes() {
        assert_eq!(file_max(0x4d44, 512), Some((4 << 30) - 1));
        assert_eq!(file_max(0xef53, 4096), Some((16 << 40) - 4096));
        assert_eq!(file_max(0x5846_5342, 4096), None, "xfs");
    }
}
