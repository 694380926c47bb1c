//! Why a journal cannot be used, and the way out of each kind of trouble.

use crate::sys::at::open_file;
use crate::sys::file::read_once;
use crate::sys::{Errno, errno_words};
use rusqlite::{Connection, Error, ErrorCode, ffi};
use std::path::{Path, PathBuf};

/// Why the journal cannot be used. Each message ends with the way out.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another run of the same plan holds the lock.
    #[error("another run of this plan is alive: {holder} (lock {})\n  wait for it, or stop it with SIGINT: it can be resumed", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// "pid N, started …" as that run wrote it, escaped.
        holder: String,
    },
    /// A file or directory operation failed.
    #[error("journal {}: {operation}: {}", path.display(), errno_words(*errno))]
    File {
        /// What was worked on.
        path: PathBuf,
        /// Like "create".
        operation: &'static str,
        /// Why.
        errno: Errno,
    },
    /// Somebody else could have made it, or could exchange it: it is not opened.
    #[error("journal {}: {what}\n  look at who put it there; then remove it, or name another place with --state", path.display())]
    Untrusted {
        /// What was looked at.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// SQLite reports an error.
    #[error("journal {}: {}", path.display(), trouble_words(source, *errno))]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's own words.
        source: Error,
        /// Of the system call that failed, where it is known.
        errno: Option<Errno>,
    },
    /// Not a journal, or one of another version.
    #[error("journal {}: {what}\n  use the persistcp that wrote it, or --restart to begin a new one and copy again", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A run is alive and writes.
    #[error("journal {}: a run of this plan is alive and busy with it; ask again", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The writer thread is gone.
    #[error("journal {}: {what}", path.display())]
    Writer {
        /// The database.
        path: PathBuf,
        /// Why it ended.
        what: String,
    },
}

impl JournalError {
    /// An error of SQLite on the database at `path`.
    pub(super) fn database(path: &Path, source: Error) -> Self {
        Self::Database { path: path.to_path_buf(), source, errno: None }
    }

    /// The same, for the last call of `connection`.
    pub(super) fn database_of(path: &Path, source: Error, connection: &Connection) -> Self {
        let errno = errno_of(&source, connection);
        Self::Database { path: path.to_path_buf(), source, errno }
    }

    /// Why nothing can be written, where that is all that is wrong: it may still be read.
    pub(super) fn unwritable(&self) -> Option<String> {
        match self {
            Self::File { operation, errno, .. } => {
                let unwritable = [Errno::ROFS, Errno::NOSPC, Errno::DQUOT, Errno::FBIG, Errno::IO].contains(errno);
                unwritable.then(|| format!("{operation}: {}", errno_words(*errno)))
            }
            Self::Database { source, errno, .. } => unwritable(source, *errno),
            _ => None,
        }
    }
}

/// What is wrong with a database or with what it lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Damaged,
    Full,
    Quota,
    TooLarge,
    ReadOnly,
    Device,
    Busy,
    Unopened,
    Memory,
}

impl Trouble {
    fn of(error: &Error, errno: Option<Errno>) -> Self {
        match errno {
            Some(Errno::NOSPC) => return Self::Full,
            Some(Errno::DQUOT) => return Self::Quota,
            Some(Errno::FBIG) => return Self::TooLarge,
            Some(Errno::ROFS) => return Self::ReadOnly,
            Some(Errno::IO) => return Self::Device,
            _ => {}
        }
        // An impossible value, or a page or table that is missing, can only be damage.
        let Error::SqliteFailure(failure, _) = error else { return Self::Damaged };
        match failure.code {
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::ReadOnly => Self::ReadOnly,
            // The database ends before a page that it names.
            ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ => Self::Damaged,
            ErrorCode::SystemIoFailure => Self::Device,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => Self::Busy,
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Self::Unopened,
            ErrorCode::OutOfMemory => Self::Memory,
            _ => Self::Damaged,
        }
    }

    const fn way_out(self) -> &'static str {
        match self {
            Self::Damaged => {
                "the copy on the target is untouched; the journal is damaged: --restart begins a new one and copies again"
            }
            Self::Full => "its file system is full: make room there, then run the same command again",
            Self::Quota => "raise the quota on its file system, then run the same command again",
            Self::TooLarge => "raise the limit of file sizes (ulimit -f), then run the same command again",
            Self::ReadOnly => {
                "its file system is mounted read-only: look at dmesg, mount it read-write, then run the same command again"
            }
            Self::Device => {
                "its file system answers with errors: look at dmesg and smartctl, check the disk and whether it is still \
                 mounted, then run the same command again"
            }
            Self::Busy => "another program has it open: end that, then run the same command again",
            Self::Unopened => {
                "look whether its file system is still mounted and its directory is there, then run the same command again"
            }
            Self::Memory => "there is too little memory: run the same command again with fewer --threads",
        }
    }
}

/// The error number behind an error of SQLite, where it has one.
pub(super) fn errno_of(error: &Error, connection: &Connection) -> Option<Errno> {
    let code = error.sqlite_error_code()?;
    // SQLite also calls it damage when the device cannot read a page.
    if code == ErrorCode::DatabaseCorrupt {
        return connection
            .path()
            .and_then(|path| ["", "-wal"].iter().find_map(|suffix| unreadable(&format!("{path}{suffix}"))));
    }
    let asked = matches!(code, ErrorCode::SystemIoFailure | ErrorCode::CannotOpen);
    // A short read sets no errno.
    let short = error.sqlite_error().is_some_and(|e| e.extended_code == ffi::SQLITE_IOERR_SHORT_READ);
    if asked && !short { crate::sys::sqlite::system_errno(connection) } else { None }
}

/// Why the file at `path` cannot be read to its end, if it cannot.
fn unreadable(path: &str) -> Option<Errno> {
    let mut buffer = vec![0; 1 << 20];
    let read = open_file(path).and_then(|file| {
        let mut at = 0;
        loop {
            match read_once(&file, &mut buffer, at)? {
                0 => return Ok(()),
                got => at += got as u64,
            }
        }
    });
    read.err().filter(|errno| *errno != Errno::NOENT)
}

/// SQLite's words, the system's, and what to do.
pub(super) fn trouble_words(error: &Error, errno: Option<Errno>) -> String {
    let system = errno.map(|errno| format!(" ({})", errno_words(errno))).unwrap_or_default();
    format!("{error}{system}\n  {}", Trouble::of(error, errno).way_out())
}

/// Why the journal cannot be written, unless something worse is wrong.
pub(super) fn unwritable(error: &Error, errno: Option<Errno>) -> Option<String> {
    let words = |errno: Option<Errno>| errno.map_or_else(|| error.to_string(), errno_words);
    match Trouble::of(error, errno) {
        Trouble::Full => Some(words(Some(errno.unwrap_or(Errno::NOSPC)))),
        Trouble::ReadOnly => Some(words(Some(errno.unwrap_or(Errno::ROFS)))),
        Trouble::Quota | Trouble::TooLarge | Trouble::Device | Trouble::Unopened => Some(words(errno)),
        Trouble::Damaged | Trouble::Busy | Trouble::Memory => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn only_a_damaged_database_is_to_be_restarted() {
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_IOERR_SHORT_READ] {
            assert!(trouble_words(&failure(code), None).contains("--restart"), "{code}");
        }
        for code in
            [ffi::SQLITE_FULL, ffi::SQLITE_READONLY, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_BUSY, ffi::SQLITE_CANTOPEN]
        {
            assert!(!trouble_words(&failure(code), None).contains("--restart"), "{code}");
        }
        let large = trouble_words(&failure(ffi::SQLITE_IOERR_WRITE), Some(Errno::FBIG));
        assert!(large.contains("File too large") && large.contains("ulimit -f"), "{large}");
    }
}
