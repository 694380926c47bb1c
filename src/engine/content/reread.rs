//! Reads a source file once more: for its digest alone, or to check its end.

use super::buffer::with_buffer;
use super::digest::{Algorithm, CHUNK, ChunkHasher, ChunkValue, ContentHasher, ContentSink, Digest, chunks_of, merge};
use crate::engine::events::rate_limit::RateLimit;
use crate::sys::stat::{Stat, stat_fd};
use crate::sys::{Errno, file};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How pages of the source in the page cache relate to its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CachedPages {
    /// They are its content.
    Current,
    /// The driver may have cached an older state.
    MayBeOld,
}

/// Fits every device for O_DIRECT, in bytes.
const BLOCK: usize = 4096;

/// Hashes a file of the backup by ordinary reads, holes included; `None` when the run is ending.
/// The caller checks whether `stat` still holds.
pub(crate) fn digest(
    fd: BorrowedFd<'_>,
    stat: &Stat,
    pages: CachedPages,
    rate_limit: &RateLimit,
) -> Result<Option<Digest>, Errno> {
    let holes = stat.size.saturating_sub(stat.allocated);
    digest_as(Algorithm::for_holes(holes), fd, stat, pages, rate_limit)
}

/// The same with the algorithm of a recorded digest.
pub(crate) fn digest_as(
    algorithm: Algorithm,
    fd: BorrowedFd<'_>,
    stat: &Stat,
    pages: CachedPages,
    rate_limit: &RateLimit,
) -> Result<Option<Digest>, Errno> {
    if pages == CachedPages::MayBeOld {
        file::evict(fd)?;
    }
    let mut hasher = ContentHasher::new(algorithm);
    Ok(feed(fd, (0, stat.size), &mut hasher, rate_limit)?.then(|| hasher.finish()))
}

/// True when both files are read to be the same.
pub(crate) fn is_same(
    one: impl FnOnce() -> Result<OwnedFd, Errno>,
    other: impl FnOnce() -> Result<OwnedFd, Errno>,
    rate_limit: &RateLimit,
) -> bool {
    let digest = |fd: OwnedFd| {
        let stat = stat_fd(&fd)?;
        digest_as(Algorithm::Blake3, fd.as_fd(), &stat, CachedPages::MayBeOld, rate_limit)
    };
    matches!((one().and_then(digest), other().and_then(digest)), (Ok(Some(one)), Ok(Some(other))) if one == other)
}

/// The digest of a large file without large holes, several chunks at a time: a driver that answers late
/// is asked for all of them at once.
pub(crate) fn digest_by_chunks(
    fd: BorrowedFd<'_>,
    stat: &Stat,
    threads: usize,
    rate_limit: &RateLimit,
) -> Result<Option<Digest>, Errno> {
    file::evict(fd)?;
    let values = Mutex::new(vec![None; usize::try_from(chunks_of(stat.size)).unwrap_or(usize::MAX)]);
    let (next, failure) = (AtomicU64::new(0), Mutex::new(None));
    let serve = || {
        loop {
            let index = next.fetch_add(1, Relaxed);
            if index >= chunks_of(stat.size) || failure.lock().is_ok_and(|failure| failure.is_some()) {
                return;
            }
            match chunk(fd, index, stat.size, rate_limit) {
                Ok(value) => {
                    let mut values = values.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(slot) = usize::try_from(index).ok().and_then(|index| values.get_mut(index)) {
                        *slot = value;
                    }
                }
                Err(errno) => *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(errno),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            if std::thread::Builder::new().name("reread".into()).spawn_scoped(scope, serve).is_err() {
                // The threads that did start, this one among them, read all chunks.
                break;
            }
        }
        serve();
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(errno) => Err(errno),
        None if rate_limit.is_stopped() => Ok(None),
        None => {
            let values: Option<Vec<_>> =
                values.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
            // If it has become shorter, this is no digest that it had.
            let none = || ContentHasher::new(Algorithm::Blake3).finish();
            Ok(Some(values.and_then(|values| merge(&values, stat.size)).unwrap_or_else(none)))
        }
    }
}

/// The value of the chunk `index` of a file of `size` bytes, by ordinary reads; `None` when the
/// run is ending or the file has become shorter.
pub(crate) fn chunk(
    fd: BorrowedFd<'_>,
    index: u64,
    size: u64,
    rate_limit: &RateLimit,
) -> Result<Option<ChunkValue>, Errno> {
    let from = (index * CHUNK).min(size);
    let mut hasher = ChunkHasher::new(index);
    let whole = feed(fd, (from, (from + CHUNK).min(size)), &mut hasher, rate_limit)?;
    Ok((whole && !hasher.is_empty()).then(|| hasher.finish()))
}

/// Hashes the bytes from `at` to `end`; false when the run is ending.
fn feed(
    fd: BorrowedFd<'_>,
    (mut at, end): (u64, u64),
    sink: &mut impl ContentSink,
    rate_limit: &RateLimit,
) -> Result<bool, Errno> {
    while at < end {
        let (from, to) = match file::next_data(fd, at)? {
            Some((from, to)) => (from.min(end), to.min(end)),
            None => (end, end),
        };
        sink.zeros(from - at);
        at = from;
        while at < to {
            if rate_limit.is_stopped() {
                return Ok(false);
            }
            let got = with_buffer(|buffer| {
                let want = rate_limit.request(usize::try_from(to - at).unwrap_or(usize::MAX).min(buffer.len()));
                rate_limit.wait(want as u64);
                let got = file::read_full(fd, &mut buffer[..want], at)?;
                sink.update(&buffer[..got]);
                Ok::<_, Errno>(got)
            })?;
            if got == 0 {
                // It was truncated meanwhile, as its next stat shows.
                return Ok(true);
            }
            at += got as u64;
        }
    }
    Ok(true)
}

/// Asks the driver, bypassing the page cache, whether the file ends where `stat` says: FUSE fills
/// missing data with zeros. A driver that does not support that is believed.
pub(crate) fn ends_as_said(fd: BorrowedFd<'_>, stat: &Stat) -> Result<bool, Errno> {
    if stat.size == 0 || file::set_direct(fd, true).is_err() {
        return Ok(true);
    }
    let last = (stat.size - 1) & !(BLOCK as u64 - 1);
    let got = with_buffer(|buffer| file::read_once(fd, &mut buffer[..BLOCK], last));
    file::set_direct(fd, false)?;
    match got {
        Ok(got) => Ok(last + got as u64 == stat.size),
        Err(Errno::INVAL) => Ok(true),
        Err(errno) => Err(errno),
    }
}
