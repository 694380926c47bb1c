//! Advice about memory.

use rustix::mm::{Advice, madvise};

/// Asks for huge pages (madvise(2), `MADV_HUGEPAGE`). A kernel without them refuses, which only costs speed.
#[expect(unsafe_code, reason = "madvise(2) takes an address")]
pub(crate) fn use_huge_pages(memory: &mut [u8]) {
    // SAFETY: the range is that of the slice, which is borrowed exclusively; this advice changes no content.
    unsafe { madvise(memory.as_mut_ptr().cast(), memory.len(), Advice::LinuxHugepage) }.ok();
}
