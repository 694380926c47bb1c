//! The bytes of one file: read, hashed and written in one pass, holes kept.
//!
//! | case | how |
//! |---|---|
//! | up to the buffer's size, no block of zeros | one read past the page cache, one write |
//! | no holes | read from start to end |
//! | blocks shared with the source (`sharing.rs`) | read and hashed, nothing written |
//! | holes | extents by `SEEK_DATA`/`SEEK_HOLE`; holes are hashed as zeros and not written |
//! | at least [`DIRECT_MIN`] and no holes | blocks reserved, written with `O_DIRECT`, the unaligned tail buffered |
//!
//! If the file grows or shrinks meanwhile, what was read is written; the caller
//! compares the stat before and after.

use super::job::OpenSource;
use super::slots::Slot;
use crate::engine::content::buffer::{ALIGN, BUFFER, with_buffer};
use crate::engine::content::digest::{Algorithm, ContentHasher, ContentSink, Digest};
use crate::engine::events::rate_limit::RateLimit;
use crate::sys::flags::is_absent;
use crate::sys::raw::write_behind;
use crate::sys::stat::{Stat, stat_fd};
use crate::sys::{Errno, file};
use rustix::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// Files of at least this many bytes bypass the page cache on the write side.
pub(crate) const DIRECT_MIN: u64 = 32 << 20;
/// No file system's blocks are larger; a hole must hold one to be kept.
const LARGEST_BLOCK: u64 = 64 << 10;
/// Why the content did not arrive.
#[derive(Clone, Copy, Debug)]
pub(super) enum FillFailure {
    /// The source could not be read.
    Read(Errno),
    /// The target could not be written.
    Write(Errno),
    /// The source does not have as many bytes as its stat says: it changed meanwhile, or the driver is wrong.
    Length,
    /// Two readings of the source differ.
    Differs,
    /// The blocks of the source cannot be shared, and are not to be copied.
    Unshared(Errno),
    /// The run is ending.
    Stopped,
}

/// What was copied.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) digest: Digest,
    /// Data bytes written, without holes.
    pub(super) bytes: u64,
    /// Of these, bytes that share the blocks of the source.
    pub(super) shared: u64,
    /// Those that have not been handed to an epoch yet.
    pub(super) pending: u64,
    /// The target's file system filled a hole with zeros.
    pub(super) hole_filled: bool,
}

/// The copy of a file, or of part of one.
pub(super) struct Fill<'a, 'slots, H> {
    pub(super) source: BorrowedFd<'a>,
    pub(super) target: BorrowedFd<'a>,
    pub(super) buffer: &'a mut [u8],
    pub(super) hasher: H,
    pub(super) rate_limit: &'a RateLimit,
    /// The target has the bytes already, in blocks that it shares with the source: they are only hashed.
    pub(super) shared: bool,
    /// Data bytes so far.
    pub(super) written: u64,
    /// Where the first large hole starts.
    pub(super) hole: Option<u64>,
    /// The target is open with `O_DIRECT`: only whole blocks may be written.
    pub(super) direct: bool,
    /// Of a large file: says when and how much, and is told how long it took.
    pub(super) slot: Option<&'a mut Slot<'slots>>,
}

/// Copies the content of a file, described by `stat`, to the file `target`, which is empty or shares its blocks.
/// `ahead` is what was read of it in advance.
pub(super) fn fill(
    (from, ahead): (&OpenSource<'_>, Option<Result<&[u8], Errno>>),
    stat: &Stat,
    (target, shared): (BorrowedFd<'_>, bool),
    rate_limit: &RateLimit,
) -> Result<Filled, FillFailure> {
    let source = from.fd.as_fd();
    with_buffer(|buffer| {
        let holes = stat.size.saturating_sub(stat.allocated);
        let hasher = ContentHasher::new(Algorithm::for_holes(holes));
        let mut fill = Fill {
            source,
            target,
            buffer,
            hasher,
            rate_limit,
            shared,
            written: 0,
            hole: None,
            direct: false,
            slot: None,
        };
        let small = holes == 0 && stat.size <= BUFFER as u64;
        if !small && from.direct {
            file::set_direct(source, false).map_err(FillFailure::Read)?;
        }
        if small && fill.small(stat, from.direct, ahead)? {
            // One read and one write copied everything.
        } else if holes > 0 || has_hole(source, stat.size)? {
            // Set the size first: a hole at the end then needs nothing more.
            if !shared {
                file::set_size(target, stat.size).map_err(FillFailure::Write)?;
            }
            fill.sparse(0, stat.size)?;
        } else if !shared
            && stat.size >= DIRECT_MIN
            && is_direct(stat_fd(target).map_err(FillFailure::Write)?.dio_align)
        {
            fill.direct(stat.size)?;
        } else if fill.extent(0, u64::MAX)? != stat.size {
            return Err(FillFailure::Length);
        }
        let hole_filled = is_hole_filled(target, fill.hole)?;
        let (bytes, shared) = (fill.written, if shared { fill.written } else { 0 });
        Ok(Filled { digest: fill.hasher.finish(), bytes, shared, pending: bytes, hole_filled })
    })
}

/// Blocks for attributes, for the extent tree and reserved beyond the end are
/// counted like data, so a file with as many blocks as bytes can have holes.
pub(super) fn has_hole(source: BorrowedFd<'_>, size: u64) -> Result<bool, FillFailure> {
    if size == 0 {
        return Ok(false);
    }
    match file::next_data(source, 0) {
        Ok(data) => Ok(data.is_none_or(|(start, end)| start > 0 || end < size)),
        // A file system that cannot tell has no holes to keep.
        Err(errno) if errno == Errno::INVAL || is_absent(errno) => Ok(false),
        Err(errno) => Err(FillFailure::Read(errno)),
    }
}

/// Whether requests aligned to [`ALIGN`] suit a file that asks for `align`; 0 means no O_DIRECT.
pub(super) fn is_direct(align: u32) -> bool {
    align > 0 && ALIGN.is_multiple_of(align as usize)
}

/// The smallest block of any file system: no hole is smaller.
const LEAST_BLOCK: usize = 512;

/// Holes read as zeros: data without a block of zeros has no hole.
fn may_have_holes(data: &[u8]) -> bool {
    data.chunks(LEAST_BLOCK).any(|block| block.iter().all(|byte| *byte == 0))
}

impl<H: ContentSink> Fill<'_, '_, H> {
    /// Copies a file that fits the buffer with one read and one write. False, with nothing
    /// written, when its size is not that of `stat`, or when it may have holes.
    fn small(&mut self, stat: &Stat, direct: bool, ahead: Option<Result<&[u8], Errno>>) -> Result<bool, FillFailure> {
        let size = usize::try_from(stat.size).unwrap_or(usize::MAX);
        if let Some(data) = ahead {
            let data = data.map_err(FillFailure::Read)?;
            if data.len() == size && !may_have_holes(data) {
                self.put_all(data)?;
                return Ok(true);
            }
            // Read again, from the start.
        }
        let want = size.max(1).next_multiple_of(ALIGN).min(self.buffer.len());
        // Through the cache, pages would be allocated, filled, copied once and never used again.
        let direct = direct || size > 0 && is_direct(stat.dio_align) && file::set_direct(self.source, true).is_ok();
        let got = self.read_small(want, size, direct)?;
        if got != size || may_have_holes(&self.buffer[..got]) {
            if direct {
                file::set_direct(self.source, false).map_err(FillFailure::Read)?;
            }
            return Ok(false);
        }
        self.put(got, 0)?;
        Ok(true)
    }

    /// Hashes and writes a whole file that is in memory.
    fn put_all(&mut self, data: &[u8]) -> Result<(), FillFailure> {
        self.rate_limit.wait(data.len() as u64);
        self.hasher.update(data);
        if !self.shared {
            file::write_full(self.target, data, 0).map_err(FillFailure::Write)?;
        }
        self.written += data.len() as u64;
        Ok(())
    }

    /// Reads until `size` bytes or the end of the file. Anything beyond, up to `want` bytes in
    /// all, is only seen if the file has grown.
    fn read_small(&mut self, want: usize, size: usize, mut direct: bool) -> Result<usize, FillFailure> {
        let mut got = 0;
        loop {
            match file::read_once(self.source, &mut self.buffer[got..want], got as u64) {
                Ok(0) => return Ok(got),
                Ok(n) => got += n,
                // A short read ended at an offset where a direct one cannot begin.
                Err(Errno::INVAL) if direct => {
                    direct = false;
                    file::set_direct(self.source, false).map_err(FillFailure::Read)?;
                }
                Err(errno) => return Err(FillFailure::Read(errno)),
            }
            if got >= size {
                return Ok(got);
            }
        }
    }

    /// Hashes the first `length` bytes of the buffer and writes them at `at`.
    fn put(&mut self, length: usize, at: u64) -> Result<(), FillFailure> {
        self.rate_limit.wait(length as u64);
        self.hasher.update(&self.buffer[..length]);
        self.write(length, at)
    }

    fn write(&mut self, length: usize, at: u64) -> Result<(), FillFailure> {
        if self.shared {
            self.written += length as u64;
            return Ok(());
        }
        file::write_full(self.target, &self.buffer[..length], at).map_err(FillFailure::Write)?;
        if self.slot.is_some() && !self.direct {
            write_behind(self.target, at, length as u64).map_err(FillFailure::Write)?;
        }
        self.written += length as u64;
        Ok(())
    }

    /// Copies from `at` up to `end` or the end of the file; returns where it stopped.
    pub(super) fn extent(&mut self, mut at: u64, end: u64) -> Result<u64, FillFailure> {
        while at < end {
            if self.rate_limit.is_stopped() {
                return Err(FillFailure::Stopped);
            }
            let most = self.slot.as_ref().map_or(self.buffer.len(), |slot| slot.request());
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(most);
            let want = self.rate_limit.request(want);
            self.slot.as_ref().inspect(|slot| slot.reads());
            let began = Instant::now();
            let got = file::read_full(self.source, &mut self.buffer[..want], at).map_err(FillFailure::Read)?;
            let mut took = began.elapsed();
            if got > 0 {
                if self.direct && got % ALIGN != 0 {
                    self.buffered()?;
                }
                self.rate_limit.wait(got as u64);
                self.hasher.update(&self.buffer[..got]);
                if let Some(slot) = &mut self.slot {
                    slot.writes();
                }
                let began = Instant::now();
                self.write(got, at)?;
                took += began.elapsed();
                if let Some(slot) = &mut self.slot {
                    slot.wrote(got, took);
                }
                at += got as u64;
            }
            if got < want {
                break;
            }
        }
        Ok(at)
    }

    /// Copies the data from `at` to `end` and skips the holes.
    pub(super) fn sparse(&mut self, mut at: u64, end: u64) -> Result<(), FillFailure> {
        while at < end {
            if self.rate_limit.is_stopped() {
                return Err(FillFailure::Stopped);
            }
            let Some((from, to)) = file::next_data(self.source, at).map_err(FillFailure::Read)? else { break };
            let (from, to) = (from.min(end), to.min(end));
            self.skip_hole(at, from);
            at = self.extent(from, to)?;
            if at < to {
                return Err(FillFailure::Length);
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

    fn direct(&mut self, size: u64) -> Result<(), FillFailure> {
        match file::reserve(self.target, size) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(FillFailure::Write(errno)),
        }
        // Only a hint to the kernel: failure costs speed, nothing else.
        file::read_sequentially(self.source).ok();
        if file::set_direct(self.target, true).is_err() {
            return if self.extent(0, u64::MAX)? == size { Ok(()) } else { Err(FillFailure::Length) };
        }
        self.direct = true;
        let whole = size - size % ALIGN as u64;
        let at = self.extent(0, whole)?;
        self.buffered()?;
        if self.extent(at, u64::MAX)? != size {
            return Err(FillFailure::Length);
        }
        // A large source file is not read again: its pages would only push out others.
        file::evict(self.source).ok();
        Ok(())
    }

    pub(super) fn buffered(&mut self) -> Result<(), FillFailure> {
        self.direct = false;
        file::set_direct(self.target, false).map_err(FillFailure::Write)
    }
}

/// Asks the target whether the first hole that any block size can hold is one.
pub(super) fn is_hole_filled(target: BorrowedFd<'_>, hole: Option<u64>) -> Result<bool, FillFailure> {
    let Some(at) = hole else { return Ok(false) };
    match file::next_data(target, at) {
        Ok(data) => Ok(data.is_some_and(|(from, _)| from == at)),
        Err(errno) if errno == Errno::INVAL || is_absent(errno) => Ok(false),
        Err(errno) => Err(FillFailure::Write(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_block_of_zeros_can_be_a_hole() {
        let mut data = vec![1; 5000];
        assert!(!may_have_holes(&data) && !may_have_holes(&[]));
        data[513..1024].fill(0);
        assert!(!may_have_holes(&data));
        data[512] = 0;
        assert!(may_have_holes(&data));
        // The last block of a file is shorter.
        let tail: Vec<u8> = [vec![1; 512], vec![0; 7]].concat();
        assert!(may_have_holes(&tail));
    }
}
