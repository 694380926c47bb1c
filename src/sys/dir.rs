//! Directories as descriptors. [`SourceDir`] has no method that writes;
//! [`TargetDir`] has none that takes a path or follows a symlink.

use super::fault::Fault;
use super::names::NameSet;
use super::stat::{Kind, Stat, Time, cached_stat_at, stat_at, stat_fd};
use super::xattr::proc_path;
use super::{Errno, Op, fault, retry};
use crate::base::path::{Name, RelPath};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dev, Mode, OFlags, RawDir, Timespec, Timestamps, UTIME_OMIT};
use std::mem::MaybeUninit;

/// The mode of every file at creation: nobody but its owner, who is root.
const FILE_AT_CREATION: Mode = Mode::from_raw_mode(0o600);
/// The mode of every directory at creation.
const DIR_AT_CREATION: Mode = Mode::from_raw_mode(0o700);

/// What mkfs creates at the top of ext file systems.
pub const LOST_AND_FOUND: &[u8] = b"lost+found";

/// Opens for reading without moving the access time if the owner check allows that: `O_NOATIME` gives
/// `EPERM` on other people's files (open(2)).
fn open_noatime(dir: BorrowedFd<'_>, name: &std::ffi::CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let open = |flags| retry(Op::Open, || rustix::fs::openat(dir, name, flags, Mode::empty()));
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        result => result,
    }
}

const READ_FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const READ_DIR: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory of the backup.
#[derive(Debug)]
pub struct SourceDir(OwnedFd);

impl SourceDir {
    /// Takes a descriptor that is a directory open for reading.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Opens a subdirectory. `ENOTDIR` or `ELOOP` when it is something else.
    pub fn open_dir(&self, name: &Name) -> Result<Self, Errno> {
        open_noatime(self.0.as_fd(), name.as_c_str(), READ_DIR).map(Self)
    }

    /// Opens a file for reading. Never blocks: a FIFO in its place opens with `O_NONBLOCK` and shows in the
    /// caller's fstat.
    pub fn open_file(&self, name: &Name) -> Result<OwnedFd, Errno> {
        open_noatime(self.0.as_fd(), name.as_c_str(), READ_FILE)
    }

    /// Opens an entry only as a handle (`O_PATH`): its driver or file system opens nothing, so devices and
    /// FIFOs are safe.
    pub fn open_handle(&self, name: &Name) -> Result<OwnedFd, Errno> {
        open_handle(&self.0, name)
    }

    /// The target of a symlink, as bytes (readlinkat(2)).
    pub fn read_link(&self, name: &Name) -> Result<Vec<u8>, Errno> {
        read_link(&self.0, name)
    }

    /// One entry, not following it.
    pub fn stat_at(&self, name: &Name) -> Result<Stat, Errno> {
        stat_at(&self.0, name)
    }

    /// The same, possibly from the kernel's cache, for counting.
    pub fn cached_stat_at(&self, name: &Name) -> Result<Stat, Errno> {
        cached_stat_at(&self.0, name)
    }

    /// The directory itself.
    pub fn stat(&self) -> Result<Stat, Errno> {
        stat_fd(&self.0)
    }
}

impl AsFd for SourceDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn open_handle(dir: impl AsFd, name: &Name) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry(Op::Open, || rustix::fs::openat(dir.as_fd(), name.as_c_str(), flags, Mode::empty()))
}

/// Opens the inode that an `O_PATH` handle holds: no name is resolved again. A directory is opened
/// as its own `.`, anything else through procfs, which must be mounted. `flags` get `O_CLOEXEC`.
pub fn open_held(handle: impl AsFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    if flags.contains(OFlags::DIRECTORY) {
        return retry(Op::Open, || rustix::fs::openat(handle.as_fd(), c".", flags | OFlags::CLOEXEC, Mode::empty()));
    }
    let path = proc_path(handle.as_fd());
    retry(Op::Open, || rustix::fs::open(path.as_c_str(), flags | OFlags::CLOEXEC, Mode::empty()))
}

fn read_link(dir: impl AsFd, name: &Name) -> Result<Vec<u8>, Errno> {
    retry(Op::Readlink, || rustix::fs::readlinkat(dir.as_fd(), name.as_c_str(), Vec::new()))
        .map(std::ffi::CString::into_bytes)
}

/// One entry of a directory as getdents64(2) gives it.
#[derive(Clone, Debug)]
pub struct DirEntry {
    /// The name.
    pub name: Name,
    /// The inode number, for the order of reading.
    pub ino: u64,
    /// The type, if the file system reports it here.
    pub kind: Option<Kind>,
}

/// Size of a getdents buffer in bytes: about 1 000 entries of ordinary names.
const DENTS: usize = 32 * 1024;

/// Reads a directory in batches of at most `limit` entries and hands each batch to `each`, every name
/// once; it stops early when that returns `false`.
pub fn read_batches(dir: impl AsFd, limit: usize, mut each: impl FnMut(Vec<DirEntry>) -> bool) -> Result<(), Errno> {
    let mut buffer = vec![MaybeUninit::<u8>::uninit(); DENTS];
    let mut entries = RawDir::new(dir, &mut buffer);
    let (mut batch, mut names) = (Vec::new(), NameSet::default());
    loop {
        // Only with an empty buffer does it call the kernel.
        let fault = if entries.is_buffer_empty() { fault::next(Op::Getdents) } else { None };
        let next = match fault {
            Some(Fault::Fails(errno)) => Some(Err(errno)),
            _ => entries.next(),
        };
        let entry = match next {
            None => break,
            Some(Err(Errno::INTR)) => continue,
            Some(entry) => entry?,
        };
        // The kernel never returns an empty name or a slash; `.` and `..` are skipped by the check.
        let Ok(name) = Name::new(entry.file_name().to_bytes()) else { continue };
        if !names.is_new(name.as_bytes()) {
            continue;
        }
        batch.push(DirEntry { name, ino: entry.ino(), kind: Kind::from_file_type(entry.file_type()) });
        if batch.len() >= limit && !each(std::mem::take(&mut batch)) {
            return Ok(());
        }
    }
    if !batch.is_empty() {
        each(batch);
    }
    Ok(())
}

/// A directory of the target.
#[derive(Debug)]
pub struct TargetDir(OwnedFd);

impl TargetDir {
    /// Takes a descriptor that is a directory open for reading.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Returns the descriptor.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Opens a subdirectory, never through a symlink (`ELOOP`, `ENOTDIR`).
    pub fn open_dir(&self, name: &Name) -> Result<Self, Errno> {
        retry(Op::Open, || rustix::fs::openat(&self.0, name.as_c_str(), READ_DIR, Mode::empty())).map(Self)
    }

    /// Creates a subdirectory, 0700. `EEXIST` when the name is taken.
    pub fn make_dir(&self, name: &Name) -> Result<(), Errno> {
        retry(Op::Mkdir, || rustix::fs::mkdirat(&self.0, name.as_c_str(), DIR_AT_CREATION))
    }

    /// Creates and opens a file, 0600, for writing and reading. `EEXIST` when the name is taken.
    pub fn make_file(&self, name: &Name) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        retry(Op::Create, || rustix::fs::openat(&self.0, name.as_c_str(), flags, FILE_AT_CREATION))
    }

    /// Opens an existing regular file for reading and writing. A handle comes first: a device that took its
    /// place is not opened. `EINVAL` for anything else.
    pub fn open_to_write(&self, name: &Name) -> Result<OwnedFd, Errno> {
        let handle = open_handle(&self.0, name)?;
        if stat_fd(&handle)?.kind != Kind::File {
            return Err(Errno::INVAL);
        }
        open_held(&handle, OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    /// Creates a symlink with exactly this `text`.
    pub fn make_symlink(&self, text: &[u8], name: &Name) -> Result<(), Errno> {
        retry(Op::Symlink, || rustix::fs::symlinkat(text, &self.0, name.as_c_str()))
    }

    /// Creates a FIFO or device node, 0600 (mknod(2)). `EPERM` without `CAP_MKNOD`.
    pub fn make_node(&self, name: &Name, kind: Kind, rdev: u64) -> Result<(), Errno> {
        retry(Op::Mknod, || {
            rustix::fs::mknodat(&self.0, name.as_c_str(), kind.file_type(), FILE_AT_CREATION, rdev as Dev)
        })
    }

    /// Links the inode at `from`/`name` to a second name here (linkat(2)).
    /// `EMLINK` at the file system's limit, `EXDEV` across mounts.
    pub fn link_from(&self, from: &Self, name: &Name, new: &Name) -> Result<(), Errno> {
        retry(Op::Link, || rustix::fs::linkat(&from.0, name.as_c_str(), &self.0, new.as_c_str(), AtFlags::empty()))
    }

    /// Renames within the directory, replacing anything but a directory (rename(2)).
    pub fn rename(&self, from: &Name, to: &Name) -> Result<(), Errno> {
        retry(Op::Rename, || rustix::fs::renameat(&self.0, from.as_c_str(), &self.0, to.as_c_str()))
    }

    /// Removes a name that is not a directory (unlink(2)).
    pub fn unlink(&self, name: &Name) -> Result<(), Errno> {
        retry(Op::Unlink, || rustix::fs::unlinkat(&self.0, name.as_c_str(), AtFlags::empty()))
    }

    /// Removes an empty directory (rmdir(2)): `ENOTEMPTY`, `EBUSY` for a mount point.
    pub fn remove_dir(&self, name: &Name) -> Result<(), Errno> {
        retry(Op::Rmdir, || rustix::fs::unlinkat(&self.0, name.as_c_str(), AtFlags::REMOVEDIR))
    }

    /// Opens an entry only as a handle (`O_PATH`), not following it.
    pub fn open_handle(&self, name: &Name) -> Result<OwnedFd, Errno> {
        open_handle(&self.0, name)
    }

    /// Opens a regular file for reading with further `flags` (`O_DIRECT`). Never blocks.
    pub fn open_file(&self, name: &Name, flags: OFlags) -> Result<OwnedFd, Errno> {
        open_noatime(self.0.as_fd(), name.as_c_str(), READ_FILE | flags)
    }

    /// The target of a symlink, as bytes.
    pub fn read_link(&self, name: &Name) -> Result<Vec<u8>, Errno> {
        read_link(&self.0, name)
    }

    /// One entry, not following it.
    pub fn stat_at(&self, name: &Name) -> Result<Stat, Errno> {
        stat_at(&self.0, name)
    }

    /// The directory itself.
    pub fn stat(&self) -> Result<Stat, Errno> {
        stat_fd(&self.0)
    }
}

impl AsFd for TargetDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub(super) fn timestamps(atime: Option<Time>, mtime: Time) -> Timestamps {
    let spec = |t: Time| Timespec { tv_sec: t.sec, tv_nsec: t.nsec.into() };
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    Timestamps { last_access: atime.map_or(omit, spec), last_modification: spec(mtime) }
}

/// Opens a directory below `root` name by name, never through a symlink. `root` itself is given by the
/// caller and followed.
pub fn open_target(root: &std::path::Path, path: &RelPath) -> Result<TargetDir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut dir = TargetDir(retry(Op::Open, || rustix::fs::open(root, flags, Mode::empty()))?);
    for name in path.names() {
        dir = dir.open_dir(&name)?;
    }
    Ok(dir)
}
