//! What a hasher takes: bytes, and runs of zeros.

/// Zeros for a hole.
pub(super) static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Takes bytes in order, or is told that they are zeros.
pub trait ContentSink {
    /// The next bytes.
    fn update(&mut self, data: &[u8]);
    /// The next `length` bytes are zero.
    fn zeros(&mut self, length: u64);
}

/// Feeds `length` zeros to a hasher.
pub(super) fn zeros(hasher: &mut blake3::Hasher, mut length: u64) {
    while length > 0 {
        let part = usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len());
        hasher.update(&ZEROS[..part]);
        length -= part as u64;
    }
}
