//! What a repair found before the copy, and what the copy did about it.

use super::observer::Phase;
use super::shared::SharedRun;
use crate::engine::context::RunContext;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::problem::{Problem, Problems};
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::{Reader, Row, RowChange, State};
use crate::engine::mapping::model::Mapping;
use crate::engine::verify::{Depth, MarkPolicy, Scope, UsePolicy};
use crate::sys::dir::open_target;
use std::sync::Arc;

/// The problems of the first verification.
pub(super) struct Repair {
    found: Arc<Problems>,
}

impl Repair {
    /// Verifies everything. Differences are marked, so that the copy repairs them.
    pub(super) fn find(run: &SharedRun<'_>, in_use: UsePolicy) -> Self {
        run.enter(Phase::Verify);
        let found = Arc::new(Problems::default());
        let mend = if run.options.allow.overwrite { MarkPolicy::Everything } else { MarkPolicy::Attributes };
        run.verify(&RunContext { problems: Arc::clone(&found), ..run.context.clone() }, Scope::All, mend, in_use);
        run.context.writer.flush();
        Self { found }
    }

    /// Notes what is now whole and verified as repaired; the rest is a problem of the run.
    pub(super) fn settle(self, run: &SharedRun<'_>) {
        let RunContext { mapping, journal, writer, problems, .. } = &run.context;
        writer.flush();
        let reader = journal.reader().ok();
        let (found, count, notes) = self.found.take();
        notes.into_iter().for_each(|note| problems.note(note));
        let (mut shown, mut repaired) = (0, 0);
        for problem in found {
            shown += problem.count;
            if problem.unpreserved().is_some() {
                // The copy has counted again what a file system cannot hold.
            } else if matches!(problem.kind, ProblemKind::ChangedTarget | ProblemKind::Missing)
                && !run.options.allow.overwrite
                && !reader.as_ref().is_some_and(|reader| stands_as_recorded(mapping, reader, &problem))
            {
                // It stays changed or removed: the copy has found the same.
                problems.add(problem);
            } else if reader.as_ref().is_some_and(|reader| is_whole(reader, &problem, run.options.depth())) {
                repaired += problem.count;
                let words = (run.options.words.problem)(&problem);
                problems.note(Note::Repaired(problem.path, words));
            } else {
                problems.add(problem);
            }
        }
        if count > shown {
            problems.note(Note::FoundBeforeCopy(count - shown));
        }
        if repaired > 0 {
            problems.note(Note::RepairedInAll(repaired));
        }
    }
}

/// True when the entry is as its row says: a leftover of an interrupted run was taken over.
fn stands_as_recorded(mapping: &Mapping, reader: &Reader, problem: &Problem) -> bool {
    let (Some(parent), Some(name)) = (problem.path.parent(), problem.path.last()) else { return false };
    let stat = open_target(&mapping.root, &parent).and_then(|dir| dir.stat_at(&name));
    let row = reader.find_path(&problem.path).ok().flatten();
    row.zip(stat.ok()).is_some_and(|(row, stat)| {
        let disk = Disk::usual(stat.dev);
        row.standing(&stat, disk) == RowChange::AsRecorded
    })
}

/// True when the entry was copied, and verified, after it was found different.
fn is_whole(reader: &Reader, problem: &Problem, depth: Depth) -> bool {
    let row = reader.find_path(&problem.path).ok().flatten();
    // Nothing was copied over what the target's owner has there instead.
    let accepted = |row: &Row| {
        let name = problem.path.last();
        name.is_some_and(|name| {
            reader.accepted(row.dir, &name).ok().flatten().is_some_and(|accepted| accepted.is_instead())
        })
    };
    let row = row.filter(|row| !accepted(row));
    // If contents are not read, no file is verified; a new problem would tell.
    row.is_some_and(|row| row.state == State::Done && (row.verified.is_some() || depth == Depth::Metadata))
}
