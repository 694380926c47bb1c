//! The walk of the backup as the plan selects it. What a name is to the plan (its kind, excluded by
//! a pattern, a mount, an inner entry, a reserved name, its own owner or mode) is decided only here,
//! for two sinks: the copier writes what it is given, the comparison compares it with the target.

use super::events::stop::Stop;
use super::mapping::explicit::{Covering, Explicit};
use super::mapping::index::{EntryIndex, Index, InnerName, Meets, is_barred};
use super::mapping::model::{Entry, Mapping};
use super::meta::Wanted;
use super::tree::budget::FdBudget;
use super::tree::node::{ENTRY, SourceNode};
use super::tree::scheduler::{Tasks, Visitor, Worker};
use super::tree::temporary::is_temporary;
use crate::base::path::{Name, RelPath};
use crate::engine::events::operation::Operation;
use crate::sys::Errno;
use crate::sys::dir::{DirEntry, SourceDir, open_held};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, stat_fd};
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a walk knows of the plan.
#[derive(Clone, Copy)]
pub(crate) struct Selection<'a> {
    pub(crate) plan: &'a Mapping,
    pub(crate) index: &'a Index,
    pub(crate) tasks: &'a Tasks,
    pub(crate) stop: &'a Stop,
    pub(crate) cross_mounts: bool,
}

impl Selection<'_> {
    /// True for the root of a mount that is not to be entered.
    pub(crate) fn bars(&self, stat: &Stat) -> bool {
        is_barred(stat, self.cross_mounts)
    }
}

/// What the plan says of one inode, over what the backup has.
#[derive(Clone, Copy)]
pub(crate) struct PlanOverrides<'a> {
    /// By the entry whose source it is.
    pub(crate) own: Explicit,
    /// By the fixups of its directory, for its name there.
    pub(crate) fixups: (&'a Covering, &'a Name),
    /// By any other of its names.
    pub(crate) group: Explicit,
}

impl PlanOverrides<'_> {
    /// Puts all of it over `wanted`. Returns the last fixup, if the fixups changed something.
    pub(crate) fn put_over(self, wanted: &mut Wanted, plan: &Mapping) -> Option<usize> {
        let Self { own, fixups: (covering, name), group } = self;
        wanted.override_with(own);
        let (said, last) = covering.say(plan, name, wanted.kind);
        let before = (wanted.owner, wanted.mode);
        wanted.override_with(said);
        let changed = last.filter(|_| before != (wanted.owner, wanted.mode));
        // What the plan says of one name of an inode holds for all its names.
        wanted.override_with(group);
        changed
    }
}

/// An entry of the plan as the backup has it, held by a handle: what it is and what is read of it
/// is one inode, and its path is resolved once.
pub(crate) struct EntryHandle {
    fd: OwnedFd,
    pub(crate) stat: Stat,
}

impl EntryHandle {
    /// Takes hold of `entry`. What to do with symlinks at it and on the way to it was decided with
    /// the plan; none is followed here.
    pub(crate) fn new(source: &Root, entry: &Entry) -> Result<Self, EntryError> {
        let opened = source.open_strict(&entry.real, OFlags::PATH | OFlags::NOFOLLOW);
        let fd = opened.map_err(|errno| (Operation::OpenEntry, errno))?;
        let stat = stat_fd(&fd).map_err(|errno| (Operation::StatEntry, errno))?;
        Ok(Self { fd, stat })
    }

    /// The directory, for reading.
    pub(crate) fn open_dir(&self) -> Result<SourceDir, EntryError> {
        let opened = open_held(&self.fd, ENTRY);
        opened.map(SourceDir::from_fd).map_err(|errno| (Operation::OpenEntry, errno))
    }

    /// The regular file, for reading.
    pub(crate) fn open_file(&self) -> Result<OwnedFd, EntryError> {
        let opened = open_held(&self.fd, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
        opened.map_err(|errno| (Operation::OpenEntry, errno))
    }
}

/// What failed at an entry, and how.
type EntryError = (Operation, Errno);

/// The directory of the backup that `entry` is in, and its device.
pub(crate) fn open_above(
    source: &Arc<Root>,
    entry: &Entry,
    budget: &Arc<FdBudget>,
) -> Result<(Arc<SourceNode>, u64), EntryError> {
    let parent = entry.real.parent().unwrap_or_default();
    let opened = source.open_strict(&parent, ENTRY).and_then(|fd| Ok((stat_fd(&fd)?, fd)));
    let (stat, fd) = opened.map_err(|errno| (Operation::OpenDirectory, errno))?;
    Ok((SourceNode::entry(source, &parent, SourceDir::from_fd(fd), &stat, budget), stat.dev))
}

/// Where in the plan a directory is.
#[derive(Clone, Copy)]
pub(crate) struct Position<'d> {
    pub(crate) src: &'d Arc<SourceNode>,
    /// Its node in the plan's tree of sources; `None` off every entry's path.
    pub(crate) cursor: Option<usize>,
    /// The target of the plan that it counts for.
    pub(crate) target: u32,
}

/// What the plan declares below a name.
#[derive(Clone, Copy)]
pub(crate) struct DeclaredBelow {
    /// An entry there.
    pub(crate) entry: EntryIndex,
    /// The name's node in the tree of sources.
    pub(crate) at: usize,
}

/// A directory of the backup that is a part of what is walked.
pub(crate) struct Selected {
    pub(crate) src: SourceDir,
    pub(crate) stat: Stat,
    pub(crate) cursor: Option<usize>,
}

/// What to do with what the plan selects.
pub(crate) trait SelectionSink: Sync {
    /// A directory of the backup and its place on the target.
    type Dir: Send + Sync;
    /// State that is kept while a directory's names are read.
    type Seen;

    fn selection(&self) -> Selection<'_>;
    fn position<'d>(&self, dir: &'d Self::Dir) -> Position<'d>;
    /// The place of a directory, below the root.
    fn path(&self, dir: &Self::Dir) -> RelPath;

    /// At or below `name` there are inner entries, instead of or besides what the walk finds.
    fn inner<'s>(&'s self, worker: Worker<'_, 's>, inner: InnerName, at: usize, place: (&Arc<Self::Dir>, &Name));
    /// A directory on the way to entries cannot be opened.
    fn unopened<'s>(&'s self, _: Worker<'_, 's>, _: DeclaredBelow, _: (&Arc<Self::Dir>, &Name)) {}

    /// Names that are not directories.
    fn leaves(&self, dir: &Arc<Self::Dir>, names: SelectedLeaves<'_, Self>)
    where
        Self: Sized;
    /// A directory; returned, held once, if it is to be entered.
    fn subtree(&self, above: &Arc<Self::Dir>, name: &Name, found: Selected) -> Option<Arc<Self::Dir>>;

    /// A pattern leaves a name out.
    fn excluded(&self, _: &Self::Dir) {}
    /// The name is reserved for unfinished copies.
    fn reserved(&self, _: &Self::Dir, _: &Name) {}
    /// True when the name is in its place on the target already, as nothing but a mount can make it.
    fn is_in_place(&self, dir: &Self::Dir, name: &Name, stat: &Stat) -> bool;
    /// A mount that is not to be entered.
    fn mount(&self, dir: &Self::Dir, name: &Name, opened: (&SourceDir, &Stat));
    /// The directory that it is mounted on, which is all that the plan has of it.
    fn mount_point(&self, above: &Arc<Self::Dir>, name: &Name, found: Selected);
    /// The directory, or `name` in it, could not be read.
    fn failed(&self, dir: &Self::Dir, name: Option<&Name>, what: (Operation, Errno));

    /// The state before the first name of a directory.
    fn seen(&self, dir: &Self::Dir) -> Self::Seen;
    /// A name of the directory that is not an inner entry.
    fn saw(&self, _: &mut Self::Seen, _: &Name) {}
    /// All names of the directory were seen.
    fn saw_all(&self, _: &Self::Dir, _: Self::Seen) {}

    /// As [`Visitor::hold`].
    fn hold(&self, _: &Self::Dir) {}
    /// As [`Visitor::let_go`].
    fn let_go(&self, _: &Arc<Self::Dir>) {}
}

/// The names of a task that the plan selects, until the run ends.
pub(crate) struct SelectedLeaves<'a, S: SelectionSink> {
    sink: &'a S,
    dir: &'a S::Dir,
    names: std::vec::IntoIter<(Name, Kind)>,
}

impl<S: SelectionSink> Iterator for SelectedLeaves<'_, S> {
    type Item = (Name, Kind);

    fn next(&mut self) -> Option<(Name, Kind)> {
        for (name, kind) in self.names.by_ref() {
            if self.sink.selection().stop.is_set() {
                return None;
            }
            if is_excluded(self.sink, self.dir, &name, kind) {
                self.sink.excluded(self.dir);
            } else if is_temporary(&name) {
                self.sink.reserved(self.dir, &name);
            } else {
                return Some((name, kind));
            }
        }
        None
    }
}

/// True when a pattern leaves `name` out.
fn is_excluded<S: SelectionSink>(sink: &S, dir: &S::Dir, name: &Name, kind: Kind) -> bool {
    let target = &sink.selection().plan.targets[sink.position(dir).target as usize];
    // The path is only built if it can matter.
    !target.excluded.is_empty() && target.excludes(&sink.path(dir).join(name), kind)
}

impl<S: SelectionSink> Visitor for S {
    type Dir = S::Dir;
    type Handle = SourceDir;
    /// Names that the walk leaves out, and the sink's state for the others.
    type Reading = (BTreeSet<Name>, S::Seen);

    fn tasks(&self) -> &Tasks {
        self.selection().tasks
    }

    fn is_stopped(&self) -> bool {
        self.selection().stop.is_set()
    }

    fn open(&self, dir: &S::Dir) -> Result<Arc<SourceDir>, Errno> {
        self.position(dir).src.open()
    }

    fn enter<'s>(&'s self, worker: Worker<'_, 's>, above: &Arc<S::Dir>, name: &Name) -> Option<Arc<S::Dir>> {
        let selection = self.selection();
        if selection.stop.is_set() {
            return None;
        }
        if is_excluded(self, above, name, Kind::Directory) {
            self.excluded(above);
            return None;
        }
        let Position { src, cursor, .. } = self.position(above);
        let cursor = cursor.and_then(|at| selection.index.child(at, name));
        match src.open_dir(name).and_then(|src| src.stat().map(|stat| (src, stat))) {
            Ok((src, stat)) if selection.bars(&stat) && !self.is_in_place(above, name, &stat) => {
                self.mount(above, name, (&src, &stat));
                // An entry below it brings the directories on its way.
                if cursor.is_none() {
                    self.mount_point(above, name, Selected { src, stat, cursor });
                }
                None
            }
            Ok((src, stat)) => self.subtree(above, name, Selected { src, stat, cursor }),
            Err(errno) => {
                self.failed(above, Some(name), (Operation::OpenDirectory, errno));
                // Its own names may be unreadable, but not what the plan declares below them.
                if let Some(at) = cursor
                    && let Meets::OnTheWay(entry) =
                        selection.index.meets(selection.plan, at, &self.path(above).join(name))
                {
                    self.unopened(worker, DeclaredBelow { entry, at }, (above, name));
                }
                None
            }
        }
    }

    fn pre_visit<'s>(&'s self, worker: Worker<'_, 's>, dir: &Arc<S::Dir>) -> Self::Reading {
        let (mut left_out, Selection { plan, index, .. }) = (BTreeSet::new(), self.selection());
        let Position { src, cursor, .. } = self.position(dir);
        if let Some(at) = cursor {
            let here = self.path(dir);
            for (name, child) in index.children(at) {
                let enters =
                    |stat: &Stat| !self.selection().bars(stat) && !is_excluded(self, dir, name, Kind::Directory);
                let meets = index.meets(plan, child, &here.join(name));
                let inner = InnerName::of(meets, || src.stat_at(name), enters);
                if inner.is_left_out() {
                    left_out.insert(name.clone());
                }
                if inner != InnerName::Walked {
                    self.inner(worker, inner, child, (dir, name));
                }
            }
        }
        (left_out, self.seen(dir))
    }

    fn sort(&self, dir: &S::Dir, (left_out, seen): &mut Self::Reading, entry: &DirEntry) -> Option<Kind> {
        if left_out.contains(&entry.name) {
            return None;
        }
        self.saw(seen, &entry.name);
        let looked = || self.position(dir).src.stat_at(&entry.name).map(|stat| stat.kind);
        let kind = entry.kind.map_or_else(looked, Ok);
        kind.map_err(|errno| self.failed(dir, Some(&entry.name), (Operation::Stat, errno))).ok()
    }

    fn leaves<'s>(&'s self, _: Worker<'_, 's>, dir: &Arc<S::Dir>, names: Vec<(Name, Kind)>) {
        SelectionSink::leaves(self, dir, SelectedLeaves { sink: self, dir, names: names.into_iter() });
    }

    fn was_read(&self, dir: &S::Dir, (_, seen): Self::Reading, result: Result<(), Errno>) {
        match result {
            Ok(()) if self.is_stopped() => {}
            Ok(()) => self.saw_all(dir, seen),
            Err(errno) => self.failed(dir, None, (Operation::ReadDirectory, errno)),
        }
    }

    fn hold(&self, dir: &S::Dir) {
        SelectionSink::hold(self, dir);
    }

    fn let_go(&self, dir: &Arc<S::Dir>) {
        SelectionSink::let_go(self, dir);
    }
}
