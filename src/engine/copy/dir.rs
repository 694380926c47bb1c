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
use crate::engine::mapping::layout::Meets;
use crate::engine::meta::Wanted;
use crate::engine::tree::source::SourceNode;
use crate::engine::tree::temporary::is_temporary;
use crate::engine::volume::Volume;
use crate::sys::dir::{DirEntry, read_batches};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;
use rayon::Scope;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A source directory and the target directory that it goes to.
#[derive(Debug)]
pub(super) struct OpenDir {
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
pub(super) struct Place {
    /// Where in the tree of sources the walk is; `None` off every entry's path.
    pub(super) cursor: Option<usize>,
    /// Number of the share within which names of one inode become links.
    pub(super) share: u32,
}

/// Entries that are read from a directory at once; sorted by inode they are
/// read in about the order in which they lie on the medium.
const READ: usize = 2048;
/// Names of one task: enough to pay for the task, few enough to share out.
const TASK: usize = 64;

impl Engine {
    /// Copies everything in `dir`, whose node is held by the caller's task.
    pub(super) fn fill_directory<'s>(&'s self, scope: &Scope<'s>, dir: &Arc<OpenDir>, inline: u32) {
        let declared = self.copy_declared(scope, dir);
        let opened = dir.src.open();
        let read = opened.and_then(|src| {
            read_batches(&*src, READ, |mut batch| {
                batch.sort_unstable_by_key(|entry| entry.ino);
                let (mut directories, mut others) = (Vec::new(), Vec::new());
                for entry in batch.into_iter().filter(|entry| !declared.contains(&entry.name)) {
                    match self.kind_of(dir, &entry) {
                        Some(Kind::Directory) => directories.push(entry.name),
                        Some(kind) => others.push((entry.name, kind)),
                        None => {}
                    }
                }
                while !others.is_empty() {
                    let rest = others.split_off(others.len().min(TASK));
                    let task = std::mem::replace(&mut others, rest);
                    let dir = Arc::clone(dir);
                    dir.node.hold();
                    self.spawn(scope, inline, move |engine, _, _| {
                        engine.copy_names(&dir, task);
                        engine.release(Arc::clone(&dir.node));
                    });
                }
                for name in directories {
                    let dir = Arc::clone(dir);
                    dir.node.hold();
                    self.spawn(scope, inline, move |engine, scope, inline| {
                        engine.copy_subdirectory(scope, &dir, &name, inline);
                        engine.release(Arc::clone(&dir.node));
                    });
                }
                !self.stop.is_set()
            })
        });
        if let Err(errno) = read {
            let path = dir.node.path();
            self.problem(dir.node.target, Problem::failed(path, ProblemKind::Unreadable, "read the directory", errno));
        }
    }

    fn kind_of(&self, dir: &OpenDir, entry: &DirEntry) -> Option<Kind> {
        if entry.kind.is_some() {
            return entry.kind;
        }
        match dir.src.stat_at(&entry.name) {
            Ok(stat) => Some(stat.kind),
            Err(errno) => {
                let path = dir.node.path().join(&entry.name);
                self.problem(dir.node.target, Problem::failed(path, ProblemKind::Unreadable, "look at", errno));
                None
            }
        }
    }

    /// Runs `task` on another thread, or here when enough tasks wait already:
    /// the queue is what keeps memory bounded.
    fn spawn<'s>(&'s self, scope: &Scope<'s>, inline: u32, task: impl FnOnce(&'s Self, &Scope<'s>, u32) + Send + 's) {
        if self.queued.load(Ordering::Relaxed) >= self.most_queued && inline < self.deepest_inline {
            task(self, scope, inline + 1);
            return;
        }
        self.queued.fetch_add(1, Ordering::Relaxed);
        scope.spawn(move |scope| {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            task(self, scope, 0);
        });
    }

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

    fn copy_subdirectory<'s>(&'s self, scope: &Scope<'s>, above: &Arc<OpenDir>, name: &Name, inline: u32) {
        if self.stop.is_set() || self.is_excluded(above, name, true) {
            return;
        }
        let path = || above.node.path().join(name);
        let target = above.node.target;
        let cursor = above.place.cursor.and_then(|at| self.sources.child(at, name));
        let opened = above.src.open_dir(name).and_then(|src| src.stat().map(|stat| (src, stat)));
        let (src, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.problem(target, Problem::failed(path(), ProblemKind::Unreadable, "open the directory", errno));
                // Its own names may be out of reach, and not what the plan declares below them.
                if let Some(at) = cursor
                    && let Meets::OnTheWay(below) = self.sources.meets(&self.plan, at, &path())
                {
                    self.copy_on_the_way(scope, below, at, &above.node, name);
                }
                return;
            }
        };
        if stat.mount_root && !self.options.cross_mounts {
            return self.skip_mount(target, path(), &src, &stat, above.dev);
        }
        if stat.dev != above.dev && !stat.mount_root && !self.drivers.is_empty_subvolume(&stat, &src) {
            self.note_subvolume(&path(), &src, &stat);
        }
        let place = Place { cursor, share: above.place.share };
        let src = SourceNode::below(&above.src, name, src, &stat);
        let Some(dir) = self.enter(&above.node, name, src, &stat, place, Override::default()) else { return };
        self.fill_directory(scope, &dir, inline);
        self.release(Arc::clone(&dir.node));
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
