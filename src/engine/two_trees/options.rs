//! What a comparison is asked for.

use crate::base::path::RelPath;
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::events::stop::Stop;
use crate::engine::tree::walk::WalkOptions;
use ignore::gitignore::Gitignore;
use std::path::Path;

/// How to compare.
#[derive(Clone, Debug)]
pub struct PairOptions {
    /// Content is not read.
    pub metadata_only: bool,
    /// Owners and groups need not be the same, nor set-ID bits of files where they are not.
    pub no_owner: bool,
    /// Mounts inside the first tree are compared as well.
    pub cross_mounts: bool,
    /// What is left out on both sides, relative to the trees.
    pub excluded: Gitignore,
    /// The limits of the walk.
    pub means: WalkOptions,
    /// How fast both sides together may be read.
    pub rate_limit: RateLimit,
    /// Ends the comparison early.
    pub stop: Stop,
}

/// One side: a tree below a directory, which is opened without leaving that.
#[derive(Clone, Copy, Debug)]
pub struct PairSide<'a> {
    /// The directory.
    pub above: &'a Path,
    /// The tree in it, on a path without symlinks.
    pub path: &'a RelPath,
}
