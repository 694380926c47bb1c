//! An entry that verification found whole, but not as its row says.

use crate::engine::journal::Seen;

/// An entry that is whole, but was bad or has changed since it was recorded.
pub(super) struct Moved {
    /// Device number of its file system.
    pub(super) dev: u64,
    /// The plan's target.
    pub(super) target: u32,
    /// The entry as it was looked at.
    pub(super) seen: Seen,
}
