//! A directory that runs of the plan made, in the place of what the source has there by now.

use super::removal::StaleRemoval;
use crate::base::path::{Name, RelPath};
use crate::engine::context::RunContext;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problems;
use crate::engine::journal::epoch::FileSystems;
use crate::engine::journal::{JournalError, Reader, Row};
use crate::sys::dir::TargetDir;
use std::sync::Arc;

/// Problems of a run that has not copied everything, or not well.
const UNWHOLE: [ProblemKind; 7] = [
    ProblemKind::Unreadable,
    ProblemKind::ChangedSource,
    ProblemKind::Io,
    ProblemKind::Content,
    ProblemKind::Size,
    ProblemKind::Type,
    ProblemKind::Unfinished,
];

/// False while something may be missing from the copy: what could not be copied under its new name
/// may be what is still on the target under the old one.
pub(crate) fn is_whole(problems: &Problems, reader: &Reader) -> bool {
    !problems.has_any(&UNWHOLE, |path| !reader.is_stale(path).unwrap_or(false))
}

/// Removes the directory `name`, which `row` describes, as `--delete` removes what is stale. True
/// when it is gone from the medium, and forgotten.
pub(crate) fn clear_way(
    run: &RunContext,
    file_systems: &Arc<FileSystems>,
    reader: &Reader,
    place: (&TargetDir, &RelPath, &Name),
    row: &Row,
) -> Result<bool, JournalError> {
    let mut removal = StaleRemoval::new(run, file_systems, &|_, _| false);
    let removed = removal.tree(reader, place, row)?;
    removal.sync();
    Ok(removed.is_gone && !run.stop.is_set())
}
