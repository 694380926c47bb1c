//! Reads a file of the target as the medium has it, not as the page cache does.

use crate::copy::with_buffer;
use crate::digest::{Algorithm, ContentHasher, Digest};
use crate::path::Name;
use crate::stop::Stop;
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, stat_fd};
use crate::sys::{Errno, file};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use std::sync::atomic::{AtomicU8, Ordering};

/// How the medium was read; the worst of all files counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// With `O_DIRECT`.
    Direct,
    /// Through the page cache, after it was seen to be empty.
    Evicted,
    /// From the page cache: this file system has no medium, or would not let go.
    Cached,
}

/// The worst way in which any file was read so far.
#[derive(Debug, Default)]
pub struct WorstMedium(AtomicU8);

impl WorstMedium {
    fn note(&self, medium: Medium) {
        self.0.fetch_max(medium as u8 + 1, Ordering::Relaxed);
    }

    /// The worst way, if anything was read at all.
    #[must_use]
    pub fn get(&self) -> Option<Medium> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Medium::Direct),
            2 => Some(Medium::Evicted),
            _ => Some(Medium::Cached),
        }
    }
}

/// What was read.
pub(super) struct ReadBack {
    pub(super) digest: Digest,
    /// Data bytes that came from the medium.
    pub(super) bytes: u64,
}

/// Why a file could not be read back.
pub(super) enum ReadError {
    Failed(&'static str, Errno),
    Stopped,
}

/// Hashes the regular file `name` as it is on the medium. `memory` says that the
/// file system has none.
pub(super) fn read_back(
    dir: &TargetDir,
    name: &Name,
    algorithm: Algorithm,
    memory: bool,
    worst: &WorstMedium,
    stop: &Stop,
) -> Result<ReadBack, ReadError> {
    let failed = |operation| move |errno| ReadError::Failed(operation, errno);
    let (fd, mut direct) = open(dir, name).map_err(failed("open"))?;
    let stat = stat_fd(&fd).map_err(failed("look at"))?;
    if stat.kind != Kind::File {
        return Err(ReadError::Failed("read", Errno::INVAL));
    }
    // Inline and compressed extents are served from the cache even with O_DIRECT.
    file::evict(&fd).map_err(failed("evict from the page cache"))?;
    let sparse = stat.allocated < stat.size;
    let mut hasher = ContentHasher::new(algorithm);
    let (mut at, mut bytes) = (0, 0);
    let mut medium = if direct { Medium::Direct } else { Medium::Evicted };
    while at < stat.size {
        if stop.is_set() {
            return Err(ReadError::Stopped);
        }
        let (start, end) = if sparse {
            match file::next_data(&fd, at).map_err(failed("find data"))? {
                Some((start, end)) => (start.min(stat.size), end.min(stat.size)),
                None => (stat.size, stat.size),
            }
        } else {
            (at, stat.size)
        };
        hasher.zeros(start - at);
        at = start;
        while at < end {
            if stop.is_set() {
                return Err(ReadError::Stopped);
            }
            if !direct && file::is_cached(&fd, at).unwrap_or(true) {
                medium = Medium::Cached;
            }
            let got = with_buffer(|buffer| {
                let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
                // O_DIRECT asks for whole blocks; past the end of an extent they are zeros, and cut off here.
                let ask = want.next_multiple_of(4096).min(buffer.len());
                let got = file::read_once(&fd, &mut buffer[..ask], at)?.min(want);
                hasher.update(&buffer[..got]);
                Ok(got)
            });
            match got {
                Ok(0) => break,
                Ok(got) => {
                    at += got as u64;
                    bytes += got as u64;
                }
                Err(Errno::INVAL) if direct => {
                    // Not at this offset or size: the rest goes through an evicted cache.
                    file::set_direct(&fd, false).map_err(failed("read"))?;
                    direct = false;
                    medium = medium.max(Medium::Evicted);
                }
                Err(errno) => return Err(ReadError::Failed("read", errno)),
            }
        }
        if at < end {
            break;
        }
    }
    if bytes > 0 {
        worst.note(if memory { Medium::Cached } else { medium });
    }
    Ok(ReadBack { digest: hasher.finish(), bytes })
}

fn open(dir: &TargetDir, name: &Name) -> Result<(OwnedFd, bool), Errno> {
    match dir.open_file(name, OFlags::DIRECT) {
        Ok(fd) => Ok((fd, true)),
        Err(Errno::INVAL) => dir.open_file(name, OFlags::empty()).map(|fd| (fd, false)),
        Err(errno) => Err(errno),
    }
}

/// Whether the file system of `dir` lives in memory.
pub(super) fn is_memory(dir: impl AsFd) -> bool {
    crate::sys::filesystem::space(dir).is_ok_and(|space| space.is_memory())
}
