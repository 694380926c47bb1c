//! Reads a file of the source once more: for its digest alone, or for its end.

use crate::copy::with_buffer;
use crate::digest::{Algorithm, ContentHasher, Digest, Sink};
use crate::pace::Pace;
use crate::sys::stat::Stat;
use crate::sys::{Errno, file};
use rustix::fd::BorrowedFd;

/// Suits every device that reads past the cache, in bytes.
const BLOCK: usize = 4096;

/// Hashes a file of the backup by ordinary reads, as it is for holes; `None` when the run is ending.
/// `may_cache` says that pages of the cache may be older than the file.
pub(crate) fn digest(fd: BorrowedFd<'_>, stat: &Stat, may_cache: bool, pace: &Pace) -> Result<Option<Digest>, Errno> {
    if may_cache {
        file::evict(fd)?;
    }
    let holes = stat.size.saturating_sub(stat.allocated);
    let mut hasher = ContentHasher::new(Algorithm::for_holes(holes));
    let mut at = 0;
    while at < stat.size {
        let (from, to) = match file::next_data(fd, at)? {
            Some((from, to)) => (from.min(stat.size), to.min(stat.size)),
            None => (stat.size, stat.size),
        };
        hasher.zeros(from - at);
        at = from;
        while at < to {
            if pace.is_stopped() {
                return Ok(None);
            }
            let got = with_buffer(|buffer| {
                let want = pace.request(usize::try_from(to - at).unwrap_or(usize::MAX).min(buffer.len()));
                pace.wait(want as u64);
                let got = file::read_full(fd, &mut buffer[..want], at)?;
                hasher.update(&buffer[..got]);
                Ok(got)
            })?;
            if got == 0 {
                // Cut off meanwhile, as the next look at it shows.
                return Ok(Some(hasher.finish()));
            }
            at += got as u64;
        }
    }
    Ok(Some(hasher.finish()))
}

/// Asks the driver past the page cache whether the file ends where `stat` says: FUSE fills what
/// it does not get with zeros. A driver that cannot be asked so is believed.
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
