//! What the copier does with what the plan selects.

use super::dir_metadata::PostVisit;
use super::engine::Engine;
use super::entry::{CopyEntry, Override, TargetName};
use super::in_place_dir::DirStanding;
use super::open_dir::{OpenDir, SourcePosition};
use super::pre_visit::NewDirectory;
use super::records::HeldReader;
use crate::base::path::{Name, RelPath};
use crate::engine::driver::missing_subvolume;
use crate::engine::events::counters::add;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::SourceId;
use crate::engine::mapping::explicit::Explicit;
use crate::engine::mapping::index::InnerName;
use crate::engine::meta::Wanted;
use crate::engine::selection::{DeclaredBelow, Position, Selected, SelectedLeaves, Selection, SelectionSink};
use crate::engine::stale::{SourceNames, StaleDirectory, StaleSearch};
use crate::engine::tree::node::SourceNode;
use crate::engine::tree::scheduler::Worker;
use crate::sys::Errno;
use crate::sys::dir::SourceDir;
use crate::sys::root::Root;
use crate::sys::stat::Stat;
use crate::sys::xattr::Holder;
use std::sync::Arc;

/// A directory of the source that is to be copied.
pub(super) struct Subtree {
    pub(super) src: Arc<SourceNode>,
    pub(super) stat: Stat,
    pub(super) position: SourcePosition,
    /// What the plan says of the directory itself.
    pub(super) explicit: Explicit,
    /// It is the root of a mount that is not entered: its times are those of what is mounted.
    pub(super) is_mount_point: bool,
}

impl SelectionSink for Engine {
    type Dir = OpenDir;
    /// The names that the source has, if the journal may have others.
    type Seen = Option<SourceNames>;

    fn selection(&self) -> Selection<'_> {
        let (plan, stop) = (&*self.cx.run.mapping, &self.cx.run.stop);
        let cross_mounts = self.cx.options.cross_mounts;
        Selection { plan, index: &self.index, tasks: &self.tasks, stop, cross_mounts }
    }

    fn position<'d>(&self, dir: &'d OpenDir) -> Position<'d> {
        Position { src: &dir.src, cursor: dir.position.cursor, target: dir.node.target }
    }

    fn path(&self, dir: &OpenDir) -> RelPath {
        dir.node.path()
    }

    fn inner<'s>(&'s self, worker: Worker<'_, 's>, inner: InnerName, at: usize, (dir, name): (&Arc<OpenDir>, &Name)) {
        self.copy_inner(worker, inner, at, (&dir.node, name));
    }

    fn unopened<'s>(&'s self, worker: Worker<'_, 's>, below: DeclaredBelow, (dir, name): (&Arc<OpenDir>, &Name)) {
        self.copy_on_the_way(worker, below, &dir.node, name);
    }

    fn leaves(&self, dir: &Arc<OpenDir>, names: SelectedLeaves<'_, Self>) {
        // The journal knows nothing inside a new directory.
        let held = if dir.node.fresh { None } else { self.cx.records.hold() };
        let Some(reader) = held.as_ref().and_then(HeldReader::get) else {
            return self.leaves.copy_new(dir, names, self.together);
        };
        let names: Vec<_> = names.collect();
        let asked: Vec<&Name> = names.iter().map(|(name, _)| name).collect();
        let Some(answers) = self.cx.records.ask(reader.find_each(dir.node.id, &asked)) else { return };
        for ((name, kind), recorded) in names.iter().zip(&answers) {
            if self.cx.run.stop.is_set() {
                return;
            }
            let (own, reader) = (Override::default(), Some(reader));
            self.leaves.copy(&CopyEntry { dir, name, own, reader, recorded }, *kind);
        }
    }

    fn subtree(&self, above: &Arc<OpenDir>, name: &Name, found: Selected) -> Option<Arc<OpenDir>> {
        let Selected { src, stat, cursor } = found;
        if stat.dev != above.dev && !stat.mount_root && !self.source.drivers.is_empty_subvolume(&stat, &src) {
            self.source.note_subvolume(&above.node.path().join(name), &src, &stat);
        }
        self.enter_below(above, name, Selected { src, stat, cursor }, false)
    }

    fn excluded(&self, dir: &OpenDir) {
        add(&self.cx.tally(dir.node.target).excluded, 1);
    }

    fn reserved(&self, dir: &OpenDir, name: &Name) {
        let problem = Problem::new(dir.node.path().join(name), ProblemKind::Unsupported, Detail::NameReserved);
        self.cx.problem(dir.node.target, problem);
    }

    fn is_in_place(&self, dir: &OpenDir, name: &Name, stat: &Stat) -> bool {
        self.is_in_its_place(dir, name, stat)
    }

    fn mount(&self, dir: &OpenDir, name: &Name, (src, stat): (&SourceDir, &Stat)) {
        self.source.skip_mount(dir, name, src, stat);
    }

    /// Makes it, empty.
    fn mount_point(&self, above: &Arc<OpenDir>, name: &Name, found: Selected) {
        if let Some(dir) = self.enter_below(above, name, found, true) {
            self.directories.release(Arc::clone(&dir.node));
        }
    }

    fn failed(&self, dir: &OpenDir, name: Option<&Name>, (operation, errno): (Operation, Errno)) {
        let path = name.map_or_else(|| dir.node.path(), |name| dir.node.path().join(name));
        self.cx.problem(dir.node.target, Problem::failed(path, ProblemKind::Unreadable, operation, errno));
    }

    fn seen(&self, dir: &OpenDir) -> Self::Seen {
        (!dir.node.fresh && self.cx.run.journal.resumed()).then(SourceNames::default)
    }

    fn saw(&self, seen: &mut Self::Seen, name: &Name) {
        if let Some(names) = seen {
            names.add(name);
        }
    }

    fn saw_all(&self, dir: &OpenDir, seen: Self::Seen) {
        if let Some(names) = seen {
            self.record_stale(dir, &names.sorted());
        }
    }

    fn hold(&self, dir: &OpenDir) {
        dir.node.hold();
    }

    fn let_go(&self, dir: &Arc<OpenDir>) {
        self.directories.release(Arc::clone(&dir.node));
    }
}

impl Engine {
    fn enter_below(
        &self,
        above: &Arc<OpenDir>,
        name: &Name,
        found: Selected,
        is_mount_point: bool,
    ) -> Option<Arc<OpenDir>> {
        let Selected { src, stat, cursor } = found;
        let position = SourcePosition { cursor, share: above.position.share };
        let src = SourceNode::below(&above.src, name, src, &stat);
        let at = TargetName { above: &above.node, name, target: above.node.target };
        self.enter(at, Subtree { src, stat, position, explicit: Explicit::default(), is_mount_point })
    }

    /// Records what earlier runs copied into `dir` and the source, which has these `names`, no longer has.
    fn record_stale(&self, dir: &OpenDir, names: &SourceNames) {
        let (source, prior) = match &dir.node.post_visit {
            PostVisit::Apply(metadata) => (metadata.source, metadata.prior.as_ref()),
            PostVisit::Nothing | PostVisit::InPlace(_) => (None, None),
        };
        let (id, path, target) = (dir.node.id, &dir.node.path(), dir.node.target);
        let (is_empty, is_in_place) = (names.is_empty(), matches!(dir.node.post_visit, PostVisit::InPlace(_)));
        let searched = StaleDirectory { id, path, target, is_empty, is_in_place, source, prior };
        let plan = &*self.cx.run.mapping;
        let found = self.cx.records.with_reader(|reader| {
            let has = |name: &Name| names.has(name);
            self.cx.records.ask(self.stale.in_directory((plan, &self.index), reader?, &searched, has))
        });
        let name = plan.targets.get(target as usize).map_or("", |target| &target.name);
        for problem in found.into_iter().flatten() {
            if problem.path == *path {
                dir.node.set_emptied();
            }
            self.cx.run.problems.record_only(problem.in_target(name));
        }
    }

    /// Records the declared entries that are gone from the source as a whole.
    pub(super) fn record_stale_entries(&self) {
        let found = self
            .cx
            .records
            .with_reader(|reader| self.cx.records.ask(StaleSearch::entries(&self.cx.run.mapping, reader?)));
        for (target, problem) in found.into_iter().flatten() {
            let target = &self.cx.run.mapping.targets[target as usize].name;
            self.cx.run.problems.record_only(problem.in_target(target));
        }
    }

    /// Makes or opens the target directory for the source `tree`. The returned node is held
    /// once, by the caller.
    pub(super) fn enter(&self, at: TargetName<'_>, tree: Subtree) -> Option<Arc<OpenDir>> {
        let Subtree { src, stat, position, explicit, is_mount_point } = tree;
        let (target, path) = (at.target, || at.path());
        match self.standing(at, &stat) {
            DirStanding::Other => {}
            DirStanding::InPlace => {
                let node = self.enter_in_place(at, &stat)?;
                let volume = self.source.volume(stat.dev, || src.open());
                return Some(Arc::new(OpenDir { node, src, dev: stat.dev, volume, position, renamed: None }));
            }
            DirStanding::Kept => return None,
        }
        add(&self.cx.tally(target).directories, 1);
        let attributes = match src.open() {
            Ok(src) => self.source.attributes(target, (Holder::file(&src), &stat), || Root::again(&*src).ok(), path),
            Err(errno) => {
                self.cx
                    .problem(target, Problem::failed(path(), ProblemKind::Unreadable, Operation::OpenDirectory, errno));
                return None;
            }
        };
        let volume = self.source.volume(stat.dev, || src.open());
        let source = SourceId::of_whole(&stat, &volume, &attributes);
        let mut wanted = Wanted::from_source(&stat, attributes, &self.cx.options.keep);
        if src.open().is_ok_and(|src| self.source.drivers.is_empty_subvolume(&stat, &*src)) {
            self.cx.problem(target, missing_subvolume(path()));
            // It is made up whenever somebody looks.
            wanted.mtime = None;
        }
        if is_mount_point {
            wanted.mtime = None;
        }
        let fixup = self.rules.put_over(&mut wanted, explicit, at.above, at.name);
        let new = NewDirectory { wanted, source, volume: Some(Arc::clone(&volume)), fixup, counted: true };
        let node = self.directories.make(at, new)?;
        Some(Arc::new(OpenDir { node, src, dev: stat.dev, volume, position, renamed: None }))
    }
}
