//! Extended attributes on descriptors (xattr(7)), POSIX ACLs among them: they
//! are `system.posix_acl_access` and `system.posix_acl_default`.

use super::{Errno, Op, retry};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use xattr::FileExt;

/// A descriptor whose attributes are read or written.
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

/// The path by which the xattr crate, which only takes paths and open files, reaches a handle's inode.
fn through_proc(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The path of a descriptor in procfs.
#[must_use]
pub(crate) fn proc_path(fd: BorrowedFd<'_>) -> CString {
    CString::new(through_proc(fd)).unwrap_or_default()
}

/// A descriptor as the xattr crate takes it.
struct ByDescriptor<'fd>(BorrowedFd<'fd>);

impl AsRawFd for ByDescriptor<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl FileExt for ByDescriptor<'_> {}

/// The errno of an error that the xattr crate passes on from the kernel.
fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::INVAL)
}

/// The names of all attributes that the caller may see. Empty if the file
/// system has no attributes at all (`EOPNOTSUPP`).
pub fn list(holder: Holder<'_>) -> Result<Vec<CString>, Errno> {
    let listed = retry(Op::ListXattr, || match holder {
        Holder::File(fd) => ByDescriptor(fd).list_xattr().map_err(|error| errno(&error)),
        Holder::Handle(fd) => xattr::list_deref(through_proc(fd)).map_err(|error| errno(&error)),
    });
    let names = match listed {
        Ok(names) => names.map(std::os::unix::ffi::OsStringExt::into_vec),
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    // XFS lists its ACLs a second time, in its own format and under its own names.
    let names = names.filter(|name| !name.is_empty() && !name.starts_with(b"trusted.SGI_ACL_"));
    Ok(names.filter_map(|name| CString::new(name).ok()).collect())
}

/// The value of one attribute. `ENODATA` when it does not exist.
pub fn get(holder: Holder<'_>, name: &CStr) -> Result<Vec<u8>, Errno> {
    let name = OsStr::from_bytes(name.to_bytes());
    let value = retry(Op::GetXattr, || match holder {
        Holder::File(fd) => ByDescriptor(fd).get_xattr(name).map_err(|error| errno(&error)),
        Holder::Handle(fd) => xattr::get_deref(through_proc(fd), name).map_err(|error| errno(&error)),
    });
    value?.ok_or(Errno::NODATA)
}

/// Sets or replaces one attribute. `EOPNOTSUPP` if the file system or the
/// namespace has none, `ENOSPC` or `E2BIG` if it does not fit.
pub fn set(holder: Holder<'_>, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let name = OsStr::from_bytes(name.to_bytes());
    retry(Op::SetXattr, || match holder {
        Holder::File(fd) => ByDescriptor(fd).set_xattr(name, value).map_err(|error| errno(&error)),
        Holder::Handle(fd) => xattr::set_deref(through_proc(fd), name, value).map_err(|error| errno(&error)),
    })
}

/// Removes one attribute. `ENODATA` when it does not exist.
pub fn remove(holder: Holder<'_>, name: &CStr) -> Result<(), Errno> {
    let name = OsStr::from_bytes(name.to_bytes());
    retry(Op::RemoveXattr, || match holder {
        Holder::File(fd) => ByDescriptor(fd).remove_xattr(name).map_err(|error| errno(&error)),
        Holder::Handle(fd) => xattr::remove_deref(through_proc(fd), name).map_err(|error| errno(&error)),
    })
}
