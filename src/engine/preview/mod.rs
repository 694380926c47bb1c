//! What a run would do with each entry, found without writing anything, not even a journal.
//!
//! The walk of the backup is the copier's (`selection.rs`), and so are the comparisons with the rows.
//! What only reading can tell, as where inode numbers prove nothing, is read.

mod directory;
mod items;
mod judge;
mod options;
mod walk;

pub use items::{Foreseen, ForeseenItem, ItemCounts, TargetCounts};
pub use options::PreviewOptions;

use super::events::rate_limit::RateLimit;
use super::journal::JournalError;
use super::preflight::ClearedParts;
use super::tree::pool;
use crate::engine::events::no_thread::NoThread;
use crate::engine::events::stop::Stop;
use walk::PreviewWalk;

/// Why there is no preview.
#[derive(Debug)]
pub enum PreviewError {
    /// The journal cannot be read.
    Journal(JournalError),
    /// No thread could be started.
    NoThread(NoThread),
}

/// Calls `each` with every entry of the plan that a run would handle, from several threads and in no
/// order, and returns how many there are of each kind.
pub fn preview(
    parts: &ClearedParts,
    options: &PreviewOptions,
    rate_limit: &RateLimit,
    stop: &Stop,
    each: &(dyn Fn(&ForeseenItem) + Sync),
) -> Result<Vec<TargetCounts>, PreviewError> {
    let walk = PreviewWalk::new(parts, options, (rate_limit, stop), each).map_err(PreviewError::Journal)?;
    let pool = pool::start(options.means.threads, "preview").map_err(PreviewError::NoThread)?;
    pool.scope(|scope| walk.entries(scope));
    walk.finish().map_err(PreviewError::Journal)
}
