//! A plan that passed preflight.

use crate::engine::events::note::Note;
use crate::engine::groups::Groups;
use crate::engine::journal::Location;
use crate::engine::mapping::model::Mapping;
use crate::engine::survey::Survey;
use crate::sys::root::Root;
use std::sync::Arc;

/// A mapping that may be copied. Only preflight makes one.
#[derive(Debug)]
pub struct Cleared(ClearedParts);

/// What it consists of.
#[derive(Debug)]
pub struct ClearedParts {
    /// What goes where.
    pub mapping: Mapping,
    /// The source, open.
    pub source: Arc<Root>,
    /// How much there is.
    pub size: Size,
    /// The journal's place.
    pub journal: Location,
    /// What is worth knowing, but no reason to refuse.
    pub notes: Vec<Note>,
    /// Owners get the target's numbers: this run or an earlier one asked for that.
    pub remap_ids: bool,
    /// Which names are links of one another.
    pub groups: Arc<Groups>,
    /// Something is in its place already, or the source is the live system.
    pub in_place: bool,
    /// For each target, whether an earlier run had anything to copy there.
    pub known: Vec<bool>,
}

/// How much there is to copy.
#[derive(Debug)]
pub enum Size {
    /// A survey for each target.
    Surveyed(Vec<Survey>),
    /// What the last run counted, which finished: a second look at every entry would take as long as
    /// skipping it.
    Past {
        /// Entries.
        entries: u64,
        /// Bytes with data.
        bytes: u64,
    },
}

impl Size {
    /// Entries and bytes with data, for progress.
    #[must_use]
    pub fn sums(&self) -> (u64, u64) {
        match self {
            Self::Surveyed(surveys) => {
                (surveys.iter().map(|s| s.entries).sum(), surveys.iter().map(|s| s.bytes.min(s.allocated)).sum())
            }
            Self::Past { entries, bytes } => (*entries, *bytes),
        }
    }
}

impl Cleared {
    pub(super) fn new(parts: ClearedParts) -> Self {
        Self(parts)
    }

    /// For reading.
    #[must_use]
    pub fn parts(&self) -> &ClearedParts {
        &self.0
    }

    /// For the run.
    #[must_use]
    pub fn into_parts(self) -> ClearedParts {
        self.0
    }

    /// The survey for each target; none if the last run's counts were enough.
    #[must_use]
    pub fn surveys(&self) -> &[Survey] {
        match &self.0.size {
            Size::Surveyed(surveys) => surveys,
            Size::Past { .. } => &[],
        }
    }
}
