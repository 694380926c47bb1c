//! What a directory of the target gets at its end.

use crate::engine::journal::{Row, SourceId};
use crate::engine::meta::Wanted;

/// What happens when everything below is finished.
#[derive(Debug)]
pub(super) enum PostVisit {
    /// The directory existed before and is not the plan's.
    Nothing,
    /// It is in its place: recorded, and left as it is.
    InPlace(Box<InPlaceDirectory>),
    /// The directory gets its metadata.
    Apply(Box<DirMetadata>),
}

/// A directory of the target that is in its place, and what to record of it.
#[derive(Debug)]
pub(super) struct InPlaceDirectory {
    /// `None` if it has a row.
    pub(super) wanted: Option<Wanted>,
}

/// The metadata of a directory and where it comes from.
#[derive(Debug)]
pub(super) struct DirMetadata {
    /// What it shall have.
    pub(super) wanted: Wanted,
    /// Its source; `None` for a parent that the backup does not have.
    pub(super) source: Option<SourceId>,
    /// Its row in the journal.
    pub(super) prior: Option<Row>,
    /// What somebody else has set on it since an earlier run finished it; it is kept.
    pub(super) altered: Option<Box<Wanted>>,
    /// Names were added or removed since: its times stay, unless this run adds some too.
    pub(super) moved: bool,
    /// The same, or so before an earlier run filled it, and nobody has accepted the names that it has: what is gone from
    /// it may have been removed.
    pub(super) unexplained: bool,
    /// A fixup changed `wanted`: its index.
    pub(super) fixup: Option<usize>,
    /// It counts as an entry; an ancestor that had to be made does not.
    pub(super) counted: bool,
}
