//! May `--remap-ids` do what it is asked to?

use super::Refusals;
use crate::base::path::RelPath;
use crate::engine::mapping::model::{Entry, Mapping, Target};
use crate::sys::root::Root;
use rustix::fs::OFlags;

/// Numbers that cannot be turned into the target's, and maps of the target that the plan
/// would replace: with the backup's in their place, NixOS would give the names their old
/// numbers again, and every renumbered file would be another's.
pub(super) fn refusals(plan: &Mapping, source: Option<&Root>) -> Refusals {
    let copied = |map: &RelPath, target: &Target, entry: &Entry| {
        let there = |below| source.is_some_and(|s| s.open_in(&entry.src.join_path(&below), OFlags::PATH).is_ok());
        map.strip_prefix(&entry.dst).is_some_and(there) && !target.leaves_out_below_entry(map, false)
    };
    let replaced = plan.renumbering.given_by.iter().filter_map(|map| {
        let target = plan.targets.iter().find(|t| t.entries.iter().any(|e| copied(map, t, e)))?;
        let pattern = map.strip_prefix(&target.to)?;
        Some(format!(
            "the plan would replace {map}, which gives the target's numbers, by the backup's\n  with --remap-ids, \
             leave it out: exclude = [\"{pattern}\"] in the target `{}`; without it, the backup's map and the \
             backup's numbers stay together",
            target.name
        ))
    });
    plan.renumbering.refusals.iter().cloned().chain(replaced).collect()
}
