//! Reads a file of the target from the medium, not from the page cache.

use super::buffer::with_buffer;
use super::digest::{Algorithm, CHUNK, ChunkHasher, ChunkValue, ContentHasher, ContentSink, Digest, chunks_of};
use crate::base::path::Name;
use crate::engine::events::operation::Operation;
use crate::engine::events::rate_limit::RateLimit;
use crate::sys::dir::TargetDir;
use crate::sys::read_batch::FileRequest;
use crate::sys::stat::{Kind, stat_fd};
use crate::sys::{Errno, file};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// How the medium was read; the worst of all files counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// With `O_DIRECT`.
    Direct,
    /// Through the page cache, after it was seen to be empty.
    Evicted,
    /// From the page cache: this file system has no medium, or did not evict its pages.
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

/// What a file system keeps its content on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// A medium below the page cache.
    Medium,
    /// The page cache itself.
    Memory,
}

/// Why a file could not be read back.
pub(crate) enum ReadError {
    Failed(Operation, Errno),
    Stopped,
}

/// A file opened to bypass the page cache. Several threads may read it at once.
pub(crate) struct Reading {
    fd: OwnedFd,
    /// Apparent bytes.
    pub(crate) size: u64,
    sparse: bool,
    direct: AtomicBool,
    used: WorstMedium,
    read: AtomicU64,
}

impl Reading {
    /// Opens the regular file `name` and drops its pages: inline and compressed
    /// extents are served from the cache even with `O_DIRECT`.
    pub(crate) fn open(dir: &TargetDir, name: &Name) -> Result<Self, ReadError> {
        let failed = |operation| move |errno| ReadError::Failed(operation, errno);
        let (fd, direct) = open(dir, name).map_err(failed(Operation::Open))?;
        let stat = stat_fd(&fd).map_err(failed(Operation::Stat))?;
        if stat.kind != Kind::File {
            return Err(ReadError::Failed(Operation::Read, Errno::INVAL));
        }
        file::evict(&fd).map_err(failed(Operation::Evict))?;
        let (size, sparse) = (stat.size, stat.allocated < stat.size);
        let (used, read) = (WorstMedium::default(), AtomicU64::new(0));
        Ok(Self { fd, size, sparse, direct: AtomicBool::new(direct), used, read })
    }

    /// The digest of the whole file.
    pub(crate) fn digest(&self, algorithm: Algorithm, rate_limit: &RateLimit) -> Result<Digest, ReadError> {
        let mut hasher = ContentHasher::new(algorithm);
        with_buffer(|buffer| self.range((0, self.size), &mut hasher, buffer, rate_limit))?;
        Ok(hasher.finish())
    }

    /// The request that reads the whole file from the medium, if one does.
    pub(crate) fn request(&self) -> Option<FileRequest<'_>> {
        let whole = self.direct.load(Ordering::Relaxed) && !self.sparse && self.size > 0;
        let size = usize::try_from(self.size).ok().filter(|_| whole)?;
        Some(FileRequest { fd: self.fd.as_fd(), size })
    }

    /// The digest of the whole file, of which `read` may have been read by [`Self::request`].
    pub(crate) fn digest_of(
        &self,
        read: Option<Result<&[u8], Errno>>,
        algorithm: Algorithm,
        rate_limit: &RateLimit,
    ) -> Result<Digest, ReadError> {
        match read {
            Some(Ok(bytes)) if bytes.len() as u64 == self.size => {
                rate_limit.wait(self.size);
                self.used.note(Medium::Direct);
                self.read.fetch_add(self.size, Ordering::Relaxed);
                let mut hasher = ContentHasher::new(algorithm);
                hasher.update(bytes);
                Ok(hasher.finish())
            }
            None | Some(Ok(_)) => self.digest(algorithm, rate_limit),
            Some(Err(errno)) => Err(ReadError::Failed(Operation::Read, errno)),
        }
    }

    /// The value of one chunk, by requests of the size of `buffer`, which `O_DIRECT` takes.
    pub(crate) fn chunk(&self, index: u64, buffer: &mut [u8], rate_limit: &RateLimit) -> Result<ChunkValue, ReadError> {
        let mut hasher = ChunkHasher::new(index);
        self.range((index * CHUNK, self.size.min((index + 1) * CHUNK)), &mut hasher, buffer, rate_limit)?;
        Ok(hasher.finish())
    }

    /// The bytes that came from the medium; records in `worst` how they were read.
    pub(crate) fn finish(self, backing: Backing, worst: &WorstMedium) -> u64 {
        let bytes = self.read.into_inner();
        if bytes > 0 {
            worst.note(match backing {
                Backing::Memory => Medium::Cached,
                Backing::Medium => self.used.get().unwrap_or(Medium::Cached),
            });
        }
        bytes
    }

    fn range(
        &self,
        (mut at, end): (u64, u64),
        sink: &mut impl ContentSink,
        buffer: &mut [u8],
        rate_limit: &RateLimit,
    ) -> Result<(), ReadError> {
        while at < end {
            let (from, to) = if self.sparse {
                match file::next_data(&self.fd, at).map_err(|errno| ReadError::Failed(Operation::FindData, errno))? {
                    Some((from, to)) => (from.min(end), to.min(end)),
                    None => (end, end),
                }
            } else {
                (at, end)
            };
            sink.zeros(from - at);
            at = self.extent((from, to), sink, buffer, rate_limit)?;
            if at < to {
                break;
            }
        }
        // It was truncated meanwhile: zeros replace what is missing, and the size tells.
        sink.zeros(end.saturating_sub(at));
        Ok(())
    }

    /// Reads what is between two offsets; returns where it stopped.
    fn extent(
        &self,
        (mut at, end): (u64, u64),
        sink: &mut impl ContentSink,
        buffer: &mut [u8],
        rate_limit: &RateLimit,
    ) -> Result<u64, ReadError> {
        while at < end {
            if rate_limit.is_stopped() {
                return Err(ReadError::Stopped);
            }
            let direct = self.direct.load(Ordering::Relaxed);
            let cached = !direct && file::is_cached(&self.fd, at).unwrap_or(true);
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let want = rate_limit.request(want);
            rate_limit.wait(want as u64);
            // O_DIRECT needs whole blocks; zeros beyond the end of an extent are cut off here.
            let ask = want.next_multiple_of(4096).min(buffer.len());
            let got = file::read_once(&self.fd, &mut buffer[..ask], at).map(|got| got.min(want));
            sink.update(&buffer[..got.unwrap_or(0)]);
            match got {
                Ok(0) => break,
                Ok(got) => {
                    self.used.note(match (direct, cached) {
                        (true, _) => Medium::Direct,
                        (false, false) => Medium::Evicted,
                        (false, true) => Medium::Cached,
                    });
                    at += got as u64;
                    self.read.fetch_add(got as u64, Ordering::Relaxed);
                }
                Err(Errno::INVAL) if direct => {
                    // Not at this offset or size: the rest is read through an evicted cache.
                    file::set_direct(&self.fd, false).map_err(|errno| ReadError::Failed(Operation::Read, errno))?;
                    self.direct.store(false, Ordering::Relaxed);
                }
                Err(errno) => return Err(ReadError::Failed(Operation::Read, errno)),
            }
        }
        Ok(at)
    }
}

/// One chunk of a file that is to have `size` bytes.
pub(crate) fn read_chunk(
    dir: &TargetDir,
    name: &Name,
    index: u64,
    size: u64,
    rate_limit: &RateLimit,
) -> Result<ChunkValue, ReadError> {
    let reading = Reading::open(dir, name)?;
    if reading.size != size || index >= chunks_of(size) {
        return Err(ReadError::Failed(Operation::Read, Errno::INVAL));
    }
    with_buffer(|buffer| reading.chunk(index, buffer, rate_limit))
}

fn open(dir: &TargetDir, name: &Name) -> Result<(OwnedFd, bool), Errno> {
    match dir.open_file(name, OFlags::DIRECT) {
        Ok(fd) => Ok((fd, true)),
        Err(Errno::INVAL) => dir.open_file(name, OFlags::empty()).map(|fd| (fd, false)),
        Err(errno) => Err(errno),
    }
}
