//! Calls that rustix has no safe form of.

use super::fault::Fault;
use super::{Errno, Op, fault, retry};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::fs::File;
use std::mem::ManuallyDrop;

/// Closes a file and reports the error of close(2): some file systems report a failed write only here.
#[expect(unsafe_code, reason = "close(2) takes a raw descriptor")]
pub fn close(fd: OwnedFd) -> Result<(), Errno> {
    use rustix::fd::IntoRawFd;
    // SAFETY: the descriptor was owned and is given up here, so nobody else uses or closes it.
    let closed = unsafe { rustix::io::try_close(fd.into_raw_fd()) };
    // It is closed even after an error.
    let closed = match fault::next(Op::Close) {
        Some(Fault::Fails(errno)) => Err(errno),
        _ => closed,
    };
    match closed {
        // Linux has closed the descriptor even when a signal arrived.
        Ok(()) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Starts writing the dirty pages of a range (sync_file_range(2), `SYNC_FILE_RANGE_WRITE`). Not durability:
/// neither metadata nor the device's cache is written.
pub fn write_behind(fd: impl AsFd, offset: u64, length: u64) -> Result<(), Errno> {
    sync_range(fd.as_fd(), (offset, length), libc::SYNC_FILE_RANGE_WRITE)
}

/// Writes a range and waits until the device has taken it (sync_file_range(2)). The errors are those of
/// the write-back.
pub fn wait_written(fd: impl AsFd, offset: u64, length: u64) -> Result<(), Errno> {
    let wait = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(fd.as_fd(), (offset, length), wait | libc::SYNC_FILE_RANGE_WRITE)
}

#[expect(unsafe_code, reason = "rustix does not have sync_file_range(2)")]
fn sync_range(fd: BorrowedFd<'_>, (offset, length): (u64, u64), flags: libc::c_uint) -> Result<(), Errno> {
    let number = |n: u64| libc::off64_t::try_from(n).map_err(|_| Errno::INVAL);
    let (offset, length) = (number(offset)?, number(length)?);
    retry(Op::SyncRange, || {
        // SAFETY: the descriptor is open as long as it is borrowed; the call takes no memory.
        match unsafe { libc::sync_file_range(fd.as_raw_fd(), offset, length, flags) } {
            0 => Ok(()),
            _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        }
    })
}

/// A descriptor as the standard library's file, for crates that support nothing else. Dropping it does
/// not close the descriptor.
#[expect(unsafe_code, reason = "a File is made of a raw descriptor")]
pub(super) fn as_file(fd: BorrowedFd<'_>) -> ManuallyDrop<File> {
    // SAFETY: the file is never dropped, so the borrowed descriptor stays its owner's to close;
    // every caller uses it up while it holds `fd`.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) })
}

/// `struct fsxattr` of linux/fs.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FsXattr {
    pub(super) xflags: u32,
    pub(super) extsize: u32,
    pub(super) nextents: u32,
    pub(super) projid: u32,
    pub(super) cowextsize: u32,
    pub(super) pad: [u8; 8],
}

const FSGETXATTR: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<FsXattr>(b'X', 31);
const FSSETXATTR: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<FsXattr>(b'X', 32);

/// `FS_IOC_FSGETXATTR` (ioctl_fs(2), linux/fs.h).
#[expect(unsafe_code, reason = "rustix knows this ioctl by its number only")]
pub(super) fn get_fsxattr(fd: impl AsFd) -> Result<FsXattr, Errno> {
    retry(Op::GetProject, || {
        // SAFETY: the opcode reads one `struct fsxattr` into memory of exactly that layout.
        unsafe { rustix::ioctl::ioctl(fd.as_fd(), rustix::ioctl::Getter::<FSGETXATTR, FsXattr>::new()) }
    })
}

/// `struct file_clone_range` of linux/fs.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct CloneRange {
    source: i64,
    source_offset: u64,
    length: u64,
    target_offset: u64,
}

const FICLONERANGE: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<CloneRange>(0x94, 13);

/// Makes `target` share the blocks of `source` from the start to its end (`FICLONERANGE`,
/// ioctl_ficlonerange(2)): what `target` has there is replaced at once, and it grows to the source's size.
///
/// `EXDEV` between file systems, `EOPNOTSUPP`, `ENOTTY` or `EINVAL` where blocks cannot be shared,
/// `ENOSPC` and `EDQUOT` for the metadata, `ETXTBSY` for a swap file.
#[expect(unsafe_code, reason = "rustix knows this ioctl by its number only")]
pub fn share_blocks(source: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let source = source.as_fd();
    let range = CloneRange { source: source.as_raw_fd().into(), source_offset: 0, length: 0, target_offset: 0 };
    retry(Op::Reflink, || {
        // SAFETY: the opcode takes a pointer to one `struct file_clone_range`, whose layout `CloneRange` has; the
        // descriptor in it is open as long as `source` is borrowed.
        unsafe { rustix::ioctl::ioctl(target.as_fd(), rustix::ioctl::Setter::<FICLONERANGE, CloneRange>::new(range)) }
    })
}

/// `struct xfs_fsop_geom_v1` of linux/xfs_fs.h, for its UUID and its features.
#[repr(C)]
#[derive(Clone, Copy)]
struct XfsGeometry {
    sizes: [u64; 8],
    uuid: [u8; 16],
    stripes: [u32; 2],
    version: i32,
    features: u32,
    rest: [u32; 4],
}

/// `XFS_FSOP_GEOM_FLAGS_REFLINK`.
const XFS_REFLINK: u32 = 1 << 20;

const XFS_GEOMETRY: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<XfsGeometry>(b'X', 100);

/// The UUID of an XFS, and whether its files can share blocks (`XFS_IOC_FSGEOMETRY_V1`,
/// ioctl_xfs_fsgeometry(2)).
#[expect(unsafe_code, reason = "rustix knows this ioctl by its number only")]
pub(super) fn xfs_geometry(fd: impl AsFd) -> Result<([u8; 16], bool), Errno> {
    retry(Op::Statfs, || {
        // SAFETY: the opcode reads one `struct xfs_fsop_geom_v1` into memory of exactly that layout.
        unsafe { rustix::ioctl::ioctl(fd.as_fd(), rustix::ioctl::Getter::<XFS_GEOMETRY, XfsGeometry>::new()) }
    })
    .map(|geometry| (geometry.uuid, geometry.features & XFS_REFLINK != 0))
}

/// `struct btrfs_ioctl_fs_info_args` of linux/btrfs.h, for its UUID.
#[repr(C)]
#[derive(Clone, Copy)]
struct BtrfsInfo {
    counts: [u64; 2],
    uuid: [u8; 16],
    rest: [u64; 124],
}

const BTRFS_INFO: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<BtrfsInfo>(0x94, 31);

/// The UUID of a btrfs, the same in all its subvolumes (`BTRFS_IOC_FS_INFO`, btrfs-ioctl(3)).
#[expect(unsafe_code, reason = "rustix knows this ioctl by its number only")]
pub(super) fn btrfs_uuid(fd: impl AsFd) -> Result<[u8; 16], Errno> {
    // The kernel reads its flags first, of which none are set.
    let mut info = BtrfsInfo { counts: [0; 2], uuid: [0; 16], rest: [0; 124] };
    retry(Op::Statfs, || {
        // SAFETY: the opcode takes a pointer to one `struct btrfs_ioctl_fs_info_args`, whose layout `BtrfsInfo` has.
        unsafe { rustix::ioctl::ioctl(fd.as_fd(), rustix::ioctl::Updater::<BTRFS_INFO, BtrfsInfo>::new(&mut info)) }
    })?;
    Ok(info.uuid)
}

/// `FS_IOC_FSSETXATTR`.
#[expect(unsafe_code, reason = "rustix knows this ioctl by its number only")]
pub(super) fn set_fsxattr(fd: impl AsFd, value: FsXattr) -> Result<(), Errno> {
    retry(Op::SetProject, || {
        // SAFETY: the opcode takes a pointer to one `struct fsxattr`, which `Setter` passes.
        unsafe { rustix::ioctl::ioctl(fd.as_fd(), rustix::ioctl::Setter::<FSSETXATTR, FsXattr>::new(value)) }
    })
}
