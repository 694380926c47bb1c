//! The tree of destinations that a run builds from the root down.

use super::index::EntryIndex;
use super::model::{Mapping, Presence};
use crate::base::path::Name;
use std::collections::BTreeMap;

/// A component of some destination.
#[derive(Debug, Default)]
pub(crate) struct DstNode {
    pub(crate) children: BTreeMap<Name, DstNode>,
    pub(crate) entry: Option<EntryIndex>,
    /// A target whose parents include this directory: its `to` or something below.
    pub(crate) parent_of: Option<usize>,
}

/// The tree of destinations of the entries that `include` accepts.
pub(crate) fn destinations(plan: &Mapping, include: impl Fn(EntryIndex) -> bool) -> DstNode {
    let mut root = DstNode::default();
    for (t, target) in plan.targets.iter().enumerate() {
        for (e, entry) in target.entries.iter().enumerate() {
            if entry.presence != Presence::Present || !include((t, e)) {
                continue;
            }
            let depth_of_to = target.to.depth();
            let mut node = &mut root;
            let depth = entry.dst.depth();
            for (i, name) in entry.dst.names().enumerate() {
                node = node.children.entry(name).or_default();
                // `to` itself and what is between it and the entry, but not the entry.
                if i + 1 >= depth_of_to && i + 1 < depth && node.parent_of.is_none() {
                    node.parent_of = Some(t);
                }
            }
            node.entry = Some((t, e));
        }
    }
    root
}
