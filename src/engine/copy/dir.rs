//! The source side of a directory: enter it and hand out its entries in batches.

use super::node::DirNode;
use super::pre_visit::NewDirectory;
use super::{Engine, Override};
use crate::base::path::Name;
use crate::engine::driver::missing_subvolume;
use crate::engine::events::counters::add;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Reader, SourceId};
use crate::engine::mapping::index::Meets;
use crate::engine::meta::Wanted;
use crate::engine::tree::node::SourceNode;
use crate::engine::tree::scheduler::{Tasks, Visitor, Worker};
use crate::engine::tree::temporary::is_temporary;
use crate::engine::volume::Volume;
use crate::sys::Errno;
use crate::sys::dir::{DirEntry, SourceDir};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A source directory and the target directory that it goes to.
#[derive(Debug)]
pub(crate) struct OpenDir {
    pub(super) node: Arc<DirNode>,
    pub(super) src: Arc<SourceNode>,
    /// Device number of the source.
    pub(super) dev: u64,
    /// The source's file system.
    pub(super) volume: Arc<Volume>,
    pub(super) place: Place,
    /// The name in the source of the one entry that goes from here to another name.
    pub(super) renamed: Option<Name>,
}

impl OpenDir {
    /// What the source calls the entry that goes to `name`.
    pub(super) fn in_source<'n>(&'n self, name: &'n Name) -> &'n Name {
        self.renamed.as_ref().unwrap_or(name)
    }

    /// The source directory, to look at what lies in it beside an entry.
    pub(super) fn beside(&self) -> Option<Root> {
        self.src.open().and_then(|src| Root::again(&*src)).ok()
    }
}

impl Drop for OpenDir {
    fn drop(&mut self) {
        self.src.close();
    }
}

/// What a directory hands down to its subdirectories.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Where in the plan's tree of sources the walk is; `None` off every entry's path.
    pub(super) cursor: Option<usize>,
    /// Number of the share within which names of one inode become links.
    pub(super) share: u32,
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
        self.stop.is_set()
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
            self.problem(dir.node.target, Problem::failed(path, ProblemKind::Unreadable, "look at", errno));
        })
        .ok()
    }

    fn leaves<'s>(&'s self, _: Worker<'_, 's>, dir: &Arc<OpenDir>, names: Vec<(Name, Kind)>) {
        self.copy_names(dir, names);
    }

    fn was_read(&self, dir: &OpenDir, _: BTreeSet<Name>, result: Result<(), Errno>) {
        if let Err(errno) = result {
            let path = dir.node.path();
            self.problem(dir.node.target, Problem::failed(path, ProblemKind::Unreadable, "read the directory", errno));
        }
    }

    fn hold(&self, dir: &OpenDir) {
        dir.node.hold();
    }

    fn let_go(&self, dir: &Arc<OpenDir>) {
        self.release(Arc::clone(&dir.node));
    }
}

impl Engine {
    fn copy_names(&self, dir: &Arc<OpenDir>, names: Vec<(Name, Kind)>) {
        let reader = self.reader_for(dir);
        for (name, kind) in names {
            if self.stop.is_set() {
                return;
            }
            if self.is_excluded(dir, &name, false) {
                continue;
            }
            if is_temporary(&name) {
                let message = "the name is reserved for unfinished copies; rename it in the backup";
                let problem = Problem::new(dir.node.path().join(&name), ProblemKind::Unsupported, message);
                self.problem(dir.node.target, problem);
                continue;
            }
            self.copy_leaf(dir, &name, kind, reader.as_ref().and_then(LentReader::get), Override::default());
        }
    }

    fn enter_subdirectory<'s>(
        &'s self,
        worker: Worker<'_, 's>,
        above: &Arc<OpenDir>,
        name: &Name,
    ) -> Option<Arc<OpenDir>> {
        if self.stop.is_set() || self.is_excluded(above, name, true) {
            return None;
        }
        let path = || above.node.path().join(name);
        let target = above.node.target;
        let cursor = above.place.cursor.and_then(|at| self.index.child(at, name));
        let opened = above.src.open_dir(name).and_then(|src| src.stat().map(|stat| (src, stat)));
        let (src, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.problem(target, Problem::failed(path(), ProblemKind::Unreadable, "open the directory", errno));
                // Its own names may be out of reach, and not what the plan declares below them.
                if let Some(at) = cursor
                    && let Meets::OnTheWay(below) = self.index.meets(&self.plan, at, &path())
                {
                    self.copy_on_the_way(worker, below, at, &above.node, name);
                }
                return None;
            }
        };
        if stat.mount_root && !self.options.cross_mounts {
            self.skip_mount(target, path(), &src, &stat, above.dev);
            return None;
        }
        if stat.dev != above.dev && !stat.mount_root && !self.drivers.is_empty_subvolume(&stat, &src) {
            self.note_subvolume(&path(), &src, &stat);
        }
        let place = Place { cursor, share: above.place.share };
        let src = SourceNode::below(&above.src, name, src, &stat);
        self.enter(&above.node, name, src, &stat, place, Override::default())
    }

    /// Makes or opens the target directory `name` for the source `src`. The
    /// node that comes back is held once, by the caller.
    pub(super) fn enter(
        &self,
        above: &Arc<DirNode>,
        name: &Name,
        src: Arc<SourceNode>,
        stat: &Stat,
        place: Place,
        own: Override,
    ) -> Option<Arc<OpenDir>> {
        let path = || above.path().join(name);
        let target = own.target_in(above);
        add(&self.tally(target).directories, 1);
        let attributes = match src.open() {
            Ok(src) => self.source_attributes(target, Holder::file(&src), stat, || Root::again(&*src).ok(), path),
            Err(errno) => {
                self.problem(target, Problem::failed(path(), ProblemKind::Unreadable, "open the directory", errno));
                return None;
            }
        };
        let volume = self.volume(stat.dev, || src.open());
        let source = SourceId::of_whole(stat, &volume, &attributes);
        let mut wanted = Wanted::from_source(stat, attributes, &self.options.keep);
        if src.open().is_ok_and(|src| self.drivers.is_empty_subvolume(stat, &*src)) {
            self.problem(target, missing_subvolume(path()));
            // It is made up whenever somebody looks.
            wanted.mtime = None;
        }
        let fixup = self.put_plan_over(&mut wanted, own, above, name);
        let node = self.make(above, name, target, NewDirectory { wanted, source, fixup, counted: true })?;
        Some(Arc::new(OpenDir { node, src, dev: stat.dev, volume, place, renamed: None }))
    }

    /// A connection for the names of `dir`, where the journal can know any.
    fn reader_for(&self, dir: &OpenDir) -> Option<LentReader<'_>> {
        if dir.node.fresh {
            return None;
        }
        let reader = self.reader()?;
        self.ask(reader.hold())?;
        Some(LentReader { engine: self, reader: Some(reader) })
    }
}

/// A reader that holds one state of the journal and goes back to the engine's pool.
pub(super) struct LentReader<'e> {
    engine: &'e Engine,
    reader: Option<Reader>,
}

impl LentReader<'_> {
    fn get(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }
}

impl Drop for LentReader<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take()
            && self.engine.ask(reader.let_go()).is_some()
        {
            self.engine.give_back(reader);
        }
    }
}
