//! What somebody has changed on the target since it was copied, found without reading what looks
//! untouched: what a run would keep, before it runs.

use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::{
    CheckedDir, changed, differences, has_same_content, unreachable, without_moved_times,
};
use crate::engine::content::medium::ReadError;
use crate::engine::events::detail::{Advice, Detail};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::journal::{AcceptedRow, JournalError, Reader, Row, RowChange, State};
use crate::engine::manifest;
use crate::sys::dir::{TargetDir, open_target};
use std::path::Path;

/// Rows that are asked for at once.
const PAGE: u32 = 256;

/// Calls `found` with each problem of a finished entry below `root` that was changed,
/// removed or given other attributes since it was recorded.
pub fn since_copied(
    root: &Path,
    reader: &Reader,
    rate_limit: &RateLimit,
    mut found: impl FnMut(Problem),
) -> Result<(), JournalError> {
    let mut above: Option<(RelPath, Result<TargetDir, rustix::io::Errno>)> = None;
    manifest::each(reader, |path, row| {
        let (Some(parent), Ok(name)) = (path.parent(), Name::new(&row.name)) else { return true };
        if above.as_ref().is_none_or(|(known, _)| *known != parent) {
            above = Some((parent.clone(), open_target(root, &parent)));
        }
        // If the directory is gone, its row reports that for everything in it.
        if let Some((_, Ok(dir))) = &above {
            of_entry(dir, &path, &name, &row, rate_limit).into_iter().for_each(&mut found);
        }
        !rate_limit.is_stopped()
    })?;
    damaged(root, reader, found)
}

/// The same of what was accepted and found damaged since: no run mends it.
fn damaged(root: &Path, reader: &Reader, mut found: impl FnMut(Problem)) -> Result<(), JournalError> {
    let mut after = (-1, Vec::new());
    loop {
        let page = reader.accepted_page((after.0, &after.1), true, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.row.dir, last.row.name.clone());
        for AcceptedRow { row, .. } in page {
            let (Some(above), Ok(name)) = (reader.known_path_of(row.dir)?, Name::new(&row.name)) else { continue };
            let there = open_target(root, &above).and_then(|dir| Ok((CheckedDir::of(&dir).disk, dir.stat_at(&name)?)));
            if there.is_ok_and(|(disk, there)| row.still_damaged(&there, disk)) {
                let problem = Problem::new(above.join(&name), ProblemKind::Content, Detail::AcceptedDamaged);
                found(problem.advising(Advice::RestoreOwn));
            }
        }
    }
}

fn of_entry(dir: &TargetDir, path: &RelPath, name: &Name, row: &Row, rate_limit: &RateLimit) -> Vec<Problem> {
    let place = CheckedDir::of(dir);
    let stat = match dir.stat_at(name) {
        Ok(stat) => stat,
        Err(errno) => return vec![unreachable(path, errno)],
    };
    let standing = match row.standing(&stat, place.disk) {
        RowChange::AsRecorded => return Vec::new(),
        _ if row.state == State::Bad && row.still_damaged(&stat, place.disk) => return Vec::new(),
        standing => standing,
    };
    if standing == RowChange::Changed || stat.rdev != row.rdev {
        return vec![changed(path, row, &stat)];
    }
    match has_same_content(&place, name, row, rate_limit) {
        Ok(true) => {}
        Ok(false) => return vec![changed(path, row, &stat)],
        Err(ReadError::Stopped) => return Vec::new(),
        Err(ReadError::Failed(operation, errno)) => {
            return vec![Problem::failed(path.clone(), ProblemKind::Io, operation, errno)];
        }
    }
    let mut found = differences(&place, path, name, row, &stat);
    without_moved_times(&mut found, standing, row);
    found
}
