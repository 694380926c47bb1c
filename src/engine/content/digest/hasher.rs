//! Hashes a file's content from start to end.

use super::algorithm::{Algorithm, CHUNK, Digest};
use super::sink::{ContentSink, ZEROS, zeros};

/// Takes a file's content from start to end, data and runs of zeros.
#[derive(Debug)]
pub struct ContentHasher(HashState);

#[derive(Debug)]
enum HashState {
    Plain(Box<blake3::Hasher>),
    Chunks(Box<NonZeroChunks>),
}

#[derive(Debug)]
struct NonZeroChunks {
    list: blake3::Hasher,
    chunk: blake3::Hasher,
    /// Some byte of the current chunk is not zero.
    dirty: bool,
    offset: u64,
}

impl ContentHasher {
    /// A hasher at offset 0.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Blake3 => HashState::Plain(Box::default()),
            Algorithm::NonZeroChunks => HashState::Chunks(Box::new(NonZeroChunks {
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
            HashState::Plain(hasher) => Digest { algorithm: Algorithm::Blake3, bytes: *hasher.finalize().as_bytes() },
            HashState::Chunks(mut chunks) => {
                if chunks.offset % CHUNK != 0 {
                    chunks.end_chunk(chunks.offset / CHUNK);
                }
                chunks.list.update(&chunks.offset.to_le_bytes());
                Digest { algorithm: Algorithm::NonZeroChunks, bytes: *chunks.list.finalize().as_bytes() }
            }
        }
    }
}

impl ContentSink for ContentHasher {
    fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            HashState::Plain(hasher) => {
                hasher.update(data);
            }
            HashState::Chunks(chunks) => chunks.update(data),
        }
    }

    fn zeros(&mut self, length: u64) {
        match &mut self.0 {
            HashState::Plain(hasher) => {
                zeros(hasher, length);
            }
            HashState::Chunks(chunks) => chunks.zeros(length),
        }
    }
}

impl NonZeroChunks {
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
