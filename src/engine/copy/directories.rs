//! The directories of the target: found or made before something is put into them, and
//! left with their metadata when everything in them is finished.

use super::context::CopyContext;
use super::immutable::ImmutableFlags;
use super::node::DirNode;
use super::rules::Rules;
use crate::engine::tree::budget::FdBudget;
use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// Makes and leaves directories of the target.
pub(super) struct Directories {
    pub(super) cx: Arc<CopyContext>,
    pub(super) rules: Arc<Rules>,
    pub(super) flags: Arc<ImmutableFlags>,
    /// Of their descriptors.
    pub(super) budget: Arc<FdBudget>,
    /// Directories to leave once their replacements are in place.
    pub(super) late: Mutex<Vec<Arc<DirNode>>>,
    /// Those that this run found in places where others could move them.
    pub(super) guarded: Mutex<HashSet<(u64, u64)>>,
    pub(super) next_id: AtomicI64,
    /// The journal's directory, which no entry of the backup may be copied into.
    pub(super) state: (u64, u64),
}

impl Directories {
    /// A number that no row has.
    pub(super) fn new_id(&self) -> i64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}
