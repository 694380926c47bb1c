//! Can `--remap-ids` be done?

use super::allow::Refusals;
use crate::base::path::RelPath;
use crate::engine::events::refusal::Refusal;
use crate::engine::mapping::index::Index;
use crate::engine::mapping::model::Mapping;
use crate::sys::root::Root;
use rustix::fs::OFlags;

/// Numbers that cannot be changed to the target's, and maps of the target that the plan would
/// replace: with the backup's in their place, the next boot would give the names their old numbers again,
/// and every renumbered file would belong to somebody else.
pub(super) fn refusals(plan: &Mapping, source: Option<&Root>) -> Refusals {
    let index = Index::new(plan);
    let is_there = |src: &RelPath| source.is_some_and(|source| source.open_in(src, OFlags::PATH).is_ok());
    let replaced = plan.renumbering.given_by.iter().filter_map(|map| {
        let mut brought = index.brought_to(plan, map);
        brought.retain(|brought| is_there(&brought.src) && !brought.is_left_out());
        let target = brought.iter().min_by_key(|brought| brought.index)?.target;
        let pattern = map.strip_prefix(&target.to)?;
        Some(Refusal::MapReplaced(map.clone(), target.name.clone(), pattern))
    });
    plan.renumbering.refusals.iter().cloned().map(Refusal::Unrenumbered).chain(replaced).collect()
}
