//! What a caller allows, and what it is told.

use crate::engine::content::reflink::Reflink;
use crate::engine::events::note::Note;
use crate::engine::events::refusal::Refusal;
use crate::engine::mapping::model::Mapping;
use crate::sys::root::Root;
use std::path::PathBuf;

/// What the user allows beyond the safe defaults.
#[derive(Clone, Debug, Default)]
pub struct Allow {
    /// Absent critical and required entries.
    pub missing: bool,
    /// Targets that already have other content.
    pub nonempty: bool,
    /// Targets that are not mounts of their own, or that lose everything at power-off.
    pub volatile: bool,
    /// Targets on the running system's root, but none that lose everything at power-off.
    pub system_root: bool,
    /// What stood on the target before the first run stays if it is newer than the source, or another
    /// content with the source's size and time.
    pub newer_kept: bool,
    /// What somebody has changed on the target since it was copied is replaced.
    pub overwrite: bool,
    /// What the source no longer has is removed from the target, if nobody has changed it.
    pub delete: bool,
    /// Owners are not kept, so no privilege is needed.
    pub no_owner: bool,
    /// Owners get the target's numbers of their names.
    pub remap_ids: bool,
    /// The old journal is set aside.
    pub restart: bool,
    /// Mounts inside the source are entered.
    pub cross_mounts: bool,
    /// Copies may share blocks with their sources: those need no room.
    pub reflink: Reflink,
    /// Where the journal lives, instead of the target file system.
    pub state: Option<PathBuf>,
}

/// What preflight checks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A copy. If the last run finished, its counts say how much there is.
    Copy,
    /// Reporting what a copy would do: everything is counted, and nothing need be writable.
    DryRun,
}

/// Reasons not to start.
pub type Refusals = Vec<Refusal>;

/// Something that a caller finds in the source and the engine knows nothing about.
#[derive(Debug)]
pub enum SourceFinding {
    /// Nothing may be copied.
    Refusal(Refusal),
    /// It may be copied, but this is worth knowing.
    Note(Note),
}

/// Looks for such a thing in the opened source.
pub type Look = fn(&Mapping, &Root) -> Option<SourceFinding>;
