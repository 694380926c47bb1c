//! The content of two files, read past the page cache and compared byte by byte.

use super::holes::DataParts;
use crate::engine::content::buffer::with_buffer;
use crate::engine::content::lent::LentBuffers;
use crate::engine::content::medium::Medium;
use crate::engine::events::operation::Operation;
use crate::engine::events::rate_limit::RateLimit;
use crate::sys::filesystem::space;
use crate::sys::{Errno, file};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Bytes of each side that a thread compares at once in a large file.
const PART: u64 = 2 << 20;
/// Files from this size on are read by several threads.
const LARGE: u64 = 8 << 20;
/// Parts of one file that are read at a time.
const AT_ONCE: usize = 8;

/// The result of comparing two files of the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SameContent {
    Same,
    /// The first byte that differs.
    DiffersAt(u64),
    /// The run is ending.
    Unknown,
}

/// Which side could not be read, by what, and why.
pub(super) type ContentError = (usize, Operation, Errno);

/// Compares contents, and counts what it reads.
pub(super) struct PairContents<'a> {
    rate_limit: &'a RateLimit,
    buffers: LentBuffers,
    threads: usize,
    bytes: AtomicU64,
    /// The worst [`Medium`] so far, plus one.
    medium: AtomicU8,
}

/// One side of a file.
struct OneSide {
    fd: OwnedFd,
    direct: AtomicBool,
}

impl OneSide {
    /// Makes `fd` read from the medium, if its file system does that.
    fn new(fd: OwnedFd) -> Result<Self, (Operation, Errno)> {
        file::evict(&fd).map_err(|errno| (Operation::Evict, errno))?;
        let memory = space(&fd).is_ok_and(|space| space.is_memory());
        let direct = match if memory { Err(Errno::INVAL) } else { file::set_direct(&fd, true) } {
            Ok(()) => true,
            Err(Errno::INVAL) => false,
            Err(errno) => return Err((Operation::Open, errno)),
        };
        Ok(Self { fd, direct: AtomicBool::new(direct) })
    }
}

impl<'a> PairContents<'a> {
    pub(super) fn new(rate_limit: &'a RateLimit, buffers: LentBuffers, threads: usize) -> Self {
        Self { rate_limit, buffers, threads, bytes: AtomicU64::new(0), medium: AtomicU8::new(0) }
    }

    /// Bytes that were read, and the worst way.
    pub(super) fn finish(self) -> (u64, Option<Medium>) {
        let medium = match self.medium.into_inner() {
            0 => None,
            1 => Some(Medium::Direct),
            2 => Some(Medium::Evicted),
            _ => Some(Medium::Cached),
        };
        (self.bytes.into_inner(), medium)
    }

    /// Compares two open files of `size` bytes, where `parts` of them have data.
    pub(super) fn compare(
        &self,
        files: [OwnedFd; 2],
        size: u64,
        parts: Option<&DataParts>,
    ) -> Result<SameContent, ContentError> {
        let [one, two] = files;
        let one = OneSide::new(one).map_err(|(operation, errno)| (0, operation, errno))?;
        let two = OneSide::new(two).map_err(|(operation, errno)| (1, operation, errno))?;
        let sides = [one, two];
        let whole = [(0, size)];
        let parts = parts.map_or(&whole[..], |parts| &parts.parts);
        if size < LARGE {
            return with_buffer(|buffer| {
                for (from, to) in parts {
                    let same = self.range(&sides, (*from, *to), buffer)?;
                    if same != SameContent::Same {
                        return Ok(same);
                    }
                }
                Ok(SameContent::Same)
            });
        }
        self.large(&sides, parts)
    }

    /// Several parts at a time, as many as the lent buffers allow all files together.
    fn large(&self, sides: &[OneSide; 2], parts: &[(u64, u64)]) -> Result<SameContent, ContentError> {
        let cut = |(from, to): &(u64, u64)| {
            let to = *to;
            // Whole blocks, wherever the data begins.
            (*from..to).step_by(usize::try_from(PART).unwrap_or(usize::MAX)).map(move |at| (at, to.min(at + PART)))
        };
        let cuts: Vec<(u64, u64)> = parts.iter().flat_map(cut).collect();
        let (next, found) = (AtomicUsize::new(0), Mutex::new(Ok(SameContent::Same)));
        let serve = || {
            while let Some(range) = cuts.get(next.fetch_add(1, Relaxed)) {
                let same = self.buffers.with(|buffer| self.range(sides, *range, buffer));
                if same == Ok(SameContent::Same) {
                    continue;
                }
                // Later parts need not be read; an earlier one that is being read may still differ.
                next.store(cuts.len(), Relaxed);
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                *found = first(found.clone(), same);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(AT_ONCE).min(cuts.len()) {
                if std::thread::Builder::new().name("parts".into()).spawn_scoped(scope, serve).is_err() {
                    // The threads that did start, this one among them, read all parts.
                    break;
                }
            }
            serve();
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares what is between two offsets, each side in one half of `buffer`.
    fn range(
        &self,
        sides: &[OneSide; 2],
        (mut at, end): (u64, u64),
        buffer: &mut [u8],
    ) -> Result<SameContent, ContentError> {
        let half = buffer.len() / 2;
        let (left, right) = buffer.split_at_mut(half);
        while at < end {
            if self.rate_limit.is_stopped() {
                return Ok(SameContent::Unknown);
            }
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(half);
            let want = self.rate_limit.request(want);
            self.rate_limit.wait(2 * want as u64);
            let read = |side: usize, into: &mut [u8]| {
                self.read(&sides[side], into, at, want).map_err(|errno| (side, Operation::Read, errno))
            };
            let (one, two) = (read(0, left)?, read(1, right)?);
            let differs = left[..one].iter().zip(&right[..two]).position(|(a, b)| a != b);
            // One of them has become shorter.
            let differs = if left[..one] == right[..two] { None } else { differs.or(Some(one.min(two))) };
            if let Some(offset) = differs {
                return Ok(SameContent::DiffersAt(at + offset as u64));
            }
            if one == 0 {
                break;
            }
            at += one as u64;
        }
        Ok(SameContent::Same)
    }

    /// Fills `into` from `at` on with up to `want` bytes.
    fn read(&self, side: &OneSide, into: &mut [u8], at: u64, want: usize) -> Result<usize, Errno> {
        let fd: BorrowedFd<'_> = side.fd.as_fd();
        let ask = want.next_multiple_of(4096).min(into.len());
        let mut direct = side.direct.load(Relaxed);
        let cached = !direct && file::is_cached(fd, at).unwrap_or(true);
        let got = match file::read_full(fd, &mut into[..ask], at) {
            // Not at this offset or size: the rest is read through an evicted cache.
            Err(Errno::INVAL) if direct => {
                file::set_direct(fd, false)?;
                side.direct.store(false, Relaxed);
                direct = false;
                file::read_full(fd, &mut into[..ask], at)
            }
            got => got,
        }?;
        let got = got.min(want);
        let medium = match (direct, cached) {
            (true, _) => Medium::Direct,
            (false, false) => Medium::Evicted,
            (false, true) => Medium::Cached,
        };
        self.medium.fetch_max(medium as u8 + 1, Relaxed);
        self.bytes.fetch_add(got as u64, Relaxed);
        Ok(got)
    }
}

/// What counts of two results: a difference, the first one; otherwise what is not known.
fn first(
    one: Result<SameContent, ContentError>,
    two: Result<SameContent, ContentError>,
) -> Result<SameContent, ContentError> {
    match (one, two) {
        (Ok(SameContent::DiffersAt(a)), Ok(SameContent::DiffersAt(b))) => Ok(SameContent::DiffersAt(a.min(b))),
        (Ok(SameContent::Same), other) | (other, Ok(SameContent::Same)) => other,
        (differs @ Ok(SameContent::DiffersAt(_)), _) | (_, differs @ Ok(SameContent::DiffersAt(_))) => differs,
        (failed, _) => failed,
    }
}
