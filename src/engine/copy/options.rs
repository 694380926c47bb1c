//! What the copier is given.

use crate::engine::content::reflink::Reflink;
use crate::engine::content::way::LargeIo;
use crate::engine::context::RunContext;
use crate::engine::groups::Groups;
use crate::engine::journal::epoch::{FileSystems, Submit};
use crate::engine::judge::History;
use crate::engine::meta::Keep;
use crate::sys::root::Root;
use std::sync::Arc;

/// How the copier works.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// What of the metadata is kept.
    pub keep: Keep,
    /// Enter mounts inside the source.
    pub cross_mounts: bool,
    /// Replace what somebody has changed on the target.
    pub overwrite: bool,
    /// Keep what stood there before the first run if it is newer than the source.
    pub newer_kept: bool,
    /// What the source no longer has is removed.
    pub delete: bool,
    /// What earlier runs did, for each target of the plan.
    pub histories: Vec<History>,
    /// How large files are copied.
    pub large_io: LargeIo,
    /// Whether copies share the blocks of their sources.
    pub reflink: Reflink,
    /// Threads of the pool.
    pub threads: usize,
    /// The source's file system answers late.
    pub late: bool,
    /// The limit of open files.
    pub open_files: u64,
}

/// What the copier is given.
pub struct Parts {
    /// What all stages of the run share.
    pub context: RunContext,
    /// The backup tree.
    pub source: Arc<Root>,
    /// File systems and their syncfs descriptors.
    pub file_systems: Arc<FileSystems>,
    /// Where finished entries go.
    pub submit: Submit,
    /// Which names are links of one another.
    pub groups: Arc<Groups>,
    /// How to work.
    pub options: CopyOptions,
}
