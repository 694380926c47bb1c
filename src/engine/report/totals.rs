//! From the counters of a run to the numbers of its report.

use super::data::{Absent, TargetReport, Totals};
use crate::engine::events::counters::{Counters, Tally};
use crate::engine::events::problem::Problem;
use crate::engine::mapping::model::{Mapping, Presence};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

impl Totals {
    fn read(tally: &Tally, seconds: f64) -> Self {
        let get = |count: &AtomicU64| count.load(Relaxed);
        let mut totals = Self {
            entries: 0,
            files: get(&tally.files),
            directories: get(&tally.directories),
            symlinks: get(&tally.symlinks),
            hardlinks: get(&tally.hardlinks),
            special: get(&tally.special),
            sockets: get(&tally.sockets),
            excluded: get(&tally.excluded),
            bytes: get(&tally.bytes),
            allocated_bytes: get(&tally.allocated),
            copied: get(&tally.copied),
            copied_bytes: get(&tally.copied_bytes),
            shared_bytes: get(&tally.shared_bytes),
            reused_bytes: get(&tally.reused_bytes),
            skipped: get(&tally.skipped),
            skipped_bytes: get(&tally.skipped_bytes),
            in_place: get(&tally.in_place),
            accepted: get(&tally.accepted),
            stale: get(&tally.stale),
            deleted: get(&tally.deleted),
            deleted_bytes: get(&tally.deleted_bytes),
            verified: get(&tally.verified),
            verified_bytes: get(&tally.verified_bytes),
            problems: 0,
            seconds,
        };
        totals.entries = totals.files + totals.directories + totals.symlinks + totals.special + totals.sockets;
        totals
    }

    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.entries, other.entries),
            (&mut self.files, other.files),
            (&mut self.directories, other.directories),
            (&mut self.symlinks, other.symlinks),
            (&mut self.hardlinks, other.hardlinks),
            (&mut self.special, other.special),
            (&mut self.sockets, other.sockets),
            (&mut self.excluded, other.excluded),
            (&mut self.bytes, other.bytes),
            (&mut self.allocated_bytes, other.allocated_bytes),
            (&mut self.copied, other.copied),
            (&mut self.copied_bytes, other.copied_bytes),
            (&mut self.shared_bytes, other.shared_bytes),
            (&mut self.reused_bytes, other.reused_bytes),
            (&mut self.skipped, other.skipped),
            (&mut self.skipped_bytes, other.skipped_bytes),
            (&mut self.in_place, other.in_place),
            (&mut self.accepted, other.accepted),
            (&mut self.stale, other.stale),
            (&mut self.deleted, other.deleted),
            (&mut self.deleted_bytes, other.deleted_bytes),
            (&mut self.verified, other.verified),
            (&mut self.verified_bytes, other.verified_bytes),
        ];
        pairs.into_iter().for_each(|(sum, n)| *sum += n);
    }
}

/// The counts of `plan`'s targets and their sum.
#[must_use]
pub fn totals(plan: &Mapping, counters: &Counters, problems: &[Problem], seconds: f64) -> (Totals, Vec<TargetReport>) {
    let count = |problems: &mut dyn Iterator<Item = &Problem>| problems.map(|p| p.count).sum();
    let mut sum = Totals { seconds, problems: count(&mut problems.iter()), ..Totals::default() };
    let mut targets = Vec::new();
    for (target, tally) in plan.targets.iter().zip(&counters.targets) {
        let mut totals = Totals::read(tally, seconds);
        totals.problems = count(&mut problems.iter().filter(|p| p.target == target.name));
        sum.add(&totals);
        let (name, to) = (target.name.clone(), target.to.to_string());
        targets.push(TargetReport { name, need: target.need, to, totals });
    }
    (sum, targets)
}

/// The entries of `plan` that the backup does not have.
#[must_use]
pub fn absent(plan: &Mapping) -> Vec<Absent> {
    let entries = plan.targets.iter().flat_map(|t| &t.entries);
    entries
        .filter(|e| e.presence == Presence::Absent)
        .map(|e| Absent { path: e.src.to_string(), need: e.need })
        .collect()
}
