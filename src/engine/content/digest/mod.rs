//! The digest of a file's content.
//!
//! Ordinarily it is the standard BLAKE3 of all bytes, as `b3sum` prints it. A
//! file with very large holes has a digest of its non-zero 16 MiB chunks
//! instead: zeros at different offsets have different BLAKE3 chaining values,
//! so a tebibyte of hole would cost minutes of hashing for nothing. Both depend
//! on content alone, never on where a file system put the holes.

mod chunks;

pub use chunks::{ChunkHasher, ChunkValue, chunks_of, merge};

/// The size of a chunk in bytes.
pub const CHUNK: u64 = 16 << 20;

/// Holes of at least this many bytes switch to [`Algorithm::NonZeroChunks`].
const LARGE_HOLES: u64 = 8 << 30;

/// How a digest was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// BLAKE3 of the content.
    Blake3,
    /// BLAKE3 of the size and, for each 16 MiB chunk that is not all zero, its
    /// index and BLAKE3; numbers as 64-bit little endian.
    NonZeroChunks,
}

impl Algorithm {
    /// The choice for a file with `hole` bytes in holes.
    #[must_use]
    pub const fn for_holes(hole: u64) -> Self {
        if hole >= LARGE_HOLES { Self::NonZeroChunks } else { Self::Blake3 }
    }
}

/// A digest and how it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// How it was made.
    pub algorithm: Algorithm,
    /// The 32 bytes.
    pub bytes: [u8; 32],
}

/// Takes a file's content from start to end, data and runs of zeros.
#[derive(Debug)]
pub struct ContentHasher(State);

#[derive(Debug)]
enum State {
    Plain(Box<blake3::Hasher>),
    Chunks(Box<Chunks>),
}

#[derive(Debug)]
struct Chunks {
    list: blake3::Hasher,
    chunk: blake3::Hasher,
    /// Any byte of the current chunk is not zero.
    dirty: bool,
    offset: u64,
}

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// What takes bytes in their order, or hears that they are zeros.
pub trait Sink {
    /// The next bytes.
    fn update(&mut self, data: &[u8]);
    /// The next `length` bytes are zero.
    fn zeros(&mut self, length: u64);
}

impl ContentHasher {
    /// A hasher at offset 0.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Blake3 => State::Plain(Box::default()),
            Algorithm::NonZeroChunks => State::Chunks(Box::new(Chunks {
                list: blake3::Hasher::new(),
                chunk: blake3::Hasher::new(),
                dirty: false,
                offset: 0,
            })),
        })
    }

    /// The digest of everything given so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Plain(hasher) => Digest { algorithm: Algorithm::Blake3, bytes: *hasher.finalize().as_bytes() },
            State::Chunks(mut chunks) => {
                if chunks.offset % CHUNK != 0 {
                    chunks.end_chunk(chunks.offset / CHUNK);
                }
                chunks.list.update(&chunks.offset.to_le_bytes());
                Digest { algorithm: Algorithm::NonZeroChunks, bytes: *chunks.list.finalize().as_bytes() }
            }
        }
    }
}

impl Sink for ContentHasher {
    fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Plain(hasher) => {
                hasher.update(data);
            }
            State::Chunks(chunks) => chunks.update(data),
        }
    }

    fn zeros(&mut self, length: u64) {
        match &mut self.0 {
            State::Plain(hasher) => {
                chunks::zeros(hasher, length);
            }
            State::Chunks(chunks) => chunks.zeros(length),
        }
    }
}

impl Chunks {
    fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let left = CHUNK - self.offset % CHUNK;
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
            self.chunk.update(&data[..part]);
            self.dirty |= data[..part].iter().any(|b| *b != 0);
            self.advance(part as u64);
            data = &data[part..];
        }
    }

    fn zeros(&mut self, mut length: u64) {
        while length > 0 {
            let within = self.offset % CHUNK;
            if within == 0 && length >= CHUNK {
                // Whole chunks of zeros leave no trace but the offset.
                let whole = length - length % CHUNK;
                self.offset += whole;
                length -= whole;
                continue;
            }
            let part = (CHUNK - within).min(length).min(ZEROS.len() as u64);
            self.chunk.update(&ZEROS[..usize::try_from(part).unwrap_or(ZEROS.len())]);
            self.advance(part);
            length -= part;
        }
    }

    fn advance(&mut self, part: u64) {
        self.offset += part;
        if self.offset.is_multiple_of(CHUNK) {
            self.end_chunk(self.offset / CHUNK - 1);
        }
    }

    fn end_chunk(&mut self, index: u64) {
        if self.dirty {
            self.list.update(&index.to_le_bytes());
            self.list.update(self.chunk.finalize().as_bytes());
        }
        self.chunk.reset();
        self.dirty = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as runs: `Some(byte)` data, `None` a hole.
    fn digest(algorithm: Algorithm, runs: &[(Option<u8>, u64)], as_data: bool) -> Digest {
        let mut hasher = ContentHasher::new(algorithm);
        for (byte, length) in runs {
            match byte {
                Some(byte) => hasher.update(&vec![*byte; usize::try_from(*length).expect("small")]),
                None if as_data => hasher.update(&vec![0; usize::try_from(*length).expect("small")]),
                None => hasher.zeros(*length),
            }
        }
        hasher.finish()
    }

    #[test]
    fn holes_and_zeros_are_the_same_content() {
        let runs = [(Some(7), 100), (None, 3 * CHUNK + 5), (Some(0), 50), (Some(9), CHUNK), (None, 17)];
        for algorithm in [Algorithm::Blake3, Algorithm::NonZeroChunks] {
            assert_eq!(digest(algorithm, &runs, false), digest(algorithm, &runs, true));
        }
    }

    #[test]
    fn size_and_place_matter() {
        let base = digest(Algorithm::NonZeroChunks, &[(None, 4 * CHUNK)], false);
        assert_ne!(base, digest(Algorithm::NonZeroChunks, &[(None, 4 * CHUNK + 1)], false));
        let early = digest(Algorithm::NonZeroChunks, &[(Some(1), 1), (None, 4 * CHUNK)], false);
        let late = digest(Algorithm::NonZeroChunks, &[(None, CHUNK), (Some(1), 1), (None, 3 * CHUNK)], false);
        assert_ne!(early, late);
    }

    #[test]
    fn the_plain_digest_is_what_b3sum_prints() {
        let digest = digest(Algorithm::Blake3, &[(Some(b'a'), 3)], false);
        assert_eq!(digest.bytes, *blake3::hash(b"aaa").as_bytes());
    }

    #[test]
    fn a_tebibyte_of_hole_is_quick() {
        let mut hasher = ContentHasher::new(Algorithm::NonZeroChunks);
        hasher.zeros(1 << 40);
        assert_eq!(hasher.finish().algorithm, Algorithm::NonZeroChunks);
    }
}
