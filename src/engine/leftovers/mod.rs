//! What interrupted runs left on the target and no run would find by itself: partial copies of
//! large files whose source is gone, partial copies without a row, and temporary names.
//!
//! The journal records durably, before the first byte is copied, that a run may leave such things,
//! and at its end that it left none. In between the next run searches the directories of the
//! target: rows that were not committed cannot name what a kill left.

mod removal;
mod traces;
mod walk;

use super::context::RunContext;
use super::events::kind::ProblemKind;
use super::events::problem::Problem;
use super::journal::{JournalError, Row};
use super::mapping::model::Mapping;
use super::tree::temporary::temporary_name;
use crate::base::path::{Name, RelPath};
use crate::base::path_tree::PathTree;
use crate::engine::events::detail::Advice;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::sys::dir::{TargetDir, open_target};
use crate::sys::stat::{Kind, Time};
use crate::sys::{Errno, leads_nowhere};
use traces::{StillBrought, unlink_keeping_times};
use walk::LeftoverWalk;

/// Removes all of that, before anything is copied: the space may be needed. False when something
/// could not be removed or is not known to be ours.
pub fn clear(run: &RunContext) -> Result<bool, JournalError> {
    clear_unfinished(run)?;
    let RunContext { journal, problems, .. } = run;
    let mut places = journal.declared()?;
    places.extend(journal.undeclared()?);
    places.sort_by(|a, b| a.dst.as_bytes().cmp(b.dst.as_bytes()));
    let mut outermost = PathTree::default();
    places.retain(|place| {
        let is_outermost = !outermost.covers(&place.dst);
        outermost.insert(&place.dst, ());
        is_outermost
    });
    let places: Vec<RelPath> = places.into_iter().map(|place| place.dst).collect();
    let found = LeftoverWalk::new(run, journal.reader()?, journal.directory_id()?).run(&places);
    if found.names > 0 {
        let first = found.first.unwrap_or_default();
        problems.note(Note::TemporariesRemoved(found.names, first));
    }
    Ok(found.all_gone)
}

/// Removes unfinished copies of large files that no run will finish: their source is gone, or now
/// left out. Only for a run that was not stopped: then an unfinished copy is not wanted.
pub fn clear_unfinished(run: &RunContext) -> Result<(), JournalError> {
    let RunContext { mapping: plan, journal, writer, problems, .. } = run;
    let (reader, brought) = (journal.reader()?, StillBrought::new(plan));
    for row in reader.partial()? {
        let (parent, Ok(name)) = (reader.path_of(row.dir)?, Name::new(&row.name)) else { continue };
        let path = parent.join(&name);
        if brought.has(&path) {
            // It could not be read or written, which is already a problem; a later run resumes it. Without the
            // partial copy its row would describe whatever gets the inode number next.
            if !stands(plan, &parent, &name, row.dst_ino) {
                writer.forget(path);
                if stands_older(plan, &parent, &name, &row) {
                    // A failed writer has already ended the run.
                    if !writer.replacing(vec![row]) {
                        return Ok(());
                    }
                }
            }
            continue;
        }
        match open_target(&plan.root, &parent).and_then(|dir| remove(&dir, &name, row.dst_ino)) {
            Ok(true) => {
                problems.note(Note::UnfinishedRemoved(path.clone()));
            }
            Ok(false) => {}
            Err(errno) if leads_nowhere(errno) => {}
            Err(errno) => {
                // The row stays, so that the next run tries again.
                let what = Operation::RemoveUnfinished;
                let mut problem = Problem::failed(path, ProblemKind::Io, what, errno);
                problem.advice = Some(Advice::RemoveTorn);
                problems.add(problem);
                continue;
            }
        }
        writer.forget(path);
    }
    writer.flush();
    Ok(())
}

/// False only if the target certainly has no such inode under either name.
fn stands(plan: &Mapping, parent: &RelPath, name: &Name, ino: u64) -> bool {
    let dir = match open_target(&plan.root, parent) {
        Ok(dir) => dir,
        Err(errno) => return !leads_nowhere(errno),
    };
    [temporary_name(name), name.clone()].iter().any(|at| match dir.stat_at(at) {
        Ok(stat) => (stat.kind, stat.ino) == (Kind::File, ino),
        Err(errno) => errno != Errno::NOENT,
    })
}

/// True when the older inode, which the unfinished copy `row` was to replace, is unchanged: only
/// the row tells that it is not somebody's change.
fn stands_older(plan: &Mapping, parent: &RelPath, name: &Name, row: &Row) -> bool {
    let there = open_target(&plan.root, parent).and_then(|dir| dir.stat_at(name));
    row.dst_ctime != Time::default() && there.is_ok_and(|there| there.ctime == row.dst_ctime)
}

/// Unlinks the inode, as it was created, from its own or its temporary name.
fn remove(dir: &TargetDir, name: &Name, ino: u64) -> Result<bool, Errno> {
    for at in [temporary_name(name), name.clone()] {
        let stat = match dir.stat_at(&at) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        if (stat.kind, stat.ino) != (Kind::File, ino) {
            continue;
        }
        if (stat.nlink, stat.mode) != (1, 0o600) {
            // It already belongs to its owner, or to somebody else.
            return Err(Errno::BUSY);
        }
        unlink_keeping_times(dir, &at)?;
        return Ok(true);
    }
    Ok(false)
}
