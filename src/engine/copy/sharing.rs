//! Copies that share the blocks of their sources (reflink), where the file system can do that.
//!
//! The kernel takes both files for the whole call, so what is shared is one state of the source. It is read
//! afterwards for its digest, like any source that is copied: if it has changed in between, that shows in its
//! stat, and it is copied again.

use super::data::FillFailure;
use crate::engine::content::reflink::Reflink;
use crate::engine::driver::Driver;
use crate::sys::Errno;
use crate::sys::flags::is_absent;
use crate::sys::raw::share_blocks;
use rustix::fd::BorrowedFd;
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// Shares blocks, or says that they must be copied.
#[derive(Debug)]
pub(super) struct Sharing {
    asked: Reflink,
    /// Devices of a source and a target that do not share: asked once.
    apart: RwLock<HashSet<(u64, u64)>>,
}

/// A file and the device that it is on.
pub(super) type OnDevice<'a> = (BorrowedFd<'a>, u64);

impl Sharing {
    pub(super) fn new(asked: Reflink) -> Self {
        Self { asked, apart: RwLock::default() }
    }

    /// Whether it is worth trying with a source behind `driver`. One whose last change is too young to be
    /// told from the next could change between sharing and reading.
    pub(super) fn is_wanted(&self, driver: &Driver, settled: bool) -> bool {
        match self.asked {
            Reflink::Never => false,
            Reflink::Always => true,
            Reflink::Auto => settled && !driver.may_cache(),
        }
    }

    /// Makes `target` share the blocks of `source`, from start to end; false if they are to be copied.
    pub(super) fn share(&self, source: OnDevice<'_>, target: OnDevice<'_>) -> Result<bool, FillFailure> {
        let pair = (source.1, target.1);
        if self.apart.read().unwrap_or_else(PoisonError::into_inner).contains(&pair) {
            return Ok(false);
        }
        match share_blocks(source.0, target.0) {
            Ok(()) => Ok(true),
            Err(errno) if self.asked == Reflink::Always => Err(FillFailure::Unshared(errno)),
            // Copying tells whether anything is really wrong.
            Err(errno) => {
                if errno == Errno::XDEV || is_absent(errno) {
                    self.apart.write().unwrap_or_else(PoisonError::into_inner).insert(pair);
                }
                Ok(false)
            }
        }
    }
}
