//! Where the plan's entries lie: a tree of destinations to build, and a tree of
//! sources to recognise entries below other entries.

use super::model::{Mapping, Presence};
use crate::base::path::{Name, RelPath};
use std::collections::BTreeMap;

/// An entry of the plan: indices of its target and of the entry in it.
pub(crate) type EntryIndex = (usize, usize);

/// A component of some destination.
#[derive(Debug, Default)]
pub(crate) struct DstNode {
    pub(crate) children: BTreeMap<Name, DstNode>,
    pub(crate) entry: Option<EntryIndex>,
    /// A target whose parents include this directory: its `to` or something below.
    pub(crate) parent_of: Option<usize>,
}

/// The tree of all present entries' sources; a walk carries an index into it.
#[derive(Debug)]
pub(crate) struct Sources(Vec<SrcNode>);

#[derive(Debug, Default)]
struct SrcNode {
    children: BTreeMap<Name, usize>,
    entry: Option<EntryIndex>,
}

impl Sources {
    /// The tree of `plan`.
    pub(crate) fn new(plan: &Mapping) -> Self {
        let mut nodes = vec![SrcNode::default()];
        for (t, target) in plan.targets.iter().enumerate() {
            for (e, entry) in target.entries.iter().enumerate().filter(|(_, e)| e.presence == Presence::Present) {
                let mut at = 0;
                for name in entry.src.names() {
                    at = match nodes[at].children.get(&name) {
                        Some(child) => *child,
                        None => {
                            nodes.push(SrcNode::default());
                            let child = nodes.len() - 1;
                            nodes[at].children.insert(name, child);
                            child
                        }
                    };
                }
                nodes[at].entry = Some((t, e));
            }
        }
        Self(nodes)
    }

    /// The node of `path`, if it lies on the way to an entry.
    pub(crate) fn find(&self, path: &RelPath) -> Option<usize> {
        path.names().try_fold(0, |at, name| self.child(at, &name))
    }

    /// What the plan says of the node `at`, which a walk meets at the place `dst`.
    pub(crate) fn meets(&self, plan: &Mapping, at: usize, dst: &RelPath) -> Meets {
        let entry = self.0[at].entry;
        let is_here = |(t, e): EntryIndex| plan.targets[t].entries[e].dst == *dst;
        match (entry, self.first_below(plan, at, dst)) {
            (Some(entry), _) if is_here(entry) => Meets::Entry(entry),
            (Some(_), below) => Meets::Elsewhere { below },
            (None, Some(below)) => Meets::OnTheWay(below),
            (None, None) => Meets::Nothing,
        }
    }

    /// Some entry below `at` that has its place below `dst` as well.
    pub(crate) fn first_below(&self, plan: &Mapping, at: usize, dst: &RelPath) -> Option<EntryIndex> {
        self.0[at].children.iter().find_map(|(name, child)| {
            let dst = dst.join(name);
            let entry = self.0[*child].entry.filter(|(t, e)| plan.targets[*t].entries[*e].dst == dst);
            entry.or_else(|| self.first_below(plan, *child, &dst))
        })
    }

    /// What lies below `at` on the way to entries.
    pub(crate) fn children(&self, at: usize) -> impl Iterator<Item = (&Name, usize)> {
        self.0[at].children.iter().map(|(name, child)| (name, *child))
    }

    /// The node of `name` below `at`.
    pub(crate) fn child(&self, at: usize, name: &Name) -> Option<usize> {
        self.0[at].children.get(name).copied()
    }

    /// The entry whose source is exactly `at`.
    pub(crate) fn entry(&self, at: usize) -> Option<EntryIndex> {
        self.0[at].entry
    }
}

/// What the plan says of a name that the walk of an entry meets. Copying and comparing
/// with the source ask the same question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meets {
    /// It is a part of what is walked.
    Nothing,
    /// An entry that has its place here.
    Entry(EntryIndex),
    /// An entry that goes elsewhere and is left out here. Others below it may have their
    /// place here: one of them.
    Elsewhere {
        /// Such an entry.
        below: Option<EntryIndex>,
    },
    /// No entry, but this one lies below it and has its place below here.
    OnTheWay(EntryIndex),
}

/// The backup's path of the directory `place`, which lies on the way to `entry`.
pub(crate) fn source_on_the_way(entry: &crate::engine::mapping::model::Entry, place: &RelPath) -> RelPath {
    let mut src = entry.src.clone();
    for _ in place.depth()..entry.dst.depth() {
        src = src.parent().unwrap_or_default();
    }
    src
}

/// Which present entries lie inside another present entry, source and
/// destination alike: the outer one's walk comes across them.
pub(crate) fn nested(plan: &Mapping) -> Vec<Vec<bool>> {
    let outer = |inner: &crate::engine::mapping::model::Entry| {
        plan.targets.iter().flat_map(|t| &t.entries).any(|outer| {
            outer.presence == Presence::Present
                && match (inner.src.strip_prefix(&outer.src), inner.dst.strip_prefix(&outer.dst)) {
                    (Some(src), Some(dst)) => src == dst && !src.is_root(),
                    _ => false,
                }
        })
    };
    plan.targets.iter().map(|t| t.entries.iter().map(outer).collect()).collect()
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
                // `to` itself and what lies between it and the entry; not the entry.
                if i + 1 >= depth_of_to && i + 1 < depth && node.parent_of.is_none() {
                    node.parent_of = Some(t);
                }
            }
            node.entry = Some((t, e));
        }
    }
    root
}
