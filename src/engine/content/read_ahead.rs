//! A thread's reader of several small files at once.

use crate::sys::Errno;
use crate::sys::read_batch::{BYTES, BatchReader, FILES, FileRequest, bytes_of};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

/// Files up to this size are read ahead: for larger ones a request of their own costs little.
pub(crate) const LARGEST: usize = BYTES / 8;

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

    /// Reads those of `files` that have a request, as far as they fit one batch. In the place of each: its bytes or
    /// why they could not be read; `None` if it has to be read on its own.
    pub(crate) fn read(&mut self, files: &[Option<FileRequest<'_>>]) -> Vec<Option<Result<&[u8], Errno>>> {
        let (mut requests, mut bytes) = (Vec::with_capacity(files.len()), 0);
        let mut places = Vec::with_capacity(files.len());
        for file in files {
            let fitting = file.filter(|file| requests.len() < FILES && bytes + bytes_of(file.size) <= BYTES);
            places.push(fitting.map(|_| requests.len()));
            if let Some(file) = fitting {
                bytes += bytes_of(file.size);
                requests.push(file);
            }
        }
        // For a single file it is no better than pread(2).
        let read = self.0.as_mut().filter(|_| requests.len() > 1).and_then(|reader| reader.read(&requests).ok());
        places.into_iter().map(|place| read.as_ref()?.get(place?)).collect()
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        OWN.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use std::io::Write;

    #[test]
    fn what_does_not_fit_is_left_out_and_what_follows_is_read() {
        let Some(mut ahead) = ReadAhead::lend() else { return };
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(b"content").expect("write");
        let request = |size| Some(FileRequest { fd: file.as_file().as_fd(), size });
        let read = ahead.read(&[request(7), None, request(BYTES), request(7)]);
        assert_eq!(read, [Some(Ok(&b"content"[..])), None, None, Some(Ok(&b"content"[..]))]);
        assert_eq!(ahead.read(&[None, request(7)]), [None, None], "one file is no batch");
    }
}
