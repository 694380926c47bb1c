//! Which digest a file has, and the digest itself.

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
