//! How SQLite opens the files of a journal: two VFS of our own on top of its Unix one
//! (<https://sqlite.org/vfs.html>).
//!
//! Both use a path as it is. SQLite's own would resolve `/proc/self/fd/N`, and whoever may rename the
//! directory could then exchange it.

use super::Errno;
use rusqlite::{Connection, ffi};
use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

/// For the one process that writes: an exclusive lock on the database, and the index of its log in the
/// heap, shared by the process's connections. Nothing on the disk is mapped, so a failing or full disk
/// is an error and not `SIGBUS`.
pub(crate) const WRITING: &CStr = c"persistcp-write";
/// For reading only: no locks, nothing is created, and the log is opened read-only.
pub(crate) const READING: &CStr = c"persistcp-read";

const BELOW_WRITING: &CStr = c"unix-excl";
const BELOW_READING: &CStr = c"unix-none";

/// Registers both with SQLite, once; false when SQLite lacks the VFS below them.
pub(crate) fn register() -> bool {
    static DONE: OnceLock<bool> = OnceLock::new();
    *DONE.get_or_init(|| add(WRITING, BELOW_WRITING, open_to_write) && add(READING, BELOW_READING, open_to_read))
}

type OpenFunction =
    unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *const c_char, *mut ffi::sqlite3_file, c_int, *mut c_int) -> c_int;

#[expect(unsafe_code, reason = "SQLite is asked for its VFS by C calls")]
fn add(name: &'static CStr, below: &CStr, open: OpenFunction) -> bool {
    // SAFETY: the result is null or a VFS that SQLite keeps for the life of the process.
    let Some(base) = (unsafe { ffi::sqlite3_vfs_find(below.as_ptr()).as_ref() }) else { return false };
    // Its other methods ignore the VFS that they are called through.
    let vfs = ffi::sqlite3_vfs {
        pNext: std::ptr::null_mut(),
        zName: name.as_ptr(),
        xOpen: Some(open),
        xFullPathname: Some(full_path),
        ..*base
    };
    // SAFETY: it is never freed and its name is static; SQLite alone changes it from here on.
    unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0) == ffi::SQLITE_OK }
}

/// Opens through the VFS `below`.
///
/// # Safety
/// The arguments are those of an `xOpen` of SQLite.
#[expect(unsafe_code, reason = "passes SQLite's pointers on")]
unsafe fn open_below(
    below: &CStr,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: as in `add`; the file has the size that `below` asks for, whose `szOsFile` was taken over.
    unsafe {
        let base = ffi::sqlite3_vfs_find(below.as_ptr());
        match base.as_ref().and_then(|base| base.xOpen) {
            Some(open) => open(base, name, file, flags, out),
            None => ffi::SQLITE_CANTOPEN,
        }
    }
}

#[expect(unsafe_code, reason = "SQLite calls it with its pointers")]
unsafe extern "C" fn open_to_write(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's own arguments.
    unsafe { open_below(BELOW_WRITING, name, file, flags, out) }
}

#[expect(unsafe_code, reason = "SQLite calls it with its pointers")]
unsafe extern "C" fn open_to_read(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let lasting = ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL;
    let flags = if flags & lasting == 0 {
        flags
    } else {
        flags & !(ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE) | ffi::SQLITE_OPEN_READONLY
    };
    // SAFETY: SQLite's own arguments, with flags that ask for less.
    unsafe { open_below(BELOW_READING, name, file, flags, out) }
}

/// Returns the path as it was given.
#[expect(unsafe_code, reason = "SQLite calls it with its pointers")]
unsafe extern "C" fn full_path(_: *mut ffi::sqlite3_vfs, name: *const c_char, room: c_int, out: *mut c_char) -> c_int {
    // SAFETY: `name` ends with a zero byte, and `out` has `room` bytes.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > usize::try_from(room).unwrap_or(0) {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

/// The error number of the system call that made the last call of `connection` fail with
/// `SQLITE_IOERR` or `SQLITE_CANTOPEN` (sqlite3_system_errno).
#[expect(unsafe_code, reason = "rusqlite has no form of sqlite3_system_errno")]
pub(crate) fn system_errno(connection: &Connection) -> Option<Errno> {
    // SAFETY: the handle is open for as long as `connection` is borrowed, and only read.
    let number = unsafe { ffi::sqlite3_system_errno(connection.handle()) };
    (number > 0).then(|| Errno::from_raw_os_error(number))
}
