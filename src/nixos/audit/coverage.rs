//! What the plan declares, as a walk that goes down with it asks.

use crate::base::path::{Name, RelPath};
use crate::base::path_tree::PathTree;
use crate::engine::mapping::model::{Mapping, Presence};

/// The declared paths, each with the index of its target. A node that is not an entry is on the way to
/// one.
#[derive(Debug)]
pub(super) struct Coverage(PathTree<usize>);

/// A directory on the way to an entry, or an entry.
pub(super) type CoveragePoint = usize;

impl Coverage {
    /// What is declared in the backup: each entry where the plan names it and, if a symlink is followed,
    /// where it really is.
    pub(super) fn of_source(plan: &Mapping) -> Self {
        let mut coverage = PathTree::default();
        for (t, target) in plan.targets.iter().enumerate() {
            for entry in &target.entries {
                coverage.insert(&entry.src, t);
                if entry.presence != Presence::Absent {
                    coverage.insert(&entry.real, t);
                }
            }
        }
        Self(coverage)
    }

    /// What is declared below the root of the new system.
    pub(super) fn of_target(plan: &Mapping) -> Self {
        let targets = plan.targets.iter().enumerate();
        Self(targets.flat_map(|(t, target)| target.entries.iter().map(move |e| (e.dst.clone(), t))).collect())
    }

    /// The node of `path`, if something at or below it is declared.
    pub(super) fn find(&self, path: &RelPath) -> Option<CoveragePoint> {
        self.0.find(path)
    }

    pub(super) fn child(&self, at: CoveragePoint, name: &Name) -> Option<CoveragePoint> {
        self.0.child(at, name)
    }

    /// The target whose entry this is.
    pub(super) fn entry(&self, at: CoveragePoint) -> Option<usize> {
        self.0.values(at).last().copied()
    }
}
