//! The only home of `unsafe`: calls that rustix has no safe form of.

use super::fault::{self, Fault};
use super::{Errno, Op, retry};
use rustix::fd::{AsFd, OwnedFd};

/// Closes a file and reports what close(2) says: some file systems report a
/// failed write only here.
#[expect(unsafe_code, reason = "close(2) takes a raw descriptor")]
pub fn close(fd: OwnedFd) -> Result<(), Errno> {
    use rustix::fd::IntoRawFd;
    // SAFETY: the descriptor was owned and is given up here, so nobody else uses or closes it.
    let closed = unsafe { rustix::io::try_close(fd.into_raw_fd()) };
    // It is closed whatever it says.
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

/// `FS_IOC_FSSETXATTR`.
#[expect(unsafe_code, reason = "rustix knows this ioctl by its number only")]
pub(super) fn set_fsxattr(fd: impl AsFd, value: FsXattr) -> Result<(), Errno> {
    retry(Op::SetProject, || {
        // SAFETY: the opcode takes a pointer to one `struct fsxattr`, which `Setter` passes.
        unsafe { rustix::ioctl::ioctl(fd.as_fd(), rustix::ioctl::Setter::<FSSETXATTR, FsXattr>::new(value)) }
    })
}
