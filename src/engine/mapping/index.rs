//! An index of the plan for walks and queries: which entry a path of the backup or of the target
//! belongs to, where it comes from, where it goes, and what of it is left out.

use super::model::{Entry, Mapping, Presence, Target};
use crate::base::path::{Name, RelPath};
use crate::base::path_tree::PathTree;
use crate::sys::Errno;
use crate::sys::mounts::shows_running_system;
use crate::sys::stat::{Kind, Stat};

/// An entry of the plan: indices of its target and of the entry in it.
pub(crate) type EntryIndex = (usize, usize);

/// The index of one plan, which is passed to each query.
#[derive(Debug)]
pub(crate) struct Index {
    /// Sources of all entries; a walk carries a node of it and meets the present ones.
    sources: PathTree<IndexedEntry>,
    /// Destinations of all entries.
    destinations: PathTree<IndexedEntry>,
}

/// An entry at its path.
#[derive(Debug)]
struct IndexedEntry {
    index: EntryIndex,
    is_present: bool,
}

/// One way in which the plan copies something.
#[derive(Clone, Debug)]
pub(crate) struct Brought<'p> {
    pub(crate) target: &'p Target,
    pub(crate) entry: &'p Entry,
    pub(crate) index: EntryIndex,
    /// The path in the backup, as the plan names it.
    pub(crate) src: RelPath,
    /// Where it goes, below the root.
    pub(crate) dst: RelPath,
}

impl Brought<'_> {
    /// True when a pattern leaves out this path, or a directory on the way to it.
    pub(crate) fn is_left_out(&self) -> bool {
        self.target.leaves_out_below_entry(&self.dst, Kind::File)
    }
}

/// What the plan says about a name that the walk of an entry meets. Copying and comparing with the
/// source ask the same question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meets {
    /// It is a part of what is walked.
    Nothing,
    /// An entry that has its place here.
    Entry(EntryIndex),
    /// An entry that goes elsewhere and is left out here. Entries below it may still belong here: one
    /// of them.
    Elsewhere {
        /// Such an entry.
        below: Option<EntryIndex>,
    },
    /// Not an entry, but this one is below it and belongs below here.
    OnTheWay(EntryIndex),
}

/// What to do with a name of a walked directory that is an inner entry or contains some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InnerName {
    /// The walk reaches them.
    Walked,
    /// An entry that belongs here and has a walk of its own.
    Entry(EntryIndex),
    /// An entry that goes elsewhere: nothing is here.
    Elsewhere,
    /// The walk stops here, and the directory is made for this entry below it. What the walk says about
    /// the name itself is said all the same.
    Way(EntryIndex),
    /// The same, and the walk leaves the name out: what the backup has there is an entry
    /// that goes elsewhere.
    WayInPlaceOfEntry(EntryIndex),
    /// The same: the backup has a symlink there.
    WayInPlaceOfSymlink(EntryIndex),
}

impl InnerName {
    /// What to do with a name that `meets` this; `stat` is called only if it matters. `enters` tells
    /// whether the walk enters a directory with that stat.
    pub(crate) fn of(
        meets: Meets,
        stat: impl FnOnce() -> Result<Stat, Errno>,
        enters: impl FnOnce(&Stat) -> bool,
    ) -> Self {
        match meets {
            Meets::Nothing => Self::Walked,
            Meets::Entry(entry) => Self::Entry(entry),
            Meets::Elsewhere { below: None } => Self::Elsewhere,
            Meets::Elsewhere { below: Some(below) } => Self::WayInPlaceOfEntry(below),
            Meets::OnTheWay(below) => match stat() {
                Ok(stat) if stat.kind == Kind::Symlink => Self::WayInPlaceOfSymlink(below),
                Ok(stat) if stat.kind == Kind::Directory && enters(&stat) => Self::Walked,
                _ => Self::Way(below),
            },
        }
    }

    /// True when the walk leaves the name out.
    pub(crate) const fn is_left_out(self) -> bool {
        !matches!(self, Self::Walked | Self::Way(_))
    }
}

/// What to do in a directory that is only on the way to entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WayStep {
    /// An entry that belongs there.
    Entry(EntryIndex),
    /// A directory on the way to this one.
    Way(EntryIndex),
}

/// Every entry of `plan` with its index.
fn all(plan: &Mapping) -> impl Iterator<Item = (EntryIndex, &Entry)> {
    let targets = plan.targets.iter().enumerate();
    targets.flat_map(|(t, target)| target.entries.iter().enumerate().map(move |(e, entry)| ((t, e), entry)))
}

impl Index {
    /// The index of `plan`.
    pub(crate) fn new(plan: &Mapping) -> Self {
        let by = |path: fn(&Entry) -> &RelPath| {
            let indexed = |(index, entry): (EntryIndex, &Entry)| {
                let is_present = entry.presence == Presence::Present;
                (path(entry).clone(), IndexedEntry { index, is_present })
            };
            all(plan).map(indexed).collect()
        };
        Self { sources: by(|entry| &entry.src), destinations: by(|entry| &entry.dst) }
    }

    /// The entries that copy something to `dst`, outermost first; patterns are ignored.
    pub(crate) fn brought_to<'p>(&self, plan: &'p Mapping, dst: &RelPath) -> Vec<Brought<'p>> {
        let brought = |(&IndexedEntry { index, .. }, below): (&IndexedEntry, RelPath)| {
            let (target, entry) = get(plan, index);
            Brought { target, entry, index, src: entry.src.join_path(&below), dst: dst.clone() }
        };
        self.destinations.above(dst).into_iter().map(brought).collect()
    }

    /// The entries that copy `src` somewhere, outermost first; patterns are ignored.
    pub(crate) fn brought_from<'p>(&self, plan: &'p Mapping, src: &RelPath) -> Vec<Brought<'p>> {
        let brought = |(&IndexedEntry { index, .. }, below): (&IndexedEntry, RelPath)| {
            let (target, entry) = get(plan, index);
            Brought { target, entry, index, src: src.clone(), dst: entry.dst.join_path(&below) }
        };
        self.sources.above(src).into_iter().map(brought).collect()
    }

    /// The node of `path` of the backup, if it is on the way to an entry.
    pub(crate) fn find(&self, path: &RelPath) -> Option<usize> {
        self.sources.find(path)
    }

    /// True when `path` of the target is an entry's destination or above one.
    pub(crate) fn leads_to_entry(&self, path: &RelPath) -> bool {
        self.destinations.find(path).is_some()
    }

    /// The node of `name` below the node `at`.
    pub(crate) fn child(&self, at: usize, name: &Name) -> Option<usize> {
        self.sources.child(at, name)
    }

    /// The children of the node `at` on the way to entries.
    pub(crate) fn children(&self, at: usize) -> impl Iterator<Item = (&Name, usize)> {
        self.sources.children(at)
    }

    /// The present entry whose source is exactly the node `at`.
    pub(crate) fn entry(&self, at: usize) -> Option<EntryIndex> {
        self.sources.values(at).iter().rev().find(|entry| entry.is_present).map(|entry| entry.index)
    }

    /// What the plan says about the node `at`, which a walk meets at the place `dst`.
    pub(crate) fn meets(&self, plan: &Mapping, at: usize, dst: &RelPath) -> Meets {
        let is_here = |index: EntryIndex| get(plan, index).1.dst == *dst;
        match (self.entry(at), self.first_below(plan, at, dst)) {
            (Some(entry), _) if is_here(entry) => Meets::Entry(entry),
            (Some(_), below) => Meets::Elsewhere { below },
            (None, Some(below)) => Meets::OnTheWay(below),
            (None, None) => Meets::Nothing,
        }
    }

    /// Some entry below the node `at` that belongs below `dst` as well.
    pub(crate) fn first_below(&self, plan: &Mapping, at: usize, dst: &RelPath) -> Option<EntryIndex> {
        self.children(at).find_map(|(name, child)| {
            let dst = dst.join(name);
            let entry = self.entry(child).filter(|index| get(plan, *index).1.dst == dst);
            entry.or_else(|| self.first_below(plan, child, &dst))
        })
    }

    /// True when what a walk meets is not part of the walk: an inner entry, left out by a pattern, or a
    /// mount that is not to be entered. `at` is its node.
    pub(crate) fn is_out(
        &self,
        at: Option<usize>,
        stat: &Stat,
        cross_mounts: bool,
        is_excluded: impl FnOnce() -> bool,
    ) -> bool {
        at.is_some_and(|at| self.entry(at).is_some()) || is_excluded() || is_barred(stat, cross_mounts)
    }

    /// What is in the directory `dst`, which the walk does not enter, on the way to entries that belong
    /// below it. `at` is its node.
    pub(crate) fn steps(&self, plan: &Mapping, at: usize, dst: &RelPath) -> Vec<(&Name, usize, WayStep)> {
        let step = |(name, child)| {
            let step = match self.meets(plan, child, &dst.join(name)) {
                Meets::Entry(entry) => WayStep::Entry(entry),
                Meets::OnTheWay(below) | Meets::Elsewhere { below: Some(below) } => WayStep::Way(below),
                Meets::Elsewhere { below: None } | Meets::Nothing => return None,
            };
            Some((name, child, step))
        };
        self.children(at).filter_map(step).collect()
    }

    /// True when `below` leads out of `entry` into another one inside it.
    pub(crate) fn is_in_inner_entry(&self, entry: &Entry, below: &RelPath) -> bool {
        let mut at = self.find(&entry.src);
        below.names().any(|name| {
            at = at.and_then(|above| self.child(above, &name));
            at.is_some_and(|at| self.entry(at).is_some())
        })
    }

    /// Which present entries are inside another present entry, in source and destination alike: the
    /// outer one's walk meets them.
    pub(crate) fn nested(&self, plan: &Mapping) -> Vec<Vec<bool>> {
        let is_nested = |inner: &Entry| {
            self.brought_to(plan, &inner.dst).iter().any(|outer| {
                outer.entry.presence == Presence::Present && outer.entry.dst != inner.dst && outer.src == inner.src
            })
        };
        plan.targets.iter().map(|target| target.entries.iter().map(is_nested).collect()).collect()
    }
}

/// True for the root of a mount that is not to be entered: any, or with `cross_mounts` those of the running system
/// that hold no files of its own.
pub(crate) fn is_barred(stat: &Stat, cross_mounts: bool) -> bool {
    stat.mount_root && (!cross_mounts || shows_running_system(stat.dev))
}

/// Target and entry of an index.
pub(crate) fn get(plan: &Mapping, (t, e): EntryIndex) -> (&Target, &Entry) {
    (&plan.targets[t], &plan.targets[t].entries[e])
}

/// The path in the backup of the directory `place`, which is on the way to `entry`.
pub(crate) fn source_on_the_way(entry: &Entry, place: &RelPath) -> RelPath {
    let mut src = entry.src.clone();
    for _ in place.depth()..entry.dst.depth() {
        src = src.parent().unwrap_or_default();
    }
    src
}

#[cfg(test)]
mod tests;
