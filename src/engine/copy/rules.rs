//! What the plan says of an entry, overriding the backup.

use super::context::CopyContext;
use super::entry::CopyEntry;
use super::node::DirNode;
use crate::base::path::Name;
use crate::engine::groups::Groups;
use crate::engine::mapping::explicit::Explicit;
use crate::engine::meta::Wanted;
use crate::engine::selection::PlanOverrides;
use crate::sys::stat::Stat;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which fixups the copy itself has already applied.
pub type FixupsChanged = Vec<bool>;

/// Patterns, owners and modes of the plan, and groups of names of one inode.
pub(super) struct Rules {
    cx: Arc<CopyContext>,
    pub(super) groups: Arc<Groups>,
    fixups_changed: Vec<AtomicBool>,
}

impl Rules {
    pub(super) fn new(cx: &Arc<CopyContext>, groups: Arc<Groups>) -> Self {
        let fixups_changed = cx.run.mapping.fixups.iter().map(|_| AtomicBool::new(false)).collect();
        Self { cx: Arc::clone(cx), groups, fixups_changed }
    }

    /// Overrides `wanted` of `name` in `above` with what the plan says, so that nothing is ever
    /// wider than at its end. Returns the fixup that changed something.
    pub(super) fn put_over(&self, wanted: &mut Wanted, own: Explicit, above: &DirNode, name: &Name) -> Option<usize> {
        let overrides = PlanOverrides { own, fixups: (&above.covering, name), group: Explicit::default() };
        overrides.put_over(wanted, &self.cx.run.mapping)
    }

    /// The same for an inode with `stat` that is not a directory.
    pub(super) fn put_over_leaf(&self, wanted: &mut Wanted, entry: &CopyEntry<'_>, stat: &Stat) -> Option<usize> {
        let group = self.groups.say(stat, entry.dir.position.share);
        let fixups = (&entry.node().covering, entry.name);
        PlanOverrides { own: entry.own.explicit, fixups, group }.put_over(wanted, &self.cx.run.mapping)
    }

    pub(super) fn fixup_changed(&self, index: usize) {
        self.fixups_changed[index].store(true, Ordering::Relaxed);
    }

    pub(super) fn fixups_changed(&self) -> FixupsChanged {
        self.fixups_changed.iter().map(|f| f.load(Ordering::Relaxed)).collect()
    }
}
