//! From the root down to the entries: directories on the way, their parents'
//! metadata, and the start of each entry's walk.

use super::dir::{OpenDir, Place};
use super::file::Source;
use super::node::{DirNode, NewNode, PostVisit};
use super::pre_visit::NewDirectory;
use super::{Engine, Override};
use crate::base::path::{Name, RelPath};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::stop::Reason;
use crate::engine::journal::{SourceId, State};
use crate::engine::mapping::explicit::Covering;
use crate::engine::mapping::index::EntryIndex;
use crate::engine::mapping::layout::DstNode;
use crate::engine::mapping::model::{Attrs, Target};
use crate::engine::meta::Wanted;
use crate::engine::meta::mark::Mark;
use crate::engine::tree::node::{ENTRY, SourceNode};
use crate::engine::tree::scheduler::{self, Worker};
use crate::sys::dir::{SourceDir, open_target};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, errno_words};
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
        let opened = open_target(&self.plan.root, &RelPath::root()).and_then(|dir| {
            let (file_system, disk) = self.file_system(&dir)?;
            let new = NewNode {
                parent: None,
                name: None,
                id: 0,
                target: 0,
                file_system,
                disk,
                fresh: false,
                covering: Covering::of(&self.plan, &RelPath::root()),
                post_visit: PostVisit::Nothing,
                mark: Mark::None,
            };
            DirNode::root(new, dir, &self.budget)
        });
        match opened {
            Ok(root) => {
                self.build_below(worker, layout, &root);
                self.release(root);
            }
            Err(errno) => {
                let root = self.plan.root.display();
                self.stop.set(Reason::Fatal(format!("{root}: open: {}", errno_words(errno))));
            }
        }
    }

    fn build_below<'s>(&'s self, worker: Worker<'_, 's>, layout: &DstNode, above: &Arc<DirNode>) {
        for (name, child) in &layout.children {
            if self.stop.is_set() {
                return;
            }
            // Entries below an entry are seen to by its walk.
            if let Some(entry) = child.entry {
                self.copy_entry(worker, entry, above, name);
                continue;
            }
            let node = match child.parent_of {
                Some(target) => self.parent(above, name, target, None),
                None => self.ancestor(above, name, child),
            };
            if let Some(node) = node {
                self.build_below(worker, child, &node);
                self.release(node);
            }
        }
    }

    /// A directory between the root and a target's `to`: left alone when it
    /// exists, root's and 0755 when it has to be made.
    fn ancestor(&self, above: &Arc<DirNode>, name: &Name, layout: &DstNode) -> Option<Arc<DirNode>> {
        let target = first_target(layout);
        let existing = above.open().and_then(|dir| dir.open_dir(name));
        match existing {
            // One that an earlier run made is this plan's.
            Ok(_) if self.prior(above, name).is_some_and(|row| row.state != State::Ancestor) => {
                self.make_ancestor(above, name, target)
            }
            Ok(dir) => {
                let known = self.prior(above, name).and_then(|row| row.id);
                let id = known.unwrap_or_else(|| self.new_id());
                self.node(above, name, target, id, false, (PostVisit::Nothing, Mark::None), dir, known.is_none())
                    .map_err(|e| self.target_failed(target, above.path().join(name), "look at", e))
                    .ok()
            }
            Err(Errno::NOENT) => self.make_ancestor(above, name, target),
            Err(errno) => {
                self.target_failed(target, above.path().join(name), "open the directory", errno);
                None
            }
        }
    }

    fn make_ancestor(&self, above: &Arc<DirNode>, name: &Name, target: u32) -> Option<Arc<DirNode>> {
        let mut wanted = self.plain(Attrs { uid: 0, gid: 0, mode: 0o755 });
        let fixup = self.put_plan_over(&mut wanted, Override::default(), above, name);
        self.make(above, name, target, NewDirectory { wanted, source: None, fixup, counted: false })
    }

    /// `to` or a directory between it and an entry: as in the backup, if it is
    /// there, else as the plan's `parents` say. `src` is its path there where the target's
    /// `from` and `to` do not tell.
    pub(super) fn parent(
        &self,
        above: &Arc<DirNode>,
        name: &Name,
        target: usize,
        src: Option<&RelPath>,
    ) -> Option<Arc<DirNode>> {
        let plan = &self.plan.targets[target];
        let index = u32::try_from(target).unwrap_or(u32::MAX);
        let path = above.path().join(name);
        let (mut wanted, id) = match source_of_parent(&self.source, plan, &path, src) {
            Ok(Some((fd, stat))) => {
                let attributes =
                    self.source_attributes(index, Holder::file(&fd), &stat, || Root::again(&fd).ok(), || path.clone());
                let id = SourceId::of_whole(&stat, &self.volume(stat.dev, || Ok(&fd)), &attributes);
                (Wanted::from_source(&stat, attributes, &self.options.keep), id)
            }
            Ok(None) => (self.plain(plan.parents), None),
            Err(errno) => {
                self.problem(index, Problem::failed(path, ProblemKind::Unreadable, "look at the parent", errno));
                (self.plain(plan.parents), None)
            }
        };
        let fixup = self.put_plan_over(&mut wanted, Override::default(), above, name);
        crate::engine::events::counters::add(&self.tally(index).directories, 1);
        self.make(above, name, index, NewDirectory { wanted, source: id, fixup, counted: true })
    }

    fn plain(&self, attrs: Attrs) -> Wanted {
        Wanted::plain_directory(attrs.mode, self.options.keep.owner.are_kept().then_some((attrs.uid, attrs.gid)))
    }

    /// Starts the copy of one entry into `above` as `name`. What became of symlinks at the entry
    /// and on the way to it was decided with the plan; none is followed here.
    pub(super) fn copy_entry<'s>(
        &'s self,
        worker: Worker<'_, 's>,
        (t, e): EntryIndex,
        above: &Arc<DirNode>,
        name: &Name,
    ) {
        let entry = &self.plan.targets[t].entries[e];
        self.visited[t][e].store(true, Ordering::Relaxed);
        let target = u32::try_from(t).unwrap_or(u32::MAX);
        let own = Override { target: Some(target), explicit: entry.explicit(), ..Override::default() };
        let failed = |operation, errno| {
            self.problem(target, Problem::failed(entry.dst.clone(), ProblemKind::Unreadable, operation, errno));
        };
        let handle = self.source.open_strict(&entry.real, OFlags::PATH | OFlags::NOFOLLOW);
        let kind = match handle.and_then(stat_fd) {
            Ok(stat) => stat.kind,
            Err(errno) => return failed("open the entry", errno),
        };
        if kind == Kind::Directory {
            let opened = self.source.open_strict(&entry.real, ENTRY);
            let src = match opened {
                Ok(fd) => SourceDir::from_fd(fd),
                Err(errno) => {
                    failed("open the entry", errno);
                    if let Some(at) = self.index.find(&entry.src)
                        && let Some(below) = self.index.first_below(&self.plan, at, &entry.dst)
                    {
                        self.copy_on_the_way(worker, below, at, above, name);
                    }
                    return;
                }
            };
            let stat = match src.stat() {
                Ok(stat) => stat,
                Err(errno) => return failed("look at the entry", errno),
            };
            let src = SourceNode::entry(&self.source, &entry.real, src, &stat, &self.source_budget);
            let place = Place { cursor: self.index.find(&entry.src), share: self.groups.share((t, e)) };
            let Some(dir) = self.enter(above, name, src, &stat, place, own) else { return };
            return scheduler::start(self, worker, dir);
        }
        self.copy_entry_leaf((t, e), above, name, kind, own);
    }

    fn copy_entry_leaf(&self, (t, e): EntryIndex, above: &Arc<DirNode>, name: &Name, kind: Kind, own: Override) {
        let entry = &self.plan.targets[t].entries[e];
        let target = u32::try_from(t).unwrap_or(u32::MAX);
        let failed = |operation, errno| {
            self.problem(target, Problem::failed(entry.dst.clone(), ProblemKind::Unreadable, operation, errno));
        };
        let (Some(parent), Some(last)) = (entry.real.parent(), entry.real.last()) else { return };
        let opened = self.source.open_strict(&parent, ENTRY);
        let (src, stat) = match opened.and_then(|fd| Ok((stat_fd(&fd)?, fd))) {
            Ok((stat, fd)) => (SourceDir::from_fd(fd), stat),
            Err(errno) => return failed("open the directory", errno),
        };
        let src = SourceNode::entry(&self.source, &parent, src, &stat, &self.source_budget);
        let volume = self.volume(stat.dev, || src.open());
        let dir = Arc::new(OpenDir {
            node: Arc::clone(above),
            src,
            dev: stat.dev,
            volume,
            place: Place { cursor: None, share: self.groups.share((t, e)) },
            renamed: Some(last.clone()),
        });
        let reader = self.reader();
        if kind == Kind::File {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
            let opened =
                self.source.open_strict(&entry.real, flags).and_then(|fd| Ok(Source { stat: stat_fd(&fd)?, fd }));
            match opened {
                Ok(source) if source.stat.kind == Kind::File => {
                    self.copy_regular(&dir, name, &source, None, (own, reader.as_ref()));
                }
                Ok(_) => failed("open the entry", Errno::STALE),
                Err(errno) => failed("open the entry", errno),
            }
        } else if &last == name {
            self.copy_leaf(&dir, name, kind, reader.as_ref(), own);
        } else {
            let words = kind.words();
            let message = format!("a map can rename a directory or a regular file, not {words}; not copied");
            self.problem(target, Problem::new(entry.dst.clone(), ProblemKind::Unsupported, message));
        }
        if let Some(reader) = reader {
            self.give_back(reader);
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

fn first_target(layout: &DstNode) -> u32 {
    let mut node = Some(layout);
    while let Some(here) = node {
        if let Some(target) = here.parent_of.or(here.entry.map(|(t, _)| t)) {
            return u32::try_from(target).unwrap_or(u32::MAX);
        }
        node = here.children.values().next();
    }
    0
}
