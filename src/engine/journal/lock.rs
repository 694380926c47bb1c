//! The lock of a plan's run: flock(2) on a file that says who holds it.

use super::error;
use super::state_dir::StateDir;
use crate::base::path::escape;
use crate::engine::events::journal_error::{FileStep, JournalError, LockHolder};
use crate::sys::Errno;
use crate::sys::at::{Lock, Opening, try_lock};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Bytes of the lock file that are shown.
const SHOWN: u64 = 200;

/// Who holds the lock, if anybody; creates nothing.
pub(super) fn holder(dir: &StateDir, name: &str, path: &Path) -> Result<Option<LockHolder>, JournalError> {
    if dir.look(name)?.is_none() {
        return Ok(None);
    }
    let fail = |step| error::file(path, step);
    let fd = open_present(dir, name).map_err(fail(FileStep::OpenLock))?;
    match try_lock(&fd, Lock::Exclusive) {
        Ok(()) => Ok(None),
        Err(Errno::WOULDBLOCK) => Ok(Some(text(fd))),
        Err(errno) => Err(fail(FileStep::AskForLock)(errno)),
    }
}

/// Takes the lock for a run, and says so in the file.
pub(super) fn take(dir: &StateDir, name: &str, path: &Path) -> Result<std::fs::File, JournalError> {
    let fail = |step| error::file(path, step);
    dir.look(name)?;
    let fd = dir.open_file(name, Opening::Make).map_err(fail(FileStep::OpenLock))?;
    let mut file = std::fs::File::from(seized(fd, path)?);
    let text = format!("pid {}, started {}\n", std::process::id(), crate::base::clock::now().rfc3339());
    // Overwrite in place: on a full disk a new block might not be had.
    let written =
        file.rewind().and_then(|()| file.write_all(text.as_bytes())).and_then(|()| file.set_len(text.len() as u64));
    match written.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)) {
        // The lock is held anyway; writing the first row will tell.
        Ok(()) | Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Ok(file),
        Err(errno) => Err(fail(FileStep::WriteLock)(errno)),
    }
}

/// Takes the lock without writing, if the file exists: on a read-only disk.
pub(super) fn take_unwritten(dir: &StateDir, name: &str, path: &Path) -> Result<Option<std::fs::File>, JournalError> {
    if dir.look(name)?.is_none() {
        return Ok(None);
    }
    let fd = open_present(dir, name).map_err(error::file(path, FileStep::OpenLock))?;
    seized(fd, path).map(|fd| Some(fd.into()))
}

fn open_present(dir: &StateDir, name: &str) -> Result<OwnedFd, Errno> {
    match dir.open_file(name, Opening::Write) {
        Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => dir.open_file(name, Opening::Read),
        opened => opened,
    }
}

fn seized(fd: OwnedFd, path: &Path) -> Result<OwnedFd, JournalError> {
    match try_lock(&fd, Lock::Exclusive) {
        Ok(()) => Ok(fd),
        Err(Errno::WOULDBLOCK) => Err(JournalError::Locked { path: path.into(), holder: text(fd) }),
        Err(errno) => Err(error::file(path, FileStep::TakeLock)(errno)),
    }
}

/// What the holder wrote: escaped, and no more than a line needs.
fn text(fd: OwnedFd) -> LockHolder {
    let mut bytes = Vec::new();
    match std::fs::File::from(fd).take(SHOWN).read_to_end(&mut bytes) {
        Ok(_) if !bytes.trim_ascii().is_empty() => LockHolder(Some(escape(bytes.trim_ascii()).into_owned())),
        _ => LockHolder(None),
    }
}
