//! An accepted entry, where the target is compared with the source: all that is not as accepted is a problem.

use super::Verifier;
use super::rows::{is_damage, of_accepted};
use super::subject::{Looked, Subject};
use super::verdicts::seen_as;
use crate::engine::events::counters::add;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;

impl Verifier {
    /// Reports how the entry of `subject` differs from what was accepted.
    pub(crate) fn accepted_entry(&self, subject: &Subject<'_>) {
        let row = subject.row;
        let found = match self.entry(subject, Some(row), None) {
            Looked::LeftOut | Looked::Stopped => return,
            Looked::Unreachable(problem) => vec![problem],
            Looked::At { stat, standing, found } => {
                if is_damage(standing, &found) {
                    self.run.writer.accepted_bad(vec![seen_as(row, &stat)]);
                }
                found
            }
        };
        if let Some(tally) = self.run.counters.targets.get(row.target as usize) {
            add(&tally.verified, 1);
        }
        for mut problem in found.into_iter().map(of_accepted) {
            // Whether that was its owner's doing is not asked here.
            match problem.kind {
                ProblemKind::Missing => problem.detail = Detail::AcceptedRemoved,
                ProblemKind::ChangedTarget => problem.detail = Detail::ChangedSinceAccepted,
                _ => {}
            }
            self.problem(row.target, problem);
        }
    }
}
