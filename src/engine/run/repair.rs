//! What a repair found before the copy, and what the copy made of it.

use super::observer::Phase;
use super::shared::SharedRun;
use crate::engine::context::RunContext;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::problem::{Problem, Problems};
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::{Reader, RowChange, State};
use crate::engine::mapping::model::Mapping;
use crate::engine::verify::{Depth, MarkPolicy, Scope};
use crate::sys::dir::open_target;
use std::sync::Arc;

/// The problems of the first look.
pub(super) struct Repair {
    found: Arc<Problems>,
}

impl Repair {
    /// Verifies everything. What differs is marked, so that the copy brings it again.
    pub(super) fn find(run: &SharedRun<'_>) -> Self {
        run.enter(Phase::Verify);
        let found = Arc::new(Problems::default());
        let mend = if run.options.allow.overwrite { MarkPolicy::Everything } else { MarkPolicy::Attributes };
        run.verify(&RunContext { problems: Arc::clone(&found), ..run.context.clone() }, Scope::All, mend);
        run.context.writer.flush();
        Self { found }
    }

    /// What is whole and verified by now is noted as repaired; the rest is a problem
    /// of the run.
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
                // What a file system cannot hold was counted again by the copy.
            } else if problem.kind == ProblemKind::ChangedTarget
                && !run.options.allow.overwrite
                && !reader.as_ref().is_some_and(|reader| stands_as_recorded(mapping, reader, &problem))
            {
                // Kept: the copy has found the same.
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

/// True when the entry is what its row says: what an interrupted run had left was taken over.
fn stands_as_recorded(mapping: &Mapping, reader: &Reader, problem: &Problem) -> bool {
    let (Some(parent), Some(name)) = (problem.path.parent(), problem.path.last()) else { return false };
    let stat = open_target(&mapping.root, &parent).and_then(|dir| dir.stat_at(&name));
    let row = reader.find_path(&problem.path).ok().flatten();
    row.zip(stat.ok()).is_some_and(|(row, stat)| {
        let disk = Disk { dev: stat.dev, bare: false };
        row.standing(&stat, disk) == RowChange::AsRecorded
    })
}

/// True when the entry was copied, and verified, after it was found different.
fn is_whole(reader: &Reader, problem: &Problem, depth: Depth) -> bool {
    let row = reader.find_path(&problem.path).ok().flatten();
    // Without a look at the content no file is verified; a new problem would tell.
    row.is_some_and(|row| row.state == State::Done && (row.verified.is_some() || depth == Depth::Metadata))
}
