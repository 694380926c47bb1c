//! System calls, one thin function each.
//!
//! A function here retries `EINTR`, completes short transfers and otherwise returns the kernel's
//! error number unchanged; the caller adds path and operation. Other layers use the types and flags
//! of `rustix`, but none of its functions; `tests/layers.rs` checks that.

pub(crate) mod at;
pub(crate) mod clock;
pub mod dir;
mod errno;
pub mod fault;
pub mod file;
pub mod filesystem;
pub mod flags;
pub(crate) mod memory;
pub mod mounts;
mod names;
pub mod output;
pub mod processes;
pub mod raw;
pub mod read_batch;
pub mod root;
pub mod signals;
pub(crate) mod sqlite;
pub mod stat;
pub mod xattr;

pub use errno::{errno_from_name, errno_name};
use fault::{Fault, Op, shortened};
pub use rustix::io::Errno;

/// True when a path that was opened without following symlinks has nothing at its
/// end: a name is missing, or something other than a directory is on the way.
#[must_use]
pub fn leads_nowhere(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

/// The error in the words of `strerror(3)`, without the number.
#[must_use]
pub fn errno_words(errno: Errno) -> String {
    let text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

/// The user and group that this process acts as (geteuid(2), getegid(2)).
#[must_use]
pub fn effective_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Calls `operation`, of the kind `op`, until it ends otherwise than by `EINTR` (signal(7)).
pub(in crate::sys) fn retry<T>(op: Op, mut operation: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        let result = match fault::next(op) {
            Some(Fault::Fails(errno)) => Err(errno),
            // Only what moves bytes can be short.
            Some(Fault::Short) | None => operation(),
        };
        match result {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// The same for a call that moves up to `length` bytes and says how many it did.
fn transfer(op: Op, length: usize, mut operation: impl FnMut(usize) -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        let result = match fault::next(op) {
            Some(Fault::Fails(errno)) => Err(errno),
            Some(Fault::Short) => operation(shortened(length)),
            None => operation(length),
        };
        match result {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
