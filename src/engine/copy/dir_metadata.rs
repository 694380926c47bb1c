//! What a directory of the target gets at its end.

use crate::engine::journal::{Row, SourceId};
use crate::engine::meta::Wanted;

/// What happens when everything below is finished.
#[derive(Debug)]
pub(super) enum PostVisit {
    /// The directory stood there before and is not the plan's.
    Nothing,
    /// The directory gets its metadata.
    Apply(Box<DirMetadata>),
}

/// The metadata of a directory and where it comes from.
#[derive(Debug)]
pub(super) struct DirMetadata {
    /// What it shall have.
    pub(super) wanted: Wanted,
    /// Its source; `None` for a parent that the backup does not have.
    pub(super) source: Option<SourceId>,
    /// What the journal says of it.
    pub(super) prior: Option<Row>,
    /// What somebody has given it since an earlier run finished it, which it keeps.
    pub(super) altered: Option<Box<Wanted>>,
    /// Other names came or went in it since: its times stay, unless this run brings some too.
    pub(super) moved: bool,
    /// A fixup changed `wanted`: its index.
    pub(super) fixup: Option<usize>,
    /// Counted as an entry; an ancestor of an entry that had to be made is not.
    pub(super) counted: bool,
}
