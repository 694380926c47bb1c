//! What the plan declares, as a tree that a walk goes down with.

use crate::base::path::{Name, RelPath};
use crate::engine::mapping::model::{Mapping, Presence};
use std::collections::BTreeMap;

/// The declared paths. A node that is not an entry is on the way to one.
#[derive(Debug)]
pub(super) struct Coverage(Vec<CoverageNode>);

#[derive(Debug, Default)]
struct CoverageNode {
    children: BTreeMap<Name, usize>,
    /// Index of the plan's target.
    target: Option<usize>,
}

/// A directory on the way to an entry, or an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CoveragePoint(usize);

impl Coverage {
    /// What is declared in the backup: each entry where the plan names it and, if a symlink is followed,
    /// where it really is.
    pub(super) fn of_source(plan: &Mapping) -> Self {
        let mut coverage = Self(vec![CoverageNode::default()]);
        for (t, target) in plan.targets.iter().enumerate() {
            for entry in &target.entries {
                coverage.declare(&entry.src, t);
                if entry.presence == Presence::Absent {
                    continue;
                }
                coverage.declare(&entry.real, t);
            }
        }
        coverage
    }

    /// What is declared below the root of the new system.
    pub(super) fn of_target(plan: &Mapping) -> Self {
        let mut coverage = Self(vec![CoverageNode::default()]);
        for (t, target) in plan.targets.iter().enumerate() {
            target.entries.iter().for_each(|entry| coverage.declare(&entry.dst, t));
        }
        coverage
    }

    fn declare(&mut self, path: &RelPath, target: usize) {
        let mut at = 0;
        for name in path.names() {
            at = match self.0[at].children.get(&name) {
                Some(child) => *child,
                None => {
                    self.0.push(CoverageNode::default());
                    let child = self.0.len() - 1;
                    self.0[at].children.insert(name, child);
                    child
                }
            };
        }
        self.0[at].target = Some(target);
    }

    pub(super) const fn top(&self) -> CoveragePoint {
        CoveragePoint(0)
    }

    /// The node of `path`, if something at or below it is declared.
    pub(super) fn find(&self, path: &RelPath) -> Option<CoveragePoint> {
        path.names().try_fold(self.top(), |at, name| self.child(at, &name))
    }

    pub(super) fn child(&self, at: CoveragePoint, name: &Name) -> Option<CoveragePoint> {
        self.0[at.0].children.get(name).copied().map(CoveragePoint)
    }

    /// The target whose entry this is.
    pub(super) fn entry(&self, at: CoveragePoint) -> Option<usize> {
        self.0[at.0].target
    }
}
