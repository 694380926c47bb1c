//! What an audit has found.

use super::accounts::Accounts;
use super::finding::Finding;
use super::tally::{LeftOutTotal, Listing, PlaceReport};
use crate::base::path::RelPath;
use crate::engine::mapping::model::{Entry, Mapping, Need, Presence, Target};
use crate::engine::report::Outcome;
use crate::nixos::known_paths::Severity;

/// What would be lost, and what was found on the way. `docs/audit.md` is its documentation.
#[derive(Debug)]
pub struct Audit {
    pub(super) plan: Mapping,
    pub(super) listing: Listing,
    pub(super) accounts: Accounts,
    /// What the backup has and the plan does not declare, the worst first.
    pub findings: Vec<Finding>,
    /// What is no loss.
    pub left_out: Vec<LeftOutTotal>,
    /// The sizes of the places that hold state.
    pub areas: Vec<PlaceReport>,
    /// Mounts that were not entered, and why.
    pub not_entered: Vec<(RelPath, String)>,
    /// What could not be read, and why: the first hundred.
    pub unread: Vec<(RelPath, String)>,
    /// How much could not be read.
    pub unread_count: u64,
    /// Unit files that were read.
    pub unit_files: usize,
    /// There were too many hard links to count each inode once.
    pub links_counted_again: bool,
    /// What is below each destination.
    pub on_target: Vec<OnTarget>,
}

/// What no entry declares below a destination.
#[derive(Debug)]
pub struct OnTarget {
    /// Name of the plan's target.
    pub name: String,
    /// Below the root.
    pub to: RelPath,
    /// What was seen.
    pub seen: DestinationSeen,
}

/// Whether a destination could be read.
#[derive(Debug)]
pub enum DestinationSeen {
    /// It does not exist: nothing has been copied yet.
    Absent,
    /// It is inside another target's destination, or is a single tree that the plan maps.
    Covered,
    /// What no entry declares, the largest first.
    Undeclared {
        /// The topmost paths.
        list: Vec<Finding>,
        /// Mounts that were not entered, and why.
        not_entered: Vec<(RelPath, String)>,
    },
    /// Why it, or a part of it, could not be read.
    Unreadable(String),
}

impl Audit {
    /// Declared entries that the backup does not have as declared, the most needed first.
    pub fn absent(&self) -> Vec<(&Target, &Entry)> {
        let entries = self.plan.targets.iter().flat_map(|target| target.entries.iter().map(move |e| (target, e)));
        let mut absent: Vec<_> = entries.filter(|(_, entry)| entry.presence != Presence::Present).collect();
        absent.sort_by_key(|(_, entry)| (std::cmp::Reverse(entry.need), entry.src.clone()));
        absent
    }

    /// Done when nothing important would be lost, otherwise problems.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let weighs = |entry: &Entry| match entry.presence {
            Presence::Present => false,
            // The copy refuses or fails on these whatever the need is.
            Presence::WrongKind { .. } | Presence::Unreadable { .. } => true,
            Presence::Absent => entry.need >= Need::Required,
        };
        let lost = self.findings.iter().any(|finding| finding.severity >= Severity::High);
        let lacks = self.absent().iter().any(|(_, entry)| weighs(entry));
        if lost || lacks || self.unread_count > 0 { Outcome::Problems } else { Outcome::Done }
    }

    /// How many findings have this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}
