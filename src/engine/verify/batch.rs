//! What a thread of the verification takes at a time.

use crate::engine::journal::Row;

/// Rows that are checked together; all are in one directory.
pub(super) struct Batch {
    pub(super) dir: i64,
    pub(super) rows: Vec<Row>,
    pub(super) origin: RowOrigin,
}

/// What rows tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowOrigin {
    /// What was copied.
    Copied,
    /// What the owner of the target has instead, and was accepted.
    Accepted,
    /// What the owner of the target removed, and was accepted.
    Removed,
}
