//! The other side of the balance: what was left out and why, and how large the places are that hold
//! state.

use super::sum::{Sum, Total};
use crate::base::path::RelPath;
use crate::nixos::known_paths::LeftOutReason;
use crate::sys::stat::Stat;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many paths are listed for a reason.
const LISTED: usize = 1000;

/// Whether left-out and declared paths are named, or only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Counted.
    Summary,
    /// Named as well.
    All,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the plan declares something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlanRelation {
    Declared,
    Undeclared,
    LeftOut,
}

/// A sum for each relation.
#[derive(Debug, Default)]
struct Sums([Sum; 3]);

impl Sums {
    fn add(&self, standing: PlanRelation, stat: &Stat, bytes: u64) {
        self.0[standing as usize].add(stat, bytes);
    }

    fn read(&self) -> Standings {
        let [declared, undeclared, left_out] = self.0.each_ref().map(Sum::read);
        Standings { declared, undeclared, left_out }
    }
}

/// The sums of a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// What the plan copies.
    pub declared: Total,
    /// What would be lost.
    pub undeclared: Total,
    /// What is no loss.
    pub left_out: Total,
}

impl Standings {
    /// Allocated bytes of all three.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.declared.bytes + self.undeclared.bytes + self.left_out.bytes
    }
}

/// A place that holds state: `/etc`, `/var/lib`, a home, or the rest of the tree.
#[derive(Debug)]
pub(super) struct AuditPlace {
    path: RelPath,
    sums: Sums,
    lines: Mutex<Vec<Arc<PlaceLine>>>,
}

/// A directory directly in a place.
#[derive(Debug)]
pub(super) struct PlaceLine {
    path: RelPath,
    sums: Sums,
}

/// A place as it is reported.
#[derive(Clone, Debug)]
pub struct PlaceReport {
    /// Below the source; the root for everything in no other place.
    pub path: RelPath,
    /// Its sums.
    pub sums: Standings,
    /// The directories in it, the largest first; only when everything is listed.
    pub lines: Vec<(RelPath, Standings)>,
}

impl AuditPlace {
    pub(super) fn new(path: RelPath) -> Self {
        Self { path, sums: Sums::default(), lines: Mutex::default() }
    }

    /// True for a path that is a place of its own.
    pub(super) fn begins_at(path: &RelPath) -> bool {
        match path.as_bytes() {
            b"etc" | b"var/lib" | b"root" => true,
            bytes => bytes.starts_with(b"home/") && path.depth() == 2,
        }
    }

    pub(super) fn add(&self, standing: PlanRelation, stat: &Stat, bytes: u64) {
        self.sums.add(standing, stat, bytes);
    }

    /// A line for the directory `path` in it; none below the rest of the tree.
    pub(super) fn line(&self, path: &RelPath, listing: Listing) -> Option<Arc<PlaceLine>> {
        if listing == Listing::Summary || self.path.is_root() {
            return None;
        }
        let line = Arc::new(PlaceLine { path: path.clone(), sums: Sums::default() });
        lock(&self.lines).push(Arc::clone(&line));
        Some(line)
    }

    pub(super) fn read(&self) -> PlaceReport {
        let mut lines: Vec<_> = lock(&self.lines).iter().map(|line| (line.path.clone(), line.sums.read())).collect();
        lines.sort_by(|a, b| b.1.bytes().cmp(&a.1.bytes()).then_with(|| a.0.cmp(&b.0)));
        PlaceReport { path: self.path.clone(), sums: self.sums.read(), lines }
    }
}

impl PlaceLine {
    pub(super) fn add(&self, standing: PlanRelation, stat: &Stat, bytes: u64) {
        self.sums.add(standing, stat, bytes);
    }
}

/// What was left out for one reason.
#[derive(Debug, Default)]
struct Pile {
    things: AtomicU64,
    sum: Sum,
    listed: Mutex<Vec<RelPath>>,
}

/// What was left out, by reason.
#[derive(Debug, Default)]
pub(super) struct Piles([Pile; LeftOutReason::ALL.len()]);

/// What was left out for one reason, as it is reported.
#[derive(Clone, Debug)]
pub struct LeftOutTotal {
    /// Why.
    pub reason: LeftOutReason,
    /// Paths, without what is below them.
    pub things: u64,
    /// What is at and below them, as far as it was read.
    pub total: Total,
    /// The first thousand paths; only when everything is listed.
    pub paths: Vec<RelPath>,
}

impl Piles {
    /// Adds a left-out path.
    pub(super) fn begin(&self, reason: LeftOutReason, listing: Listing, path: impl FnOnce() -> RelPath) {
        let pile = &self.0[reason as usize];
        pile.things.fetch_add(1, Relaxed);
        if listing == Listing::All {
            let mut listed = lock(&pile.listed);
            if listed.len() < LISTED {
                listed.push(path());
            }
        }
    }

    /// Adds an entry at or below a left-out path.
    pub(super) fn add(&self, reason: LeftOutReason, stat: &Stat, bytes: u64) {
        self.0[reason as usize].sum.add(stat, bytes);
    }

    pub(super) fn read(&self) -> Vec<LeftOutTotal> {
        let pile = |reason: &LeftOutReason| {
            let pile = &self.0[*reason as usize];
            let mut paths = lock(&pile.listed).clone();
            paths.sort();
            LeftOutTotal { reason: *reason, things: pile.things.load(Relaxed), total: pile.sum.read(), paths }
        };
        LeftOutReason::ALL.iter().map(pile).filter(|left| left.things > 0).collect()
    }
}
