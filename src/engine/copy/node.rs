//! A directory of the target while it is being filled.

use super::databases::DatabaseFates;
use super::dir_metadata::PostVisit;
use super::guard::Guard;
use super::stands::Stands;
use crate::base::path::{Name, RelPath};
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::epoch::{Directory, Replace};
use crate::engine::mapping::explicit::Covering;
use crate::engine::meta::mark::Mark;
use crate::engine::tree::budget::{FdBudget, Kept};
use crate::sys::dir::TargetDir;
use crate::sys::flags::Flags;
use crate::sys::xattr::Holder;
use crate::sys::{Errno, effective_ids, file};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One directory. It lives as long as something below it is unfinished, and
/// knows how to open itself again, so its descriptor is only a cache.
#[derive(Debug)]
pub(super) struct DirNode {
    /// The directory above; `None` for the root.
    pub(super) parent: Option<Arc<DirNode>>,
    /// The name in it; `None` for the root.
    pub(super) name: Option<Name>,
    /// The journal's id; 0 for the root.
    pub(super) id: i64,
    /// Index of the plan's target.
    pub(super) target: u32,
    /// Index of the file system, for syncfs.
    pub(super) file_system: usize,
    /// What its file system can hold, as far as metadata is concerned.
    pub(super) disk: Disk,
    /// Inode number, checked whenever the directory is opened again.
    pub(super) ino: u64,
    /// Made by this run: it can have no journal rows and no older entries.
    pub(super) fresh: bool,
    /// Who could have moved names in it before.
    pub(super) guard: Guard,
    /// Its mark when it was found.
    pub(super) mark: Mark,
    /// It has a mark, which must be removed at the end.
    marked: AtomicBool,
    /// Flags that an earlier run set on it or on a directory above it. New entries inherit them,
    /// though the source's entries need not have them.
    pub(super) handed: Flags,
    /// The fixups that apply in it.
    pub(super) covering: Covering,
    /// Whether the finished directory counts as an entry of the plan.
    pub(super) post_visit: PostVisit,
    /// Unfinished tasks and children, and the reading of the directory itself.
    pending: AtomicUsize,
    /// An entry in it is to be renamed over an older one, which moves its times.
    late: AtomicBool,
    /// It is another directory in the source than the recorded one, and lacks what was copied from that.
    emptied: AtomicBool,
    /// It was closed to everybody else.
    taken: Mutex<bool>,
    /// Something was made or renamed in it.
    filled: AtomicBool,
    /// What becomes of the databases in it.
    pub(super) databases: DatabaseFates,
    fd: Kept<TargetDir>,
}

/// Where a directory is.
pub(super) struct NodePlace {
    /// Index of the plan's target.
    pub(super) target: u32,
    /// Index of the file system.
    pub(super) file_system: usize,
    pub(super) disk: Disk,
    pub(super) covering: Covering,
}

/// What is known of a directory besides its place.
pub(super) struct NodeParts {
    /// The journal's id.
    pub(super) id: i64,
    /// Made by this run.
    pub(super) fresh: bool,
    pub(super) post_visit: PostVisit,
    /// Its mark when it was found.
    pub(super) mark: Mark,
}

impl DirNode {
    /// A node with one pending task: the caller's own.
    pub(super) fn new(
        above: Option<(&Arc<Self>, &Name)>,
        place: NodePlace,
        parts: NodeParts,
        dir: TargetDir,
        budget: &Arc<FdBudget>,
    ) -> Result<Arc<Self>, Errno> {
        let NodePlace { target, file_system, disk, covering } = place;
        let NodeParts { id, fresh, post_visit, mark } = parts;
        let stat = dir.stat()?;
        let mut handed = above.map_or(Flags::empty(), |(parent, _)| parent.handed);
        if let PostVisit::Apply(metadata) = &post_visit
            && let Some(prior) = &metadata.prior
        {
            handed |= prior.wanted.flags.difference(Flags::IMMUTABLE_OR_APPEND);
        }
        if let Some((parent, _)) = above {
            parent.hold();
        }
        Ok(Arc::new(Self {
            parent: above.map(|(parent, _)| Arc::clone(parent)),
            name: above.map(|(_, name)| name.clone()),
            id,
            target,
            file_system,
            disk,
            ino: stat.ino,
            fresh,
            guard: Guard::of(&stat, &post_visit, mark),
            mark,
            marked: AtomicBool::new(mark != Mark::None),
            handed,
            covering,
            post_visit,
            pending: AtomicUsize::new(1),
            late: AtomicBool::new(false),
            emptied: AtomicBool::new(false),
            taken: Mutex::new(false),
            filled: AtomicBool::new(false),
            databases: DatabaseFates::default(),
            fd: Kept::new(dir, budget),
        }))
    }

    /// The node of the root itself; its descriptor is never closed.
    pub(super) fn root(place: NodePlace, dir: TargetDir, budget: &Arc<FdBudget>) -> Result<Arc<Self>, Errno> {
        budget.give_back();
        let parts = NodeParts { id: 0, fresh: false, post_visit: PostVisit::Nothing, mark: Mark::None };
        Self::new(None, place, parts, dir, budget)
    }

    /// The directory's path below the root.
    #[must_use]
    pub(super) fn path(&self) -> RelPath {
        let mut names = Vec::new();
        let mut node = Some(self);
        while let Some(here) = node {
            names.extend(here.name.as_ref().map(Name::as_bytes));
            node = here.parent.as_deref();
        }
        names.reverse();
        RelPath::new(&names.join(&b'/')).unwrap_or_default()
    }

    /// A descriptor: the cached one, or the directory opened again from the nearest ancestor that
    /// has one, name by name, never through a symlink.
    /// `ESTALE` when its name belongs to another directory.
    pub(super) fn open(&self) -> Result<Arc<TargetDir>, Errno> {
        let mut closed = Vec::new();
        let mut node = self;
        let mut dir = loop {
            if let Some(fd) = node.fd.get() {
                break fd;
            }
            let Some(parent) = node.parent.as_deref() else { return Err(Errno::BADF) };
            closed.push(node);
            node = parent;
        };
        for node in closed.into_iter().rev() {
            let Some(name) = &node.name else { return Err(Errno::BADF) };
            let opened = dir.open_dir(name)?;
            let stat = opened.stat()?;
            if (stat.dev, stat.ino) != (node.disk.dev, node.ino) {
                return Err(Errno::STALE);
            }
            dir = Arc::new(opened);
        }
        Ok(dir)
    }

    /// A descriptor for making or renaming names. A directory that existed before is made like a
    /// new one, 0700 and root's, until it is left: nobody else can swap names in it meanwhile, or
    /// read what will not be readable at the end. `announce` is called first, once. True when
    /// this call closed it.
    pub(super) fn open_to_fill(
        &self,
        announce: impl FnOnce(&TargetDir) -> Result<(), Errno>,
    ) -> Result<(Arc<TargetDir>, bool), Errno> {
        let dir = self.open()?;
        self.filled.store(true, Ordering::Relaxed);
        let mut closed = false;
        if let PostVisit::Apply(metadata) = &self.post_visit
            && !self.fresh
            && metadata.wanted.owner.is_some()
        {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if !*taken {
                let (uid, gid) = effective_ids();
                let possible = |result: Result<(), Errno>| match result {
                    // A file system without owners cannot keep anybody out.
                    Err(errno) if self.disk.cannot(errno) => Ok(()),
                    result => result,
                };
                announce(&dir)?;
                // The owner first, who could otherwise open it again.
                possible(file::chown(Holder::file(&*dir), uid, gid))?;
                possible(file::chmod(Holder::file(&*dir), 0o700))?;
                (*taken, closed) = (true, true);
            }
        }
        Ok((dir, closed))
    }

    /// Whether [`Self::open_to_fill`] has closed it.
    #[must_use]
    pub(super) fn is_closed(&self) -> bool {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`Self::open_to_fill`] was called.
    #[must_use]
    pub(super) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Relaxed)
    }

    /// Closes the cached descriptor; the root's stays open.
    pub(super) fn close(&self) {
        if self.parent.is_some() {
            self.fd.close();
        }
    }

    /// It was marked.
    pub(super) fn set_marked(&self) {
        self.marked.store(true, Ordering::Relaxed);
    }

    /// True when it has a mark.
    pub(super) fn is_marked(&self) -> bool {
        self.marked.load(Ordering::Relaxed)
    }

    /// A replacement waits for its epoch: the directory's times must be set after it.
    pub(super) fn set_late(&self) {
        self.late.store(true, Ordering::Relaxed);
    }

    /// `temporary` is to become `name` once it is durable; the directory's end waits for that.
    pub(super) fn replacing(self: &Arc<Self>, temporary: Name, name: &Name, stands: Stands) -> Replace {
        self.set_late();
        let dir: Arc<dyn Directory> = Arc::<Self>::clone(self);
        let Stands { there, logs } = stands;
        let clears = logs.beside(name).collect();
        Replace { dir, temporary, name: name.clone(), stands: there, clears }
    }

    /// Whether [`Self::set_late`] was called.
    #[must_use]
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// The source lacks what was copied from another directory.
    pub(super) fn set_emptied(&self) {
        self.emptied.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::set_emptied`] was called.
    #[must_use]
    pub(super) fn is_emptied(&self) -> bool {
        self.emptied.load(Ordering::Relaxed)
    }

    /// One more task below.
    pub(super) fn hold(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// One task less; true when it was the last and the directory is to be left.
    #[must_use]
    pub(super) fn release(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Drop for DirNode {
    fn drop(&mut self) {
        // A chain of thousands of parents must not unwind by recursion.
        let mut above = self.parent.take();
        while let Some(node) = above {
            above = Arc::into_inner(node).and_then(|mut node| node.parent.take());
        }
    }
}

impl Directory for DirNode {
    fn open(&self) -> Result<Arc<TargetDir>, Errno> {
        self.open()
    }

    fn path(&self) -> RelPath {
        self.path()
    }
}
