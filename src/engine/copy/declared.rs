//! Entries of the plan inside another entry that is being walked: each is copied in its own
//! place by its own rules, whether or not the walk would reach it.

use super::engine::Engine;
use super::entry::TargetName;
use super::node::DirNode;
use crate::base::path::Name;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::problem::Problem;
use crate::engine::mapping::index::{InnerName, WayStep, source_on_the_way};
use crate::engine::selection::DeclaredBelow;
use crate::engine::tree::scheduler::Worker;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Engine {
    /// Starts the entries of the plan at or below `name`, whose node is `at`: the one that belongs
    /// here, or those below something that the walk does not enter.
    pub(super) fn copy_inner<'s>(
        &'s self,
        worker: Worker<'_, 's>,
        inner: InnerName,
        at: usize,
        (above, name): (&Arc<DirNode>, &Name),
    ) {
        match inner {
            InnerName::Walked | InnerName::Elsewhere => {}
            InnerName::Entry(entry) => self.copy_entry(worker, entry, above, name),
            InnerName::Way(entry) | InnerName::WayInPlaceOfEntry(entry) => {
                self.copy_on_the_way(worker, DeclaredBelow { entry, at }, above, name);
            }
            InnerName::WayInPlaceOfSymlink(entry) => {
                let declared = self.cx.run.mapping.targets[entry.0].entries[entry.1].dst.clone();
                self.cx.run.problems.note(Note::SymlinkToDirectory(above.path().join(name), declared));
                self.copy_on_the_way(worker, DeclaredBelow { entry, at }, above, name);
            }
        }
    }

    /// Makes the directory `name`, which the walk does not enter, and the directories between it
    /// and the entries below it that belong there.
    pub(super) fn copy_on_the_way<'s>(
        &'s self,
        worker: Worker<'_, 's>,
        DeclaredBelow { entry: (t, e), at }: DeclaredBelow,
        above: &Arc<DirNode>,
        name: &Name,
    ) {
        let path = above.path().join(name);
        let source = source_on_the_way(&self.cx.run.mapping.targets[t].entries[e], &path);
        let target = u32::try_from(t).unwrap_or(u32::MAX);
        let Some(node) = self.parent(TargetName { above, name, target }, Some(&source)) else { return };
        for (name, child, step) in self.index.steps(&self.cx.run.mapping, at, &path) {
            match step {
                WayStep::Entry(entry) => self.copy_entry(worker, entry, &node, name),
                WayStep::Way(entry) => self.copy_on_the_way(worker, DeclaredBelow { entry, at: child }, &node, name),
            }
        }
        self.directories.release(node);
    }

    /// Reports each inner entry whose directory could not be entered.
    pub(super) fn report_unreached(&self) {
        let entries = self
            .cx
            .run
            .mapping
            .targets
            .iter()
            .enumerate()
            .flat_map(|(t, target)| target.entries.iter().enumerate().map(move |(e, entry)| (t, e, entry)));
        for (t, e, entry) in entries {
            if self.nested[t][e] && !self.visited[t][e].load(Ordering::Relaxed) && !self.cx.run.stop.is_set() {
                let problem = Problem::new(entry.dst.clone(), ProblemKind::Io, Detail::NotReached);
                self.cx.problem(u32::try_from(t).unwrap_or(u32::MAX), problem);
            }
        }
    }
}
