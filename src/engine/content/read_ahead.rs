//! A thread's reader of several small files at once.

use crate::sys::read_batch::{BatchReader, FileRequest, ReadFiles};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local!(static OWN: RefCell<Option<BatchReader>> = const { RefCell::new(None) });

/// The kernel has refused one: it will refuse all.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// The reader of this thread, lent until this is dropped.
pub(crate) struct ReadAhead(Option<BatchReader>);

impl ReadAhead {
    /// `None` where the kernel has no io_uring, or forbids it: files are then read one by one.
    pub(crate) fn lend() -> Option<Self> {
        if REFUSED.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(own) = OWN.take() {
            return Some(Self(Some(own)));
        }
        match BatchReader::new() {
            Ok(reader) => Some(Self(Some(reader))),
            Err(_) => {
                REFUSED.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    /// Reads `files`; `None` if that fails for a reason that is none of theirs.
    pub(crate) fn read(&mut self, files: &[FileRequest<'_>]) -> Option<ReadFiles<'_>> {
        if files.len() < 2 {
            return None;
        }
        self.0.as_mut()?.read(files).ok()
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        OWN.set(self.0.take());
    }
}
