//! A row that the backup asks for, held against the target.

use super::walk::ComparisonWalk;
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::{CheckedDir, unreachable};
use crate::engine::events::counters::add;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::value::Appearance;
use crate::engine::in_place::was_in_place;
use crate::engine::journal::{self, Row, State};
use crate::engine::verify::{Looked, Subject};
use crate::sys::Errno;
use crate::sys::dir::TargetDir;

impl ComparisonWalk<'_> {
    /// Gives the expected `row` to the verifier.
    pub(super) fn look(&self, dst: &TargetDir, above: &RelPath, name: &Name, row: Row) {
        let verifier = self.verifier();
        let of_row = self.recorded(Some(row.dir).filter(|dir| *dir >= 0), name);
        // What was never finished can only be compared with the backup.
        let recorded = of_row.as_ref().filter(|row| matches!(row.state, State::Done | State::Bad));
        let (checked, path) = (CheckedDir::of(dst), above.join(name));
        let subject = Subject { dir: &checked, path: &path, name, row: &row };
        if self.is_told_as_accepted(&checked, (&path, name), &row, recorded) {
            return;
        }
        let looked = verifier.entry(&subject, recorded, None);
        let (found, seen) = match looked {
            Looked::Unreachable(problem) => {
                let mut found = vec![problem];
                if found.iter().any(|problem| problem.kind == ProblemKind::Missing) {
                    self.tell_gone(&path, of_row, &mut found);
                }
                (found, None)
            }
            Looked::At { stat, standing, found } => {
                let found = match of_row.filter(Row::was_in_place) {
                    Some(_) if !found.is_empty() => {
                        let source = Appearance { kind: row.kind(), size: row.size, mtime: row.wanted.mtime };
                        vec![was_in_place(path, source, &stat)]
                    }
                    _ => found,
                };
                let marked = !found.is_empty() && verifier.mend.covers(standing);
                let seen = journal::Seen { dir: row.dir, name: row.name, ino: stat.ino, ctime: stat.ctime };
                (found, marked.then_some(seen))
            }
            Looked::LeftOut | Looked::Stopped => return,
        };
        if let Some(tally) = verifier.run.counters.targets.get(row.target as usize) {
            add(&tally.verified, 1);
        }
        if let Some(seen) = seen {
            verifier.run.writer.bad(vec![seen]);
        }
        found.into_iter().for_each(|problem| verifier.problem(row.target, problem));
    }

    /// Reports that `path` cannot be opened on the target.
    pub(super) fn not_there(&self, target: u32, path: &RelPath, errno: Errno) {
        let mut found = vec![unreachable(path, errno)];
        if found.iter().any(|problem| problem.kind == ProblemKind::Missing) {
            let recorded = self.verifier().ask(|reader| reader.find_path(path)).flatten();
            self.tell_gone(path, recorded, &mut found);
        }
        found.into_iter().for_each(|problem| self.verifier().problem(target, problem));
    }

    /// Distinguishes what is gone from what was never copied, for which the run that failed to copy
    /// it may have left a problem.
    fn tell_gone(&self, path: &RelPath, recorded: Option<Row>, found: &mut Vec<Problem>) {
        if recorded.is_some_and(|row| matches!(row.state, State::Done | State::Bad)) {
            return;
        }
        if self.verifier().ask(|reader| reader.has_problem(path)) == Some(true) {
            found.retain(|problem| problem.kind != ProblemKind::Missing);
        }
        for problem in found.iter_mut().filter(|problem| problem.kind == ProblemKind::Missing) {
            problem.detail = Detail::NeverCopied;
        }
    }
}
