//! Where the walk is: what a directory hands to its entries.

use super::coverage::At;
use super::finding::{Live, Loose};
use super::knowledge::{Active, Match};
use super::tally::{Line, Place};
use crate::base::path::RelPath;
use crate::nixos::known_paths::Reason;
use std::sync::Arc;

/// What a directory hands to its entries.
pub(super) struct Here {
    pub(super) path: RelPath,
    pub(super) cover: Option<At>,
    pub(super) active: Vec<Active>,
    pub(super) status: Status,
    pub(super) place: Arc<Place>,
    pub(super) line: Option<Arc<Line>>,
}

pub(super) enum Status {
    /// Looked into: each entry is judged on its own. What no rule names takes the rule from here.
    Open(Option<Match>, Arc<Loose>),
    /// The plan's, by this target.
    Declared(usize),
    /// Part of a finding.
    Part(Arc<Live>),
    LeftOut(Reason),
}
