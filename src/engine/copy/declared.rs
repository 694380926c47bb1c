//! Entries of the plan that lie below an entry which is being walked: each is copied
//! at its own place with its own rules, whether or not the walk would come to it.

use super::engine::Engine;
use super::entry::TargetName;
use super::node::DirNode;
use super::open_dir::OpenDir;
use crate::base::path::Name;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::mapping::index::{EntryIndex, Inner, Step, source_on_the_way};
use crate::engine::tree::scheduler::Worker;
use crate::sys::stat::{Kind, Stat};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Engine {
    /// Starts the entries of the plan in `dir`, and those below it behind what the walk does
    /// not enter: a pattern, a symlink, a mount. Gives the names that the walk leaves out.
    pub(super) fn copy_declared<'s>(&'s self, worker: Worker<'_, 's>, dir: &Arc<OpenDir>) -> BTreeSet<Name> {
        let mut left_out = BTreeSet::new();
        let Some(at) = dir.position.cursor else { return left_out };
        let here = dir.node.path();
        for (name, child) in self.index.children(at) {
            let enters =
                |stat: &Stat| !self.source.is_barred(stat) && !self.rules.would_exclude(dir, name, Kind::Directory);
            let looked = || dir.src.stat_at(name);
            let inner = self.index.inner(&self.cx.plan, child, &here.join(name), looked, enters);
            if inner.is_left_out() {
                left_out.insert(name.clone());
            }
            match inner {
                Inner::Walked | Inner::Elsewhere => {}
                Inner::Entry(entry) => self.copy_entry(worker, entry, &dir.node, name),
                Inner::Way(entry) | Inner::WayInPlaceOfEntry(entry) => {
                    self.copy_on_the_way(worker, Below { entry, at: child }, &dir.node, name);
                }
                Inner::WayInPlaceOfSymlink(entry) => {
                    self.cx.problems.note(format!(
                        "{}: a symlink in the backup; it becomes a directory, because the plan declares {}",
                        here.join(name),
                        self.cx.plan.targets[entry.0].entries[entry.1].dst
                    ));
                    self.copy_on_the_way(worker, Below { entry, at: child }, &dir.node, name);
                }
            }
        }
        left_out
    }

    /// Makes the directory `name`, which the walk does not enter, and what lies between it and
    /// the entries below it that have their place there.
    pub(super) fn copy_on_the_way<'s>(
        &'s self,
        worker: Worker<'_, 's>,
        Below { entry: (t, e), at }: Below,
        above: &Arc<DirNode>,
        name: &Name,
    ) {
        let path = above.path().join(name);
        let source = source_on_the_way(&self.cx.plan.targets[t].entries[e], &path);
        let target = u32::try_from(t).unwrap_or(u32::MAX);
        let Some(node) = self.parent(TargetName { above, name, target }, Some(&source)) else { return };
        for (name, child, step) in self.index.steps(&self.cx.plan, at, &path) {
            match step {
                Step::Entry(entry) => self.copy_entry(worker, entry, &node, name),
                Step::Way(entry) => self.copy_on_the_way(worker, Below { entry, at: child }, &node, name),
            }
        }
        self.directories.release(node);
    }

    /// Entries in other entries whose directory could not be entered: each is named.
    pub(super) fn report_unreached(&self) {
        let entries = self
            .cx
            .plan
            .targets
            .iter()
            .enumerate()
            .flat_map(|(t, target)| target.entries.iter().enumerate().map(move |(e, entry)| (t, e, entry)));
        for (t, e, entry) in entries {
            if self.nested[t][e] && !self.visited[t][e].load(Ordering::Relaxed) && !self.cx.stop.is_set() {
                let message = "not copied: a directory above it could not be entered or made, as its own problem says";
                let problem = Problem::new(entry.dst.clone(), ProblemKind::Io, message);
                self.cx.problem(u32::try_from(t).unwrap_or(u32::MAX), problem);
            }
        }
    }
}

/// What the plan declares below a name.
#[derive(Clone, Copy)]
pub(super) struct Below {
    /// An entry there.
    pub(super) entry: EntryIndex,
    /// The name's node in the tree of sources.
    pub(super) at: usize,
}
