//! Reads of many files by one system call (io_uring(7)). The block layer sees them together and
//! merges those that lie side by side on the disk; one by one each would wake the disk and the
//! reader.

use super::fault::{Fault, shortened};
use super::{Errno, Op, fault, retry};
use io_uring::{IoUring, opcode, types};
use rustix::fd::{AsRawFd, BorrowedFd};
use std::ops::Range;

/// Files at most in one batch.
pub const FILES: usize = 32;
/// Bytes at most in one batch.
pub const BYTES: usize = 1 << 20;
/// Where the bytes of a file begin in memory, and a multiple of which are asked for: suits `O_DIRECT`
/// on every known device.
const ALIGN: usize = 4096;

/// Reads batches; for one thread. It holds 1 MiB.
pub struct BatchReader {
    ring: IoUring,
    space: Vec<u8>,
    /// A request may still be in flight: the ring cannot be used any more.
    is_lost: bool,
}

/// A file to be read from its start.
#[derive(Clone, Copy, Debug)]
pub struct FileRequest<'f> {
    /// Open for reading.
    pub fd: BorrowedFd<'f>,
    /// How many bytes it has.
    pub size: usize,
}

/// What a batch has read.
pub struct ReadFiles<'r> {
    space: &'r [u8],
    found: Vec<Result<Range<usize>, Errno>>,
}

impl<'r> ReadFiles<'r> {
    /// The bytes of the file that was asked for in this place, up to those that it had then and the rest of
    /// a block; or the error that pread(2) would have returned. `None` if it cannot be read like this, and may
    /// be on its own: kernels before 5.6 have io_uring without this kind of request, which is `EINVAL` then.
    pub fn get(&self, at: usize) -> Option<Result<&'r [u8], Errno>> {
        let space = self.space;
        match self.found.get(at)? {
            Ok(range) => Some(Ok(&space[range.clone()])),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::AGAIN) => None,
            Err(errno) => Some(Err(*errno)),
        }
    }
}

/// How many bytes of a batch a file with `size` bytes takes.
#[must_use]
pub const fn bytes_of(size: usize) -> usize {
    size.next_multiple_of(ALIGN)
}

impl BatchReader {
    /// `ENOSYS`, `EPERM` or `EACCES` where io_uring does not exist or is forbidden (io_uring_setup(2)).
    pub fn new() -> Result<Self, Errno> {
        let entries = u32::try_from(FILES).unwrap_or(u32::MAX);
        let ring = retry(Op::Ring, || IoUring::new(entries).map_err(|error| errno_of(&error)))?;
        Ok(Self { ring, space: vec![0; BYTES + ALIGN], is_lost: false })
    }

    /// Reads all `files`, at most [`FILES`] with at most [`BYTES`] by [`bytes_of`], and waits for all of them.
    /// An error is one of the ring itself, which is of no use afterwards.
    #[expect(unsafe_code, reason = "the kernel gets addresses and descriptors that the type system cannot follow")]
    pub fn read(&mut self, files: &[FileRequest<'_>]) -> Result<ReadFiles<'_>, Errno> {
        if self.is_lost {
            return Err(Errno::IO);
        }
        // Checked before anything is pushed: a request that was must be submitted.
        if files.len() > FILES || files.iter().map(|file| bytes_of(file.size)).sum::<usize>() > BYTES {
            return Err(Errno::INVAL);
        }
        let first = self.space.as_ptr().align_offset(ALIGN).min(ALIGN);
        let (mut found, mut at, mut waiting) = (Vec::with_capacity(files.len()), first, 0);
        for (number, file) in files.iter().enumerate() {
            let length = bytes_of(file.size);
            let place = self.space.get_mut(at..at + length).ok_or(Errno::INVAL)?;
            let length = match fault::next(Op::Read) {
                // Would be asked again.
                Some(Fault::Fails(Errno::INTR)) | None => length,
                Some(Fault::Fails(errno)) => {
                    found.push(Err(errno));
                    continue;
                }
                Some(Fault::Short) => shortened(length),
            };
            let asked = u32::try_from(length).map_err(|_| Errno::INVAL)?;
            let request = opcode::Read::new(types::Fd(file.fd.as_raw_fd()), place.as_mut_ptr(), asked)
                .build()
                .user_data(number as u64);
            // SAFETY: `wait` returns when no request is in flight any more; until then `files` borrows the
            // descriptor, and `place` is in memory that nobody reads, moves or frees. If `wait` cannot tell, it
            // gives that memory up for good.
            unsafe { self.ring.submission().push(&request) }.map_err(|_| Errno::INVAL)?;
            found.push(Ok(at..at));
            at += bytes_of(file.size);
            waiting += 1;
        }
        self.wait(waiting, &mut found)?;
        Ok(ReadFiles { space: &self.space, found })
    }

    /// Submits what was pushed and takes in as many answers.
    fn wait(&mut self, mut waiting: usize, found: &mut [Result<Range<usize>, Errno>]) -> Result<(), Errno> {
        while waiting > 0 {
            match self.ring.submit_and_wait(waiting).map_err(|error| errno_of(&error)) {
                Ok(_) | Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => {}
                Err(errno) => {
                    // The kernel may still write there.
                    std::mem::forget(std::mem::take(&mut self.space));
                    self.is_lost = true;
                    return Err(errno);
                }
            }
            for answer in self.ring.completion() {
                waiting -= 1;
                let Some(place) = usize::try_from(answer.user_data()).ok().and_then(|at| found.get_mut(at)) else {
                    continue;
                };
                *place = match (usize::try_from(answer.result()), &*place) {
                    (Ok(got), Ok(range)) => Ok(range.start..range.start + got),
                    (Ok(_), Err(errno)) => Err(*errno),
                    (Err(_), _) => Err(Errno::from_raw_os_error(answer.result().saturating_neg())),
                };
            }
        }
        Ok(())
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use std::io::Write;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(bytes).expect("write");
        file
    }

    fn request(file: &tempfile::NamedTempFile, size: usize) -> FileRequest<'_> {
        FileRequest { fd: file.as_file().as_fd(), size }
    }

    #[test]
    fn each_file_comes_whole_and_in_its_place_batch_after_batch() {
        let Ok(mut reader) = BatchReader::new() else { return };
        let contents: Vec<Vec<u8>> = (0..32_u8).map(|n| vec![n; usize::from(n) * 997]).collect();
        let files: Vec<_> = contents.iter().map(|bytes| file(bytes)).collect();
        for _ in 0..3 {
            let requests: Vec<_> =
                files.iter().zip(&contents).map(|(file, bytes)| request(file, bytes.len())).collect();
            let read = reader.read(&requests).expect("read");
            for (at, bytes) in contents.iter().enumerate() {
                assert_eq!(read.get(at), Some(Ok(&bytes[..])), "{at}");
            }
        }
    }

    #[test]
    fn the_error_of_one_file_is_its_own() {
        let Ok(mut reader) = BatchReader::new() else { return };
        let (good, directory) = (file(b"good"), std::fs::File::open("/").expect("open"));
        let requests = [FileRequest { fd: directory.as_fd(), size: 4 }, request(&good, 4)];
        let read = reader.read(&requests).expect("read");
        assert_eq!(read.get(0), Some(Err(Errno::ISDIR)));
        assert_eq!(read.get(1), Some(Ok(&b"good"[..])));
    }

    #[test]
    fn what_refuses_the_request_is_left_to_others() {
        let Ok(mut reader) = BatchReader::new() else { return };
        let place = tempfile::tempdir().expect("a temporary directory");
        // read(2) of a listening socket is EINVAL.
        let listener = std::os::unix::net::UnixListener::bind(place.path().join("s")).expect("bind");
        let good = file(b"good");
        let read = reader.read(&[FileRequest { fd: listener.as_fd(), size: 4 }, request(&good, 4)]).expect("read");
        assert_eq!((read.get(0), read.get(1)), (None, Some(Ok(&b"good"[..]))));
    }

    #[test]
    fn a_file_that_has_grown_or_shrunk_shows_it() {
        let Ok(mut reader) = BatchReader::new() else { return };
        let (grown, shrunk) = (file(&[1; 100]), file(&[2; 100]));
        let read = reader.read(&[request(&grown, 50), request(&shrunk, 200)]).expect("read");
        let lengths = [0, 1].map(|at| read.get(at).and_then(Result::ok).map(<[u8]>::len));
        assert_eq!(lengths, [Some(100), Some(100)]);
    }

    #[test]
    fn more_than_fits_is_refused() {
        let Ok(mut reader) = BatchReader::new() else { return };
        let file = file(b"x");
        assert!(reader.read(&[request(&file, BYTES + 2 * ALIGN)]).is_err());
    }
}
