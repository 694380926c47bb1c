//! Entries of the plan that lie below an entry which is being walked: each is copied
//! at its own place with its own rules, whether or not the walk would come to it.

use super::Engine;
use super::dir::OpenDir;
use super::node::DirNode;
use crate::base::path::Name;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::mapping::index::{EntryIndex, Inner, Step, source_on_the_way};
use crate::engine::tree::scheduler::Worker;
use crate::sys::stat::Stat;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Engine {
    /// Starts the entries of the plan in `dir`, and those below it behind what the walk does
    /// not enter: a pattern, a symlink, a mount. Gives the names that the walk leaves out.
    pub(super) fn copy_declared<'s>(&'s self, worker: Worker<'_, 's>, dir: &Arc<OpenDir>) -> BTreeSet<Name> {
        let mut left_out = BTreeSet::new();
        let Some(at) = dir.place.cursor else { return left_out };
        let here = dir.node.path();
        for (name, child) in self.index.children(at) {
            let enters = |stat: &Stat| !self.is_barred(stat) && !self.would_exclude(dir, name, true);
            let inner = self.index.inner(&self.plan, child, &here.join(name), || dir.src.stat_at(name), enters);
            if inner.is_left_out() {
                left_out.insert(name.clone());
            }
            match inner {
                Inner::Walked | Inner::Elsewhere => {}
                Inner::Entry(entry) => self.copy_entry(worker, entry, &dir.node, name),
                Inner::Way(below) | Inner::WayInPlaceOfEntry(below) => {
                    self.copy_on_the_way(worker, below, child, &dir.node, name);
                }
                Inner::WayInPlaceOfSymlink(below) => {
                    self.problems.note(format!(
                        "{}: a symlink in the backup; it becomes a directory, because the plan declares {}",
                        here.join(name),
                        self.plan.targets[below.0].entries[below.1].dst
                    ));
                    self.copy_on_the_way(worker, below, child, &dir.node, name);
                }
            }
        }
        left_out
    }

    /// Makes the directory `name`, which the walk does not enter, and what lies between it and
    /// the entries below the node `at` that have their place there.
    pub(super) fn copy_on_the_way<'s>(
        &'s self,
        worker: Worker<'_, 's>,
        below: EntryIndex,
        at: usize,
        above: &Arc<DirNode>,
        name: &Name,
    ) {
        let path = above.path().join(name);
        let source = source_on_the_way(&self.plan.targets[below.0].entries[below.1], &path);
        let Some(node) = self.parent(above, name, below.0, Some(&source)) else { return };
        for (name, child, step) in self.index.steps(&self.plan, at, &path) {
            match step {
                Step::Entry(entry) => self.copy_entry(worker, entry, &node, name),
                Step::Way(below) => self.copy_on_the_way(worker, below, child, &node, name),
            }
        }
        self.release(node);
    }

    /// Entries in other entries whose directory could not be entered: each is named.
    pub(super) fn report_unreached(&self) {
        let entries = self
            .plan
            .targets
            .iter()
            .enumerate()
            .flat_map(|(t, target)| target.entries.iter().enumerate().map(move |(e, entry)| (t, e, entry)));
        for (t, e, entry) in entries {
            if self.nested[t][e] && !self.visited[t][e].load(Ordering::Relaxed) && !self.stop.is_set() {
                let message = "not copied: a directory above it could not be entered or made, as its own problem says";
                let problem = Problem::new(entry.dst.clone(), ProblemKind::Io, message);
                self.problem(u32::try_from(t).unwrap_or(u32::MAX), problem);
            }
        }
    }
}
