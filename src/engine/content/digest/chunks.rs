//! A large file as 16 MiB chunks, each a subtree of its BLAKE3 tree: chunks are
//! hashed in any order, and their values merge into the digest that `b3sum`
//! prints (blake3::hazmat; the BLAKE3 paper, section 2.1).

use super::algorithm::{Algorithm, CHUNK, Digest};
use super::sink::{ContentSink, zeros};
use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};

/// The chaining value of one chunk.
pub type ChunkValue = ChainingValue;

/// Number of chunks of a file of `size` bytes.
#[must_use]
pub const fn chunks_of(size: u64) -> u64 {
    size.div_ceil(CHUNK)
}

/// Hashes one chunk from its start to its end.
#[derive(Debug)]
pub struct ChunkHasher(blake3::Hasher);

impl ChunkHasher {
    /// A hasher for the chunk with this index.
    #[must_use]
    pub fn new(index: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(index * CHUNK);
        Self(hasher)
    }

    /// True before the first byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.count() == 0
    }

    /// The value of the bytes so far, at least one.
    #[must_use]
    pub fn finish(self) -> ChunkValue {
        self.0.finalize_non_root()
    }
}

impl ContentSink for ChunkHasher {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn zeros(&mut self, length: u64) {
        zeros(&mut self.0, length);
    }
}

/// The digest of a file of `size` bytes from the values of all its chunks; `None` for fewer than
/// two chunks, whose tree has another root, or for a wrong number of them.
#[must_use]
pub fn merge(values: &[ChunkValue], size: u64) -> Option<Digest> {
    if values.len() < 2 || values.len() as u64 != chunks_of(size) {
        return None;
    }
    let (left, right) = halves(values, size);
    let root = merge_subtrees_root(&subtree(left.0, left.1), &subtree(right.0, right.1), Mode::Hash);
    Some(Digest { algorithm: Algorithm::Blake3, bytes: *root.as_bytes() })
}

type ChunkRange<'a> = (&'a [ChunkValue], u64);

/// The left half is a full tree: the largest power of two of chunks that leaves something.
fn halves(values: &[ChunkValue], size: u64) -> (ChunkRange<'_>, ChunkRange<'_>) {
    let left = left_subtree_len(size);
    let (a, b) = values.split_at(usize::try_from(left / CHUNK).unwrap_or(usize::MAX).min(values.len()));
    ((a, left), (b, size - left))
}

/// At most as deep as a 64-bit size has bits.
fn subtree(values: &[ChunkValue], size: u64) -> ChunkValue {
    match values {
        [one] => *one,
        _ => {
            let (left, right) = halves(values, size);
            merge_subtrees_non_root(&subtree(left.0, left.1), &subtree(right.0, right.1), Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_in_any_order_merge_into_the_standard_digest() {
        for size in [CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 1, 5 * CHUNK + 12_345] {
            let mut data = vec![7; usize::try_from(size).expect("small")];
            data.iter_mut().step_by(4099).zip((0..=250_u8).cycle()).for_each(|(byte, value)| *byte = value);
            let mut values = vec![[0; 32]; usize::try_from(chunks_of(size)).expect("few")];
            for (index, chunk) in data.chunks(usize::try_from(CHUNK).expect("small")).enumerate().rev() {
                let mut hasher = ChunkHasher::new(index as u64);
                hasher.update(chunk);
                values[index] = hasher.finish();
            }
            assert_eq!(merge(&values, size).map(|d| d.bytes), Some(*blake3::hash(&data).as_bytes()), "{size}");
        }
    }

    #[test]
    fn one_chunk_or_a_wrong_number_has_no_merged_digest() {
        assert_eq!(merge(&[[0; 32]], CHUNK), None);
        assert_eq!(merge(&[[0; 32]; 3], 2 * CHUNK), None);
    }
}
