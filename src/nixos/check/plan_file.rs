//! The plan file itself, beside what it resolves to.

use crate::engine::mapping::model::IdKind;
use crate::plan::PlanName;
use std::path::PathBuf;

/// Whether the plan's names could be turned into numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlanNumbers {
    Known,
    /// The files that give them are damaged or lack names: owners in the plan are those of `[ids]` or
    /// missing.
    Lost,
}

/// What the plan file says besides what it resolves to.
pub(super) struct PlanFile {
    /// As the user gave it, for the commands that bring something back.
    pub(super) path: PathBuf,
    pub(super) names: Vec<PlanName>,
    pub(super) numbers: PlanNumbers,
}

impl PlanFile {
    /// The number that its `[ids]` gives a user or group.
    pub(super) fn number(&self, kind: IdKind, name: &str) -> Option<u32> {
        self.names.iter().find(|n| n.kind == kind && n.name == name).and_then(|n| n.number)
    }
}
