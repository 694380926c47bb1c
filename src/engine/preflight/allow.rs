//! What a caller allows, and what it hears.

use crate::engine::events::note::Note;
use crate::engine::mapping::model::Mapping;
use crate::sys::root::Root;
use std::path::PathBuf;

/// What the user allows beyond the safe defaults.
#[derive(Clone, Debug, Default)]
pub struct Allow {
    /// Absent critical and required entries.
    pub missing: bool,
    /// Targets that something else filled.
    pub nonempty: bool,
    /// Targets that are no mount of their own or forget at power-off.
    pub volatile: bool,
    /// What somebody has changed on the target since it was copied is replaced.
    pub overwrite: bool,
    /// Owners are not kept, so no privilege is needed.
    pub no_owner: bool,
    /// Owners get the target's numbers of their names.
    pub remap_ids: bool,
    /// The old journal is set aside.
    pub restart: bool,
    /// Mounts inside the source are entered.
    pub cross_mounts: bool,
    /// Where the journal lives, instead of the target file system.
    pub state: Option<PathBuf>,
}

/// What preflight clears the way for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A copy. Where the last run came to its end, its counts say how much there is.
    Copy,
    /// Saying what a copy would do: everything is counted, and nothing need be writable.
    DryRun,
}

/// Reasons not to start; each is a sentence or two, the last one advice.
pub type Refusals = Vec<String>;

/// What a caller finds in the source that the engine does not know of.
#[derive(Debug)]
pub enum SourceFinding {
    /// Nothing may be copied.
    Refusal(String),
    /// It may be copied, and this is worth knowing.
    Note(Note),
}

/// Looks for such a thing in the opened source.
pub type Look = fn(&Mapping, &Root) -> Option<SourceFinding>;
