//! Memory by the page.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::alloc::{Layout, handle_alloc_error};
use std::ptr::{NonNull, null_mut};

/// The size of a huge page on the machines that have any.
const HUGE_PAGE: usize = 2 << 20;

/// Zeroed memory with a mapping of its own (mmap(2)), on huge pages where the kernel has them. The kernel has it
/// back as soon as it is dropped; an allocator keeps large blocks, in as many places as there are threads.
#[derive(Debug)]
pub(crate) struct MappedMemory {
    mapping: NonNull<u8>,
    length: usize,
    start: usize,
    size: usize,
}

// SAFETY: the mapping belongs to this value alone, and is reached only through it.
#[expect(unsafe_code, reason = "a pointer says nothing of threads")]
unsafe impl Send for MappedMemory {}

impl MappedMemory {
    /// `size` bytes that begin at a huge page. Ends the process if there is no memory, as an allocator does.
    #[expect(unsafe_code, reason = "mmap(2) and madvise(2) deal in addresses")]
    pub(crate) fn new(size: usize) -> Self {
        let length = size + HUGE_PAGE;
        // SAFETY: without an address and without `MAP_FIXED` no other mapping is touched.
        let mapped =
            unsafe { mmap_anonymous(null_mut(), length, ProtFlags::READ.union(ProtFlags::WRITE), MapFlags::PRIVATE) };
        let Some(mapping) = mapped.ok().and_then(|at| NonNull::new(at.cast::<u8>())) else {
            handle_alloc_error(Layout::array::<u8>(length).unwrap_or(Layout::new::<u8>()));
        };
        let start = mapping.as_ptr().align_offset(HUGE_PAGE).min(HUGE_PAGE);
        // SAFETY: the range lies in the mapping made above; the advice changes no content. A kernel without huge
        // pages refuses it, which only costs speed.
        unsafe { madvise(mapping.as_ptr().add(start).cast(), size, Advice::LinuxHugepage) }.ok();
        Self { mapping, length, start, size }
    }

    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        #[expect(unsafe_code, reason = "a mapping is an address and a length")]
        // SAFETY: `start + size` is within the mapping, which is readable, writable and zeroed or written since,
        // lives as long as `self`, and is borrowed exclusively.
        unsafe {
            std::slice::from_raw_parts_mut(self.mapping.as_ptr().add(self.start), self.size)
        }
    }
}

impl Drop for MappedMemory {
    #[expect(unsafe_code, reason = "munmap(2) takes an address")]
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping that `new` made, and nothing borrows from it any more.
        unsafe { munmap(self.mapping.as_ptr().cast(), self.length) }.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_zeroed_aligned_and_as_large_as_asked() {
        let mut memory = MappedMemory::new(3 << 20);
        let bytes = memory.bytes();
        assert_eq!((bytes.len(), bytes.as_ptr().align_offset(HUGE_PAGE)), (3 << 20, 0));
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.fill(7);
        let moved = std::thread::spawn(move || memory.bytes().iter().all(|byte| *byte == 7)).join();
        assert!(moved.expect("the thread ends"));
    }
}
