//! What the journal is to learn from rows that were checked.

use crate::engine::journal::{Row, Seen};
use crate::sys::stat::Stat;

/// Entries of one directory, by what was found.
#[derive(Default)]
pub(super) struct Verdicts {
    /// As recorded.
    pub(super) good: Vec<Seen>,
    /// Whole, but not as recorded.
    pub(super) moved: Vec<Moved>,
    /// To be copied again.
    pub(super) bad: Vec<Seen>,
    /// Damaged, as it was accepted: no run can copy it again.
    pub(super) accepted_bad: Vec<Seen>,
}

/// An entry that is whole, but was bad or has changed since it was recorded.
pub(super) struct Moved {
    /// Device number of its file system.
    pub(super) dev: u64,
    /// The plan's target.
    pub(super) target: u32,
    /// The entry as it was looked at.
    pub(super) seen: Seen,
}

/// The entry of `row` as it was looked at.
pub(super) fn seen_as(row: &Row, stat: &Stat) -> Seen {
    Seen { dir: row.dir, name: row.name.clone(), ino: stat.ino, ctime: stat.ctime }
}
