//! What SQLite's errors mean.

use crate::engine::events::journal_error::{FileStep, JournalError, Trouble};
use crate::sys::Errno;
use crate::sys::at::open_file;
use crate::sys::file::read_once;
use rusqlite::{Connection, Error, ErrorCode, ffi};
use std::path::Path;

/// An error of SQLite on the database at `path`.
pub(super) fn database(path: &Path, error: &Error) -> JournalError {
    of(path, error, None)
}

/// The same, for the last call of `connection`.
pub(super) fn database_of(path: &Path, error: &Error, connection: &Connection) -> JournalError {
    of(path, error, errno_of(error, connection))
}

fn of(path: &Path, error: &Error, errno: Option<Errno>) -> JournalError {
    let (path, sqlite) = (path.to_path_buf(), error.to_string());
    JournalError::Database { path, sqlite, trouble: trouble(error, errno), errno }
}

/// A failed operation on the file or directory at `path`.
pub(super) fn file(path: &Path, step: FileStep) -> impl Fn(Errno) -> JournalError {
    let path = path.to_path_buf();
    move |errno| JournalError::File { path: path.clone(), step, errno }
}

fn trouble(error: &Error, errno: Option<Errno>) -> Trouble {
    match errno {
        Some(Errno::NOSPC) => return Trouble::Full,
        Some(Errno::DQUOT) => return Trouble::Quota,
        Some(Errno::FBIG) => return Trouble::TooLarge,
        Some(Errno::ROFS) => return Trouble::ReadOnly,
        Some(Errno::IO) => return Trouble::Device,
        _ => {}
    }
    // A value that no journal holds, or a page or table that is not there, can only be damage.
    let Error::SqliteFailure(failure, _) = error else { return Trouble::Damaged };
    match failure.code {
        ErrorCode::DiskFull => Trouble::Full,
        ErrorCode::ReadOnly => Trouble::ReadOnly,
        // The database ends before a page that it names.
        ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ => Trouble::Damaged,
        ErrorCode::SystemIoFailure => Trouble::Device,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => Trouble::Busy,
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Trouble::Unopened,
        ErrorCode::OutOfMemory => Trouble::Memory,
        _ => Trouble::Damaged,
    }
}

/// The error number behind an error of SQLite, where it has one.
fn errno_of(error: &Error, connection: &Connection) -> Option<Errno> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_nothing_else_is_damage() {
        let of = |code, errno| trouble(&Error::SqliteFailure(ffi::Error::new(code), None), errno);
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_IOERR_SHORT_READ] {
            assert_eq!(of(code, None), Trouble::Damaged, "{code}");
        }
        for code in
            [ffi::SQLITE_FULL, ffi::SQLITE_READONLY, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_BUSY, ffi::SQLITE_CANTOPEN]
        {
            assert_ne!(of(code, None), Trouble::Damaged, "{code}");
        }
        assert_eq!(of(ffi::SQLITE_IOERR_WRITE, Some(Errno::FBIG)), Trouble::TooLarge);
    }
}
