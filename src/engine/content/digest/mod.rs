//! The digest of a file's content.
//!
//! Ordinarily it is the standard BLAKE3 of all bytes, as `b3sum` prints it. A
//! file with very large holes has a digest of its non-zero 16 MiB chunks
//! instead: zeros at different offsets have different BLAKE3 chaining values,
//! so a tebibyte of hole would cost minutes of hashing for nothing. Both depend
//! on content alone, never on where a file system put the holes.

mod algorithm;
mod chunks;
mod hasher;
mod sink;

pub use algorithm::{Algorithm, CHUNK, Digest};
pub use chunks::{ChunkHasher, ChunkValue, chunks_of, merge};
pub use hasher::ContentHasher;
pub use sink::ContentSink;
