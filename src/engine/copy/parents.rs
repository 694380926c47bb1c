//! From the root down to the entries: directories on the way, their parents'
//! metadata, and the start of each entry's walk.

use super::dir::Subtree;
use super::dir_metadata::PostVisit;
use super::engine::Engine;
use super::entry::{CopyEntry, Override, TargetName};
use super::job::OpenSource;
use super::node::{DirNode, NodeParts, NodePlace};
use super::open_dir::{OpenDir, SourcePosition};
use super::pre_visit::{NewDirectory, News};
use super::settled::TICK;
use super::trust::is_skeleton;
use crate::base::path::{Name, RelPath};
use crate::engine::events::counters::add;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::stop::StopReason;
use crate::engine::journal::{RowAnswer, SourceId, State};
use crate::engine::judge::History;
use crate::engine::mapping::explicit::{Covering, Explicit};
use crate::engine::mapping::index::EntryIndex;
use crate::engine::mapping::layout::DstNode;
use crate::engine::mapping::model::{Attrs, Target};
use crate::engine::meta::Wanted;
use crate::engine::meta::mark::{Mark, Was};
use crate::engine::selection::{DeclaredBelow, EntryHandle, open_above};
use crate::engine::tree::node::SourceNode;
use crate::engine::tree::scheduler::{self, Worker};
use crate::sys::Errno;
use crate::sys::dir::{TargetDir, open_target};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, Time, stat_fd};
use crate::sys::xattr::Holder;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Engine {
    /// Builds the directories of `layout` and starts its entries.
    pub(super) fn build<'s>(&'s self, worker: Worker<'_, 's>, layout: &DstNode) {
        if layout.children.is_empty() {
            return;
        }
        let opened = open_target(&self.cx.run.mapping.root, &RelPath::root()).and_then(|dir| {
            let (file_system, disk) = self.cx.file_system(&dir)?;
            let covering = Covering::of(&self.cx.run.mapping, &RelPath::root());
            let place = NodePlace { target: 0, file_system, disk, covering };
            DirNode::root(place, dir, &self.directories.budget)
        });
        match opened {
            Ok(root) => {
                self.build_below(worker, layout, &root);
                self.directories.release(root);
            }
            Err(errno) => {
                let root = self.cx.run.mapping.root.clone();
                self.cx.run.stop.set(StopReason::RootUnopened(root, errno));
            }
        }
    }

    fn build_below<'s>(&'s self, worker: Worker<'_, 's>, layout: &DstNode, above: &Arc<DirNode>) {
        for (name, child) in &layout.children {
            if self.cx.run.stop.is_set() {
                return;
            }
            // Entries inside another entry are handled by that one's walk.
            if let Some(entry) = child.entry {
                self.copy_entry(worker, entry, above, name);
                continue;
            }
            let node = match child.parent_of {
                Some(target) => self.parent(TargetName { above, name, target: number(target) }, None),
                None => self.ancestor(TargetName { above, name, target: first_target(child) }),
            };
            if let Some(node) = node {
                self.build_below(worker, child, &node);
                self.directories.release(node);
            }
        }
    }

    /// A directory between the root and a target's `to`: left alone when it
    /// exists, root's and 0755 when it has to be made.
    fn ancestor(&self, at: TargetName<'_>) -> Option<Arc<DirNode>> {
        let TargetName { above, name, target } = at;
        let existing = above.open().and_then(|dir| dir.open_dir(name));
        match existing {
            // Made by an earlier run: it is this plan's.
            Ok(_) if self.cx.records.prior(above, name).is_some_and(|row| row.state != State::Ancestor) => {
                self.make_ancestor(at)
            }
            Ok(dir) => match self.is_half_made(at, &dir) {
                // A run was interrupted while making it.
                Ok(true) => self.make_ancestor(at),
                Ok(false) => self.existing_ancestor(at, dir),
                Err(errno) => {
                    self.cx.target_failed(target, at.path(), Operation::ReadMark, errno);
                    None
                }
            },
            Err(Errno::NOENT) => self.make_ancestor(at),
            Err(errno) => {
                self.cx.target_failed(target, at.path(), Operation::OpenDirectory, errno);
                None
            }
        }
    }

    /// Not this plan's: it is left alone.
    fn existing_ancestor(&self, at: TargetName<'_>, dir: TargetDir) -> Option<Arc<DirNode>> {
        let known = self.cx.records.prior(at.above, at.name).and_then(|row| row.id);
        let id = known.unwrap_or_else(|| self.directories.new_id());
        let news = if known.is_some() { News::Recorded } else { News::Announce };
        let parts = NodeParts { id, fresh: false, post_visit: PostVisit::Nothing, mark: Mark::None };
        self.directories
            .node(at, dir, parts, news)
            .map_err(|e| self.cx.target_failed(at.target, at.path(), Operation::Stat, e))
            .ok()
    }

    /// True for a directory with the mark of a new one, or an empty one younger than the first
    /// run: the mark is set after mkdir.
    fn is_half_made(&self, at: TargetName<'_>, dir: &TargetDir) -> Result<bool, Errno> {
        let stat = dir.stat()?;
        let History { interrupted, began, .. } = self.cx.history(at.target);
        // A file system's clock may be a tick behind.
        let nanoseconds = |time: Time| i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec);
        let tick = i128::try_from(TICK.as_nanos()).unwrap_or_default();
        let since = |began: Time| stat.btime.is_some_and(|btime| nanoseconds(btime) + tick >= nanoseconds(began));
        let is_marked = self.directories.mark_of(dir, &stat, None, || at.path())? == Mark::Ours(Was::Created);
        Ok(is_marked || interrupted && began.is_some_and(since) && is_skeleton(dir))
    }

    fn make_ancestor(&self, at: TargetName<'_>) -> Option<Arc<DirNode>> {
        let mut wanted = self.plain(Attrs { uid: 0, gid: 0, mode: 0o755 });
        let fixup = self.rules.put_over(&mut wanted, Explicit::default(), at.above, at.name);
        self.directories.make(at, NewDirectory { wanted, source: None, volume: None, fixup, counted: false })
    }

    /// `to` or a directory between it and an entry: as in the backup if it is there, else as the
    /// plan's `parents` say. `src` is its path there, if the target's `from` and `to` do not
    /// determine it.
    pub(super) fn parent(&self, at: TargetName<'_>, src: Option<&RelPath>) -> Option<Arc<DirNode>> {
        let index = at.target;
        let plan = &self.cx.run.mapping.targets[index as usize];
        let path = at.path();
        let found = source_of_parent(&self.source.root, plan, &path, src);
        if let Ok(Some((_, stat))) = &found {
            match self.parent_in_place(at, stat) {
                Ok(Some(dir)) => return self.existing_ancestor(at, dir),
                Ok(None) => {}
                Err(errno) => {
                    self.cx.target_failed(index, path, Operation::OpenDirectory, errno);
                    return None;
                }
            }
        }
        let (mut wanted, (source, volume)) = match found {
            Ok(Some((fd, stat))) => {
                let attributes = self.source.attributes(
                    index,
                    (Holder::file(&fd), &stat),
                    || Root::again(&fd).ok(),
                    || path.clone(),
                );
                let volume = self.source.volume(stat.dev, || Ok(&fd));
                let id = SourceId::of_whole(&stat, &volume, &attributes);
                (Wanted::from_source(&stat, attributes, &self.cx.options.keep), (id, Some(volume)))
            }
            Ok(None) => (self.plain(plan.parents), (None, None)),
            Err(errno) => {
                self.cx.problem(index, Problem::failed(path, ProblemKind::Unreadable, Operation::StatParent, errno));
                (self.plain(plan.parents), (None, None))
            }
        };
        let fixup = self.rules.put_over(&mut wanted, Explicit::default(), at.above, at.name);
        add(&self.cx.tally(index).directories, 1);
        self.directories.make(at, NewDirectory { wanted, source, volume, fixup, counted: true })
    }

    fn plain(&self, attrs: Attrs) -> Wanted {
        Wanted::plain_directory(attrs.mode, self.cx.options.keep.owner.are_kept().then_some((attrs.uid, attrs.gid)))
    }

    /// Starts the copy of one entry into `above` as `name`.
    pub(super) fn copy_entry<'s>(
        &'s self,
        worker: Worker<'_, 's>,
        (t, e): EntryIndex,
        above: &Arc<DirNode>,
        name: &Name,
    ) {
        let entry = &self.cx.run.mapping.targets[t].entries[e];
        self.visited[t][e].store(true, Ordering::Relaxed);
        let target = number(t);
        let failed = |operation, errno| {
            self.cx.problem(target, Problem::failed(entry.dst.clone(), ProblemKind::Unreadable, operation, errno));
        };
        let handle = match EntryHandle::new(&self.source.root, entry) {
            Ok(handle) => handle,
            Err((operation, errno)) => return failed(operation, errno),
        };
        let stat = handle.stat;
        if stat.kind == Kind::Directory {
            let src = match handle.open_dir() {
                Ok(src) => src,
                Err((operation, errno)) => {
                    failed(operation, errno);
                    if let Some(at) = self.index.find(&entry.src)
                        && let Some(below) = self.index.first_below(&self.cx.run.mapping, at, &entry.dst)
                    {
                        self.copy_on_the_way(worker, DeclaredBelow { entry: below, at }, above, name);
                    }
                    return;
                }
            };
            let src = SourceNode::entry(&self.source.root, &entry.real, src, &stat, &self.source.budget);
            let position =
                SourcePosition { cursor: self.index.find(&entry.src), share: self.rules.groups.share((t, e)) };
            let tree = Subtree { src, stat, position, explicit: entry.explicit(), is_mount_point: false };
            let Some(dir) = self.enter(TargetName { above, name, target }, tree) else { return };
            return scheduler::start(self, worker, dir);
        }
        self.copy_entry_leaf((t, e), above, name, &handle);
    }

    fn copy_entry_leaf(&self, (t, e): EntryIndex, above: &Arc<DirNode>, name: &Name, handle: &EntryHandle) {
        let entry = &self.cx.run.mapping.targets[t].entries[e];
        let target = number(t);
        let failed = |operation, errno| {
            self.cx.problem(target, Problem::failed(entry.dst.clone(), ProblemKind::Unreadable, operation, errno));
        };
        let (stat, Some(last)) = (handle.stat, entry.real.last()) else { return };
        let (src, dev) = match open_above(&self.source.root, entry, &self.source.budget) {
            Ok(opened) => opened,
            Err((operation, errno)) => return failed(operation, errno),
        };
        let volume = self.source.volume(dev, || src.open());
        let dir = Arc::new(OpenDir {
            node: Arc::clone(above),
            src,
            dev,
            volume,
            position: SourcePosition { cursor: None, share: self.rules.groups.share((t, e)) },
            renamed: Some(last.clone()),
        });
        let own = Override { target: Some(target), explicit: entry.explicit(), ..Override::default() };
        let reader = self.cx.records.reader();
        let leaf = CopyEntry { dir: &dir, name, own, reader: reader.as_ref(), recorded: &RowAnswer::Unasked };
        if stat.kind == Kind::File {
            match handle.open_file() {
                Ok(fd) => self.leaves.copy_regular(&leaf, &OpenSource::new(fd, stat), None),
                Err((operation, errno)) => failed(operation, errno),
            }
        } else if &last == name {
            self.leaves.copy(&leaf, stat.kind);
        } else {
            self.cx.problem(
                target,
                Problem::new(entry.dst.clone(), ProblemKind::Unsupported, Detail::NotRenamed(stat.kind.words())),
            );
        }
        if let Some(reader) = reader {
            self.cx.records.give_back(reader);
        }
    }
}

/// The directory of the backup that the parent `path` of `target` mirrors, if it is there.
pub(crate) fn source_of_parent(
    source: &Root,
    target: &Target,
    path: &RelPath,
    src: Option<&RelPath>,
) -> Result<Option<(OwnedFd, Stat)>, Errno> {
    let mirrored = || path.strip_prefix(&target.to).map(|below| target.from.join_path(&below));
    let Some(src) = src.cloned().or_else(mirrored) else { return Ok(None) };
    let opened = source.open_in(&src, OFlags::RDONLY | OFlags::DIRECTORY);
    match opened.and_then(|fd| Ok((stat_fd(&fd)?, fd))) {
        Ok((stat, fd)) => Ok(Some((fd, stat))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The number of a target of the plan in the journal.
pub(super) fn number(target: usize) -> u32 {
    u32::try_from(target).unwrap_or(u32::MAX)
}

fn first_target(layout: &DstNode) -> u32 {
    let mut node = Some(layout);
    while let Some(here) = node {
        if let Some(target) = here.parent_of.or(here.entry.map(|(t, _)| t)) {
            return number(target);
        }
        node = here.children.values().next();
    }
    0
}
