//! System calls, one thin function each.
//!
//! A function here retries `EINTR`, settles short transfers and otherwise
//! returns the kernel's error number unchanged; the caller adds path and
//! operation. Nothing above this module calls `rustix` on its own.

pub mod dir;
pub mod file;
pub mod filesystem;
pub mod root;
pub mod stat;
pub mod xattr;

pub use rustix::io::Errno;

/// The error in the words of `strerror(3)`, without the number.
#[must_use]
pub fn errno_words(errno: Errno) -> String {
    let text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

/// Calls `operation` until it ends otherwise than by `EINTR` (signal(7)).
pub(crate) fn retry<T>(mut operation: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match operation() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
