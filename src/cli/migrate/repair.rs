//! What `--repair` found before the copy, and what the copy made of it.

use super::Job;
use super::stages::Run;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::{Problem, Problems};
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::{Journal, Reader, Standing, State, Writer};
use crate::engine::verify::{Depth, Scope};
use crate::sys::dir::open_target;
use std::sync::Arc;

/// The problems of the first look.
pub(super) struct Repair {
    found: Arc<Problems>,
    depth: Depth,
    overwrite: bool,
}

impl Repair {
    /// Verifies everything. What differs is marked, so that the copy brings it again.
    pub(super) fn find(job: &Job, run: &Run, journal: &Journal, writer: &Writer) -> Self {
        let found = Arc::new(Problems::default());
        let depth = job.verify.depth();
        run.verify(job, journal, writer, (depth, Scope::All), &found);
        writer.handle().flush();
        Self { found, depth, overwrite: job.allow.overwrite }
    }

    /// What is whole and verified by now is noted as repaired; the rest is a problem
    /// of the run.
    pub(super) fn settle(self, run: &Run, journal: &Journal, writer: &Writer) {
        writer.handle().flush();
        let reader = journal.reader().ok();
        let (found, count, notes) = self.found.take();
        notes.into_iter().for_each(|note| run.problems.note(note));
        let (mut shown, mut repaired) = (0, 0);
        for problem in found {
            shown += problem.count;
            if problem.unpreserved().is_some() {
                // What a file system cannot hold was counted again by the copy.
            } else if problem.kind == ProblemKind::ChangedTarget
                && !self.overwrite
                && !reader.as_ref().is_some_and(|reader| stands_as_recorded(run, reader, &problem))
            {
                // Kept: the copy has found the same.
                run.problems.add(problem);
            } else if reader.as_ref().is_some_and(|reader| is_whole(reader, &problem, self.depth)) {
                repaired += problem.count;
                run.problems.note(format!("repaired: {}: {}", problem.path, problem.message));
            } else {
                run.problems.add(problem);
            }
        }
        if count > shown {
            run.problems.note(format!("{} further problems were found before the copy", count - shown));
        }
        if repaired > 0 {
            run.problems.note(format!("{repaired} differences were repaired"));
        }
    }
}

/// True when the entry is what its row says: what an interrupted run had left was taken over.
fn stands_as_recorded(run: &Run, reader: &Reader, problem: &Problem) -> bool {
    let (Some(parent), Some(name)) = (problem.path.parent(), problem.path.last()) else { return false };
    let stat = open_target(&run.plan.root, &parent).and_then(|dir| dir.stat_at(&name));
    let row = reader.find_path(&problem.path).ok().flatten();
    row.zip(stat.ok()).is_some_and(|(row, stat)| {
        let disk = Disk { dev: stat.dev, bare: false };
        row.standing(&stat, disk) == Standing::AsRecorded
    })
}

/// True when the entry was copied, and verified, after it was found different.
fn is_whole(reader: &Reader, problem: &Problem, depth: Depth) -> bool {
    let row = reader.find_path(&problem.path).ok().flatten();
    // Without a look at the content no file is verified; a new problem would tell.
    row.is_some_and(|row| row.state == State::Done && (row.verified.is_some() || depth == Depth::Metadata))
}
