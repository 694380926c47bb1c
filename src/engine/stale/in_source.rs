//! What the source has where something on the target comes from.

use crate::base::path::RelPath;
use crate::engine::mapping::index::Index;
use crate::engine::mapping::model::Mapping;
use crate::engine::tree::node::ENTRY;
use crate::sys::root::Root;
use crate::sys::stat::{Stat, stat_at};

/// The stat of what goes to `path` of the target; `None` if nothing does, or it cannot be told.
pub(crate) fn stat_in_source((plan, index): (&Mapping, &Index), source: &Root, path: &RelPath) -> Option<Stat> {
    index.brought_to(plan, path).iter().find_map(|one| {
        let (above, name) = (one.src.parent()?, one.src.last()?);
        stat_at(source.open_in(&above, ENTRY).ok()?, &name).ok()
    })
}
