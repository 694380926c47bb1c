//! `--against source`: the target compared with the backup itself.
//!
//! A walk of its own over the backup makes the row that a copier would write for each entry
//! today, content hashed anew by ordinary reads, and gives it to the verifier in place of the
//! journal's. The journal is asked for what the target's file system could not hold and which
//! names became one inode; differences are marked there, so that the next run copies them again.

mod accepted;
mod alike;
mod comparison;
mod directories;
mod entries;
mod expect;
mod in_place;
mod leaf;
mod look;
mod sink;
mod walk;

pub use comparison::Comparison;

use super::events::stop::StopReason;
use super::journal::{Journal, JournalError};
use super::mapping::layout;
use super::stale::StaleSearch;
use crate::base::path::RelPath;
use walk::ComparisonWalk;

impl Comparison<'_> {
    /// Compares every entry of the plan.
    pub fn run(&self, journal: &Journal) -> Result<(), JournalError> {
        let reader = self.verifier.prepare(journal)?;
        let walk = ComparisonWalk::new(self, journal)?;
        let pool = crate::engine::tree::pool::start(self.means.threads, "compare");
        match pool {
            Ok(pool) => pool.scope(|scope| {
                walk.parents(&layout::destinations(&self.verifier.run.mapping, |_| true), &RelPath::root());
                walk.entries(scope);
            }),
            Err(error) => {
                self.verifier.run.stop.set(StopReason::NoThread(error));
            }
        }
        for (target, problem) in StaleSearch::entries(&self.verifier.run.mapping, &reader)? {
            self.verifier.problem(target, problem);
        }
        walk.drivers.notes().into_iter().for_each(|note| self.verifier.run.problems.note(note));
        walk.alike.problems().into_iter().for_each(|(target, problem)| self.verifier.problem(target, problem));
        self.verifier.groups(&reader)
    }
}
