//! What a preview is told.

use crate::engine::meta::Keep;
use crate::engine::tree::walk::WalkOptions;

/// How the run would work.
pub struct PreviewOptions {
    /// What of the metadata it would keep.
    pub keep: Keep,
    /// Mounts inside the source are entered.
    pub cross_mounts: bool,
    /// What somebody has changed on the target is replaced.
    pub overwrite: bool,
    /// What stood there before the first run stays if it is newer than the source.
    pub newer_kept: bool,
    /// What the source no longer has is removed.
    pub delete: bool,
    /// The journal is set aside.
    pub restart: bool,
    /// How to walk.
    pub means: WalkOptions,
}
