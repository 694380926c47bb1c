//! Extended attributes on descriptors (xattr(7)), POSIX ACLs among them: they
//! are `system.posix_acl_access` and `system.posix_acl_default`.

use super::{Errno, Op, retry};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::XattrFlags;
use std::ffi::{CStr, CString};

/// Where attributes are read or written.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'fd> {
    /// A descriptor open for reading or writing.
    File(BorrowedFd<'fd>),
    /// An `O_PATH` handle. The f*xattr calls refuse those with `EBADF`, so the
    /// inode is reached through `/proc/self/fd/N`, which resolves to it and no further.
    Handle(BorrowedFd<'fd>),
}

impl<'fd> Holder<'fd> {
    /// A descriptor open for reading or writing.
    pub fn file(fd: &'fd impl AsFd) -> Self {
        Self::File(fd.as_fd())
    }

    /// The descriptor, whichever it is.
    pub(crate) fn fd(self) -> BorrowedFd<'fd> {
        match self {
            Self::File(fd) | Self::Handle(fd) => fd,
        }
    }

    /// An `O_PATH` handle.
    pub fn handle(fd: &'fd impl AsFd) -> Self {
        Self::Handle(fd.as_fd())
    }
}

/// The path of a descriptor in procfs.
#[must_use]
pub(crate) fn proc_path(fd: BorrowedFd<'_>) -> CString {
    CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default()
}

/// The largest list or value of Linux (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`), in bytes.
const MAX: usize = 65_536;

/// The names of all attributes that the caller may see. Empty where the file
/// system has no attributes at all (`EOPNOTSUPP`).
pub fn list(holder: Holder<'_>) -> Result<Vec<CString>, Errno> {
    let mut buffer = [0_u8; 1024];
    let mut large = Vec::new();
    let once = |space: &mut [u8]| match holder {
        Holder::File(fd) => retry(Op::ListXattr, || rustix::fs::flistxattr(fd, &mut *space)),
        Holder::Handle(fd) => {
            let path = proc_path(fd);
            retry(Op::ListXattr, || rustix::fs::listxattr(path.as_c_str(), &mut *space))
        }
    };
    let bytes = match once(&mut buffer) {
        Ok(length) => &buffer[..length],
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            large.resize(MAX, 0);
            let length = once(&mut large)?;
            &large[..length]
        }
        Err(errno) => return Err(errno),
    };
    // XFS lists its ACLs a second time, in its own format and under its own names.
    let names = bytes.split(|b| *b == 0).filter(|n| !n.is_empty() && !n.starts_with(b"trusted.SGI_ACL_"));
    Ok(names.filter_map(|n| CString::new(n).ok()).collect())
}

/// The value of one attribute. `ENODATA` when it does not exist.
pub fn get(holder: Holder<'_>, name: &CStr) -> Result<Vec<u8>, Errno> {
    let mut buffer = [0_u8; 1024];
    let once = |space: &mut [u8]| match holder {
        Holder::File(fd) => retry(Op::GetXattr, || rustix::fs::fgetxattr(fd, name, &mut *space)),
        Holder::Handle(fd) => {
            let path = proc_path(fd);
            retry(Op::GetXattr, || rustix::fs::getxattr(path.as_c_str(), name, &mut *space))
        }
    };
    match once(&mut buffer) {
        Ok(length) => Ok(buffer[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; MAX];
            let length = once(&mut large)?;
            // A row keeps it until its epoch is recorded: no more than it takes.
            Ok(large[..length].to_vec())
        }
        Err(errno) => Err(errno),
    }
}

/// Sets or replaces one attribute. `EOPNOTSUPP` where the file system or the
/// namespace has none, `ENOSPC` or `E2BIG` where it does not fit.
pub fn set(holder: Holder<'_>, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    match holder {
        Holder::File(fd) => retry(Op::SetXattr, || rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())),
        Holder::Handle(fd) => {
            let path = proc_path(fd);
            retry(Op::SetXattr, || rustix::fs::setxattr(path.as_c_str(), name, value, XattrFlags::empty()))
        }
    }
}

/// Removes one attribute. `ENODATA` when it does not exist.
pub fn remove(holder: Holder<'_>, name: &CStr) -> Result<(), Errno> {
    match holder {
        Holder::File(fd) => retry(Op::RemoveXattr, || rustix::fs::fremovexattr(fd, name)),
        Holder::Handle(fd) => {
            let path = proc_path(fd);
            retry(Op::RemoveXattr, || rustix::fs::removexattr(path.as_c_str(), name))
        }
    }
}
