//! A file that verification found damaged, and that is copied again: from a source that still is what was copied.

use super::context::CopyContext;
use super::entry::CopyEntry;
use crate::base::path::RelPath;
use crate::engine::content::digest::Digest;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Proof, Row, State};
use crate::engine::volume::Volume;
use crate::sys::stat::Stat;
use std::sync::Arc;

/// The row of such a file, if it is one.
pub(super) struct DamagedCopy(Option<Arc<Row>>);

impl DamagedCopy {
    /// Asks for the row of `entry`.
    pub(super) fn of(cx: &CopyContext, entry: &CopyEntry<'_>) -> Self {
        let row = cx.records.row_of(entry).flatten();
        Self(row.filter(|row| row.state == State::Bad && row.digest.is_some()))
    }

    /// Its source may have the same damage, in blocks that the copy shares.
    pub(super) fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// True if the source, which looks like `stat`, is by that what was copied, but `read` gives other bytes than it
    /// gave then. Not asked of a source that may have changed.
    pub(super) fn has_rotten_source(
        &self,
        stat: &Stat,
        volume: &Volume,
        read: impl FnOnce(&Row) -> Option<Digest>,
    ) -> bool {
        let unchanged = self.0.as_ref().filter(|row| row.source_proof(stat, volume) == Proof::Holds);
        unchanged.is_some_and(|row| {
            read(row).is_some_and(|read| {
                row.digest.is_some_and(|recorded| recorded.algorithm == read.algorithm && recorded != read)
            })
        })
    }
}

/// The source of the damaged copy at `path` is damaged as well. The row says of the copy that it is: every pass finds
/// that again.
pub(super) fn rotten_source(path: RelPath) -> Problem {
    Problem::new(path, ProblemKind::Unreadable, Detail::SourceDamaged).told_by_row()
}
