//! The bytes of one file: read, hashed and written in one pass, holes kept.
//!
//! | case | how |
//! |---|---|
//! | no holes | read from start to end |
//! | holes | extents by `SEEK_DATA`/`SEEK_HOLE`; holes are hashed as zeros and not written |
//! | at least [`DIRECT_MIN`] and no holes | blocks reserved, written with `O_DIRECT`, the unaligned tail buffered |
//!
//! If the file grows or shrinks meanwhile, what was read is written; the caller
//! compares the stat before and after.

use crate::digest::{Algorithm, ContentHasher, Digest, Sink};
use crate::stop::Stop;
use crate::sys::flags::is_absent;
use crate::sys::stat::Stat;
use crate::sys::{Errno, file};
use rustix::fd::BorrowedFd;
use std::cell::RefCell;

/// Files of at least this many bytes bypass the page cache on the write side.
pub(crate) const DIRECT_MIN: u64 = 32 << 20;
/// The size of a thread's buffer in bytes.
pub(crate) const BUFFER: usize = 1 << 20;
/// No file system's blocks are larger; a hole must hold one to be kept.
const LARGEST_BLOCK: u64 = 64 << 10;
/// Alignment that satisfies every known device.
pub(super) const ALIGN: usize = 4096;

/// A buffer whose start is aligned for `O_DIRECT`.
pub(crate) struct AlignedBuffer {
    space: Vec<u8>,
    start: usize,
}

impl AlignedBuffer {
    fn new() -> Self {
        let space = vec![0; BUFFER + ALIGN];
        let start = space.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { space, start }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.space[self.start..self.start + BUFFER]
    }
}

/// Lends the thread's buffer.
pub(crate) fn with_buffer<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local!(static OWN: RefCell<AlignedBuffer> = RefCell::new(AlignedBuffer::new()));
    OWN.with(|own| match own.try_borrow_mut() {
        Ok(mut buffer) => work(buffer.bytes()),
        // A task that runs inside another one's copy gets a buffer of its own.
        Err(_) => work(AlignedBuffer::new().bytes()),
    })
}

/// Why the content did not arrive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    /// The source could not be read.
    Read(Errno),
    /// The target could not be written.
    Write(Errno),
    /// The source ended early: it was cut off meanwhile.
    Shrunk,
    /// The run is ending.
    Stopped,
}

/// What arrived.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) digest: Digest,
    /// Data bytes written, without holes.
    pub(super) bytes: u64,
    /// Those of them that no epoch has heard of yet.
    pub(super) pending: u64,
    /// The target's file system has filled a hole with zeros.
    pub(super) hole_filled: bool,
}

/// A copy of a part of a file, or of all of it.
pub(super) struct Fill<'a, H> {
    pub(super) source: BorrowedFd<'a>,
    pub(super) target: BorrowedFd<'a>,
    pub(super) buffer: &'a mut [u8],
    pub(super) hasher: H,
    pub(super) stop: &'a Stop,
    /// Data bytes so far.
    pub(super) written: u64,
    /// Where the first large hole starts.
    pub(super) hole: Option<u64>,
    /// The target is open with `O_DIRECT`: only whole blocks may be written.
    pub(super) direct: bool,
}

/// Copies the content of `source`, described by `stat`, to the empty file `target`.
pub(super) fn fill(
    source: BorrowedFd<'_>,
    stat: &Stat,
    target: BorrowedFd<'_>,
    target_align: u32,
    stop: &Stop,
) -> Result<Filled, Failure> {
    with_buffer(|buffer| {
        let holes = stat.size.saturating_sub(stat.allocated);
        let hasher = ContentHasher::new(Algorithm::for_holes(holes));
        let mut fill = Fill { source, target, buffer, hasher, stop, written: 0, hole: None, direct: false };
        if holes > 0 || has_hole(source, stat.size)? {
            // The size first: a hole at the end then needs nothing more.
            file::set_size(target, stat.size).map_err(Failure::Write)?;
            fill.sparse(0, stat.size)?;
        } else if stat.size >= DIRECT_MIN && target_align > 0 && ALIGN.is_multiple_of(target_align as usize) {
            fill.direct(stat.size)?;
        } else {
            fill.extent(0, u64::MAX)?;
        }
        let hole_filled = is_hole_filled(target, fill.hole)?;
        Ok(Filled { digest: fill.hasher.finish(), bytes: fill.written, pending: fill.written, hole_filled })
    })
}

/// Blocks for attributes, for the extent tree and reserved beyond the end are
/// counted like data, so a file with as many blocks as bytes can have holes.
pub(super) fn has_hole(source: BorrowedFd<'_>, size: u64) -> Result<bool, Failure> {
    if size == 0 {
        return Ok(false);
    }
    match file::next_data(source, 0) {
        Ok(data) => Ok(data.is_none_or(|(start, end)| start > 0 || end < size)),
        // A file system that cannot say has none to keep.
        Err(errno) if errno == Errno::INVAL || is_absent(errno) => Ok(false),
        Err(errno) => Err(Failure::Read(errno)),
    }
}

impl<H: Sink> Fill<'_, H> {
    /// Copies from `at` up to `end` or the end of the file; returns where it stopped.
    pub(super) fn extent(&mut self, mut at: u64, end: u64) -> Result<u64, Failure> {
        while at < end {
            if self.stop.is_set() {
                return Err(Failure::Stopped);
            }
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.buffer.len());
            let got = file::read_full(self.source, &mut self.buffer[..want], at).map_err(Failure::Read)?;
            if got > 0 {
                if self.direct && got % ALIGN != 0 {
                    self.buffered()?;
                }
                self.hasher.update(&self.buffer[..got]);
                file::write_full(self.target, &self.buffer[..got], at).map_err(Failure::Write)?;
                self.written += got as u64;
                at += got as u64;
            }
            if got < want {
                break;
            }
        }
        Ok(at)
    }

    /// Copies the data from `at` to `end` and skips the holes.
    pub(super) fn sparse(&mut self, mut at: u64, end: u64) -> Result<(), Failure> {
        while at < end {
            if self.stop.is_set() {
                return Err(Failure::Stopped);
            }
            let Some((from, to)) = file::next_data(self.source, at).map_err(Failure::Read)? else { break };
            let (from, to) = (from.min(end), to.min(end));
            self.skip_hole(at, from);
            at = self.extent(from, to)?;
            if at < to {
                break;
            }
        }
        self.skip_hole(at, end);
        Ok(())
    }

    fn skip_hole(&mut self, from: u64, to: u64) {
        self.hasher.zeros(to - from);
        let aligned = from.next_multiple_of(LARGEST_BLOCK);
        if aligned + LARGEST_BLOCK <= to {
            self.hole.get_or_insert(aligned);
        }
    }

    fn direct(&mut self, size: u64) -> Result<(), Failure> {
        match file::reserve(self.target, size) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(Failure::Write(errno)),
        }
        // An advice that fails costs only speed.
        file::read_sequentially(self.source).ok();
        if file::set_direct(self.target, true).is_err() {
            self.extent(0, u64::MAX)?;
            return Ok(());
        }
        self.direct = true;
        let whole = size - size % ALIGN as u64;
        let at = self.extent(0, whole)?;
        self.buffered()?;
        self.extent(at, u64::MAX)?;
        // The source of a large file is not read again: its pages would only push out others'.
        file::evict(self.source).ok();
        Ok(())
    }

    pub(super) fn buffered(&mut self) -> Result<(), Failure> {
        self.direct = false;
        file::set_direct(self.target, false).map_err(Failure::Write)
    }
}

/// Asks the target whether the first hole that any block size can hold is one.
pub(super) fn is_hole_filled(target: BorrowedFd<'_>, hole: Option<u64>) -> Result<bool, Failure> {
    let Some(at) = hole else { return Ok(false) };
    match file::next_data(target, at) {
        Ok(data) => Ok(data.is_some_and(|(from, _)| from == at)),
        Err(errno) if errno == Errno::INVAL || is_absent(errno) => Ok(false),
        Err(errno) => Err(Failure::Write(errno)),
    }
}
