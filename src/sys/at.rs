//! What the journal needs for its own files: those of one directory by plain names, and a directory
//! by its path. Also handles on directories, for preflight.

use super::stat::{Stat, stat_fd};
use super::{Errno, Op, retry};
use crate::base::path::Name;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use std::path::Path;

/// Permissions of files and directories that are created here.
const FILE: Mode = Mode::from_raw_mode(0o600);
const DIRECTORY: Mode = Mode::from_raw_mode(0o700);

const DIR_HANDLE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// To read.
    Read,
    /// To read and write.
    Write,
    /// The same; created if it does not exist.
    Make,
    /// The same; it must not exist (`EEXIST`).
    MakeNew,
}

/// Opens the directory at `path`, whose last name is not followed: `ENOTDIR` or `ELOOP` for a symlink.
pub(crate) fn open_dir(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry(Op::Open, || rustix::fs::open(path, flags, Mode::empty()))
}

/// A handle (`O_PATH`) on the directory that `path` leads to, symlinks followed.
pub(crate) fn dir_handle(path: &Path) -> Result<OwnedFd, Errno> {
    retry(Op::Open, || rustix::fs::open(path, DIR_HANDLE, Mode::empty()))
}

/// A handle (`O_PATH`) on the subdirectory `name` of `dir`, not followed.
pub(crate) fn subdir_handle(dir: impl AsFd, name: &Name) -> Result<OwnedFd, Errno> {
    let flags = DIR_HANDLE | OFlags::NOFOLLOW;
    retry(Op::Open, || rustix::fs::openat(dir.as_fd(), name.as_c_str(), flags, Mode::empty()))
}

/// Creates a directory that nobody else can enter (mkdir(2)).
pub(crate) fn make_dir(path: &Path) -> Result<(), Errno> {
    retry(Op::Mkdir, || rustix::fs::mkdir(path, DIRECTORY))
}

/// The same, 0755: for a directory that is not ours alone.
pub(crate) fn make_open_dir(path: &Path) -> Result<(), Errno> {
    retry(Op::Mkdir, || rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)))
}

/// Whether anything has this path, without following it (lstat(2)).
pub(crate) fn exists(path: &Path) -> Result<bool, Errno> {
    match retry(Op::Stat, || rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Opens the file at `path` for reading, without following its last name.
pub(crate) fn open_file(path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry(Op::Open, || rustix::fs::open(path, flags, Mode::empty()))
}

/// The stat of an entry through an `O_PATH` handle: neither followed nor opened.
pub(crate) fn stat(dir: impl AsFd, name: &str) -> Result<Stat, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry(Op::Open, || rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty())).and_then(stat_fd)
}

/// Opens a file of `dir`, created 0600 if it is new. It never blocks on a FIFO and follows nothing.
pub(crate) fn open(dir: impl AsFd, name: &str, opening: Opening) -> Result<OwnedFd, Errno> {
    let (op, how) = match opening {
        Opening::Read => (Op::Open, OFlags::RDONLY),
        Opening::Write => (Op::Open, OFlags::RDWR),
        Opening::Make => (Op::Create, OFlags::RDWR | OFlags::CREATE),
        Opening::MakeNew => (Op::Create, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL),
    };
    let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    retry(op, || rustix::fs::openat(dir.as_fd(), name, flags, FILE))
}

/// Renames a file within `dir` (rename(2)).
pub(crate) fn rename(dir: impl AsFd, from: &str, to: &str) -> Result<(), Errno> {
    retry(Op::Rename, || rustix::fs::renameat(dir.as_fd(), from, dir.as_fd(), to))
}

/// A new open file description for the directory `dir`.
pub(crate) fn reopen(dir: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry(Op::Open, || rustix::fs::openat(dir.as_fd(), ".", flags, Mode::empty()))
}

/// What a lock excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Exclusive locks.
    Shared,
    /// All other locks.
    Exclusive,
}

/// Takes the lock of an open file description (flock(2)). `EWOULDBLOCK` while somebody else has one
/// that excludes it.
pub(crate) fn try_lock(fd: impl AsFd, lock: Lock) -> Result<(), Errno> {
    let operation = match lock {
        Lock::Shared => FlockOperation::NonBlockingLockShared,
        Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    retry(Op::Flock, || rustix::fs::flock(fd.as_fd(), operation))
}
