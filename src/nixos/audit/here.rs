//! Where the walk is: what a directory hands to its entries.

use super::coverage::CoveragePoint;
use super::finding::{Live, Loose};
use super::knowledge::{Active, Match};
use super::tally::{AuditPlace, PlaceLine};
use crate::base::path::RelPath;
use crate::nixos::known_paths::LeftOutReason;
use std::sync::Arc;

/// What a directory hands to its entries.
pub(super) struct Here {
    pub(super) path: RelPath,
    pub(super) cover: Option<CoveragePoint>,
    pub(super) active: Vec<Active>,
    pub(super) status: HereStatus,
    pub(super) place: Arc<AuditPlace>,
    pub(super) line: Option<Arc<PlaceLine>>,
}

pub(super) enum HereStatus {
    /// Looked into: each entry is judged on its own. What no rule matches takes this rule.
    Open(Option<Match>, Arc<Loose>),
    /// Declared in this target of the plan.
    Declared(usize),
    /// Part of a finding.
    Part(Arc<Live>),
    LeftOut(LeftOutReason),
}
