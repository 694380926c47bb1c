//! Buffers that `O_DIRECT` takes: one for each thread, and large ones that are lent.

use crate::sys::memory::MappedMemory;
use std::cell::RefCell;

/// The size of a thread's buffer in bytes.
pub(crate) const BUFFER: usize = 1 << 20;
/// Alignment that satisfies every known device.
pub(crate) const ALIGN: usize = 4096;

/// A buffer whose start is aligned for `O_DIRECT`.
pub(crate) struct AlignedBuffer {
    space: Vec<u8>,
    start: usize,
}

impl AlignedBuffer {
    fn new() -> Self {
        let space = vec![0; BUFFER + ALIGN];
        let start = space.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { space, start }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.space[self.start..self.start + BUFFER]
    }
}

/// A buffer of many MiB, on huge pages where the kernel has them: a request then needs few entries of the
/// device's queue, and its pages are quickly pinned.
#[derive(Debug)]
pub(crate) struct LargeBuffer(MappedMemory);

impl LargeBuffer {
    /// Memory is taken when it is first written to.
    pub(crate) fn new(size: usize) -> Self {
        Self(MappedMemory::new(size))
    }

    pub(crate) fn size(&self) -> usize {
        self.0.size()
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.0.bytes()
    }
}

/// Lends the thread's buffer.
pub(crate) fn with_buffer<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local!(static OWN: RefCell<AlignedBuffer> = RefCell::new(AlignedBuffer::new()));
    OWN.with(|own| match own.try_borrow_mut() {
        Ok(mut buffer) => work(buffer.bytes()),
        // A task nested inside another one's copy gets its own buffer.
        Err(_) => work(AlignedBuffer::new().bytes()),
    })
}
