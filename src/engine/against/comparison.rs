//! What a comparison is asked for.

use crate::engine::groups::Groups;
use crate::engine::meta::Keep;
use crate::engine::tree::walk::WalkOptions;
use crate::engine::verify::Verifier;
use crate::sys::root::Root;
use std::sync::Arc;

/// What a comparison is made of.
pub struct Comparison<'a> {
    /// Checks the target and counts.
    pub verifier: &'a Verifier,
    /// The backup.
    pub source: &'a Arc<Root>,
    /// Which names are links of one another.
    pub groups: &'a Groups,
    /// What of the metadata was to be kept.
    pub keep: Keep,
    /// Mounts inside the source are compared as well.
    pub cross_mounts: bool,
    /// How to walk.
    pub means: WalkOptions,
}
