//! The source side of a directory: enter it and hand out its entries in batches.

use super::declared::Below;
use super::engine::Engine;
use super::entry::{Entry, Override, TargetName};
use super::open_dir::{OpenDir, SourcePosition};
use super::pre_visit::NewDirectory;
use super::records::HeldReader;
use crate::base::path::Name;
use crate::engine::driver::missing_subvolume;
use crate::engine::events::counters::add;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::journal::SourceId;
use crate::engine::mapping::explicit::Explicit;
use crate::engine::mapping::index::Meets;
use crate::engine::meta::Wanted;
use crate::engine::tree::node::SourceNode;
use crate::engine::tree::scheduler::{Tasks, Visitor, Worker};
use crate::engine::tree::temporary::is_temporary;
use crate::sys::Errno;
use crate::sys::dir::{DirEntry, SourceDir};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A directory of the source that is to be copied.
pub(super) struct Subtree {
    pub(super) src: Arc<SourceNode>,
    pub(super) stat: Stat,
    pub(super) position: SourcePosition,
    /// What the plan says of the directory itself.
    pub(super) explicit: Explicit,
}

impl Visitor for Engine {
    type Dir = OpenDir;
    type Handle = SourceDir;
    /// Names that are left out.
    type Reading = BTreeSet<Name>;

    fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    fn is_stopped(&self) -> bool {
        self.cx.stop.is_set()
    }

    fn open(&self, dir: &OpenDir) -> Result<Arc<SourceDir>, Errno> {
        dir.src.open()
    }

    fn enter<'s>(&'s self, worker: Worker<'_, 's>, above: &Arc<OpenDir>, name: &Name) -> Option<Arc<OpenDir>> {
        self.enter_subdirectory(worker, above, name)
    }

    fn pre_visit<'s>(&'s self, worker: Worker<'_, 's>, dir: &Arc<OpenDir>) -> BTreeSet<Name> {
        self.copy_declared(worker, dir)
    }

    fn sort(&self, dir: &OpenDir, left_out: &mut BTreeSet<Name>, entry: &DirEntry) -> Option<Kind> {
        if left_out.contains(&entry.name) {
            return None;
        }
        let kind = entry.kind.map_or_else(|| dir.src.stat_at(&entry.name).map(|stat| stat.kind), Ok);
        kind.map_err(|errno| {
            let path = dir.node.path().join(&entry.name);
            self.cx.problem(dir.node.target, Problem::failed(path, ProblemKind::Unreadable, "look at", errno));
        })
        .ok()
    }

    fn leaves<'s>(&'s self, _: Worker<'_, 's>, dir: &Arc<OpenDir>, names: Vec<(Name, Kind)>) {
        self.copy_names(dir, names);
    }

    fn was_read(&self, dir: &OpenDir, _: BTreeSet<Name>, result: Result<(), Errno>) {
        if let Err(errno) = result {
            let path = dir.node.path();
            self.cx
                .problem(dir.node.target, Problem::failed(path, ProblemKind::Unreadable, "read the directory", errno));
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
    fn copy_names(&self, dir: &Arc<OpenDir>, names: Vec<(Name, Kind)>) {
        // Nothing is recorded of what is in a directory that is new.
        let reader = if dir.node.fresh { None } else { self.cx.records.hold() };
        for (name, kind) in names {
            if self.cx.stop.is_set() {
                return;
            }
            if self.rules.is_excluded(dir, &name, kind) {
                continue;
            }
            if is_temporary(&name) {
                let message = "the name is reserved for unfinished copies; rename it in the backup";
                let problem = Problem::new(dir.node.path().join(&name), ProblemKind::Unsupported, message);
                self.cx.problem(dir.node.target, problem);
                continue;
            }
            let reader = reader.as_ref().and_then(HeldReader::get);
            self.leaves.copy(&Entry { dir, name: &name, own: Override::default(), reader }, kind);
        }
    }

    fn enter_subdirectory<'s>(
        &'s self,
        worker: Worker<'_, 's>,
        above: &Arc<OpenDir>,
        name: &Name,
    ) -> Option<Arc<OpenDir>> {
        if self.cx.stop.is_set() || self.rules.is_excluded(above, name, Kind::Directory) {
            return None;
        }
        let path = || above.node.path().join(name);
        let target = above.node.target;
        let cursor = above.position.cursor.and_then(|at| self.index.child(at, name));
        let opened = above.src.open_dir(name).and_then(|src| src.stat().map(|stat| (src, stat)));
        let (src, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.cx.problem(target, Problem::failed(path(), ProblemKind::Unreadable, "open the directory", errno));
                // Its own names may be out of reach, and not what the plan declares below them.
                if let Some(at) = cursor
                    && let Meets::OnTheWay(below) = self.index.meets(&self.cx.plan, at, &path())
                {
                    self.copy_on_the_way(worker, Below { entry: below, at }, &above.node, name);
                }
                return None;
            }
        };
        if stat.mount_root && !self.cx.options.cross_mounts {
            self.source.skip_mount(above, name, &src, &stat);
            return None;
        }
        if stat.dev != above.dev && !stat.mount_root && !self.source.drivers.is_empty_subvolume(&stat, &src) {
            self.source.note_subvolume(&path(), &src, &stat);
        }
        let position = SourcePosition { cursor, share: above.position.share };
        let src = SourceNode::below(&above.src, name, src, &stat);
        let at = TargetName { above: &above.node, name, target };
        self.enter(at, Subtree { src, stat, position, explicit: Explicit::default() })
    }

    /// Makes or opens the target directory for the source `tree`. The node that comes
    /// back is held once, by the caller.
    pub(super) fn enter(&self, at: TargetName<'_>, tree: Subtree) -> Option<Arc<OpenDir>> {
        let Subtree { src, stat, position, explicit } = tree;
        let (target, path) = (at.target, || at.path());
        add(&self.cx.tally(target).directories, 1);
        let attributes = match src.open() {
            Ok(src) => self.source.attributes(target, (Holder::file(&src), &stat), || Root::again(&*src).ok(), path),
            Err(errno) => {
                self.cx.problem(target, Problem::failed(path(), ProblemKind::Unreadable, "open the directory", errno));
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
        let fixup = self.rules.put_over(&mut wanted, explicit, at.above, at.name);
        let node = self.directories.make(at, NewDirectory { wanted, source, fixup, counted: true })?;
        Some(Arc::new(OpenDir { node, src, dev: stat.dev, volume, position, renamed: None }))
    }
}
