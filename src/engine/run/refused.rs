//! A run that did not start.

use crate::engine::journal::JournalError;
use crate::engine::preflight::Refusals;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Nothing was written.
    #[error("refused: {0:?}")]
    Preflight(Refusals),
    /// The journal cannot be opened; nothing was copied.
    #[error(transparent)]
    Journal(JournalError),
    /// The journal cannot be written; nothing was copied.
    #[error(transparent)]
    Unrecorded(JournalError),
}
