//! The directory that holds a journal, held open and known to be ours.
//!
//! Anybody else who can write in it could put a symlink, a FIFO or a half-done transaction where
//! a journal is expected. So nothing in it is opened before its owner and mode are known, and
//! everything is opened through its descriptor.

use super::error;
use crate::engine::events::journal_error::{Distrust, FileStep, JournalError};
use crate::sys::at::{self, Lock, Opening};
use crate::sys::dir::read_batches;
use crate::sys::filesystem::space;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::{Holder, proc_path};
use crate::sys::{Errno, effective_ids, file};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Write permission of the group and of others.
const OTHERS_WRITE: u32 = 0o022;
/// How long a reader waits for a run that checkpoints its log.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open directory that nobody else can write in.
#[derive(Debug)]
pub(super) struct StateDir {
    fd: OwnedFd,
    path: PathBuf,
    /// Its file system keeps no owners: everything has the owner of a mount option.
    ownerless: bool,
    /// Modes mean something there.
    modes: bool,
}

impl StateDir {
    /// Opens it; `None` if there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, JournalError> {
        match at::open_dir(path) {
            Ok(fd) => Self::trusted(fd, path).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Self::no_directory(path),
            Err(errno) => Err(error::file(path, FileStep::OpenDirectory)(errno)),
        }
    }

    /// Opens it, making it first if necessary; closes it to others. The directory that it is in is made as
    /// well: it may be the destination of a copy.
    pub(super) fn make(path: &Path) -> Result<Self, JournalError> {
        let fail = |step| error::file(path, step);
        let made = match (at::make_dir(path), path.parent()) {
            (Err(Errno::NOENT), Some(above)) => at::make_open_dir(above).and_then(|()| at::make_dir(path)),
            (made, _) => made,
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail(FileStep::CreateDirectory)(errno)),
        }
        let dir = Self::open(path)?.ok_or_else(|| fail(FileStep::OpenDirectory)(Errno::NOENT))?;
        if dir.stat()?.mode & 0o777 != 0o700 {
            file::chmod(Holder::file(&dir.fd), 0o700).map_err(fail(FileStep::MakePrivate))?;
        }
        Ok(dir)
    }

    /// For a path that, at its end or on the way, is not a directory.
    fn no_directory(path: &Path) -> Result<Option<Self>, JournalError> {
        let fail = error::file(path, FileStep::LookAt);
        match at::exists(path) {
            Ok(true) => Err(JournalError::Untrusted { path: path.into(), what: Distrust::NoDirectory }),
            Ok(false) => Ok(None),
            Err(errno) => Err(fail(errno)),
        }
    }

    fn trusted(fd: OwnedFd, path: &Path) -> Result<Self, JournalError> {
        let fail = error::file(path, FileStep::LookAt);
        let stat = stat_fd(&fd).map_err(&fail)?;
        let space = space(&fd).map_err(&fail)?;
        let ownerless = space.without_owners().is_some();
        let dir = Self { fd, path: path.into(), ownerless, modes: !space.may_lack_owners() };
        dir.distrust(&stat).map_or(Ok(dir), |what| Err(JournalError::Untrusted { path: path.into(), what }))
    }

    /// Why something that looks like `stat` may not be ours.
    fn distrust(&self, stat: &Stat) -> Option<Distrust> {
        if stat.uid != effective_ids().0 && !self.ownerless {
            return Some(Distrust::OtherOwner(stat.uid));
        }
        (self.modes && stat.mode & OTHERS_WRITE != 0).then_some(Distrust::OthersWrite(stat.mode))
    }

    /// The stat of a file in it; `None` if there is none. Only a regular file that is ours passes.
    pub(super) fn look(&self, name: &str) -> Result<Option<Stat>, JournalError> {
        let path = self.path.join(name);
        let stat = match at::stat(&self.fd, name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(error::file(&path, FileStep::LookAt)(errno)),
        };
        if stat.kind != Kind::File {
            return Err(JournalError::Untrusted { path, what: Distrust::NotRegular(stat.kind) });
        }
        self.distrust(&stat).map_or(Ok(Some(stat)), |what| Err(JournalError::Untrusted { path, what }))
    }

    /// Opens a file in it, created 0600 if it is new.
    pub(super) fn open_file(&self, name: &str, opening: Opening) -> Result<OwnedFd, Errno> {
        at::open(&self.fd, name, opening)
    }

    /// Renames a file in it.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        at::rename(&self.fd, from, to)
    }

    /// True when a name in it begins with `prefix`.
    pub(super) fn has_any(&self, prefix: &[u8]) -> Result<bool, JournalError> {
        let mut found = false;
        read_batches(self.again()?, 64, |batch| {
            found |= batch.iter().any(|entry| entry.name.as_bytes().starts_with(prefix));
            !found
        })
        .map_err(error::file(&self.path, FileStep::ReadDirectory))?;
        Ok(found)
    }

    /// A path to a file in it for SQLite: it leads through the descriptor, whatever the directory is
    /// called meanwhile.
    pub(super) fn through(&self, name: &str) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let dir = proc_path(self.fd.as_fd());
        Path::new(std::ffi::OsStr::from_bytes(dir.as_bytes())).join(name)
    }

    pub(super) fn stat(&self) -> Result<Stat, JournalError> {
        stat_fd(&self.fd).map_err(error::file(&self.path, FileStep::LookAt))
    }

    /// Owner checks mean something here.
    pub(super) fn has_owners(&self) -> bool {
        !self.ownerless
    }

    /// Keeps every run from checkpointing its log into a database of this directory while the
    /// returned lock lives: what a reader has found stays in its place. `None` if the file system
    /// has no such locks.
    pub(super) fn keep_log(&self) -> Result<Option<OwnedFd>, JournalError> {
        let lock = self.again()?;
        let until = Instant::now() + PATIENCE;
        loop {
            match at::try_lock(&lock, Lock::Shared) {
                Ok(()) => return Ok(Some(lock)),
                Err(Errno::WOULDBLOCK) if Instant::now() >= until => {
                    return Err(JournalError::Busy { path: self.path.clone() });
                }
                Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(20)),
                Err(errno) if has_no_locks(errno) => return Ok(None),
                Err(errno) => {
                    return Err(error::file(&self.path, FileStep::LockDirectory)(errno));
                }
            }
        }
    }

    /// For the writer: the lock that keeps readers out, `None` while one is reading.
    pub(super) fn fold_log(&self) -> Result<Option<OwnedFd>, JournalError> {
        let lock = self.again()?;
        match at::try_lock(&lock, Lock::Exclusive) {
            Ok(()) => Ok(Some(lock)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            // Without such locks no reader relies on them.
            Err(errno) if has_no_locks(errno) => Ok(Some(lock)),
            Err(errno) => Err(error::file(&self.path, FileStep::LockDirectory)(errno)),
        }
    }

    /// A file description of its own, since locks belong to descriptions.
    fn again(&self) -> Result<OwnedFd, JournalError> {
        at::reopen(&self.fd).map_err(error::file(&self.path, FileStep::OpenDirectory))
    }
}

/// A file system without flock(2) on directories: some network and FUSE file systems.
fn has_no_locks(errno: Errno) -> bool {
    matches!(errno, Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL | Errno::BADF)
}
