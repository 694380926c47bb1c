//! Everything that is not a directory: skipped when an earlier run finished it,
//! linked when its inode was copied before, copied otherwise.

use super::birth::make_beside;
use super::dir::OpenDir;
use super::file::Source;
use super::link::{Arrived, Claim, Copied, Place, Waiter};
use super::node::DirNode;
use super::{Engine, Override};
use crate::durable::{Replace, Written};
use crate::journal::{Reader, Row, SourceId, State};
use crate::loss::Loss;
use crate::meta::{Attributes, Wanted};
use crate::path::Name;
use crate::problem::{Problem, ProblemKind};
use crate::progress::counters::add;
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use rustix::fd::OwnedFd;
use std::sync::Arc;

/// A name of a group that is still to be seen to.
enum Work {
    Claim(Waiter),
    Link(Waiter, Copied),
}

impl Engine {
    /// Copies one entry of `dir` that is not a directory.
    pub(super) fn copy_leaf(&self, dir: &Arc<OpenDir>, name: &Name, kind: Kind, reader: Option<&Reader>) {
        if kind == Kind::File {
            match self.open_source(dir, name) {
                Some(source) if self.is_barred(&source.stat) => {
                    let path = dir.node.path().join(name);
                    self.skip_mount(dir.node.target, path, &source.fd, &source.stat, dir.dev);
                }
                Some(source) => self.copy_regular(dir, name, &source, reader, Override::default()),
                None => {}
            }
            return;
        }
        match dir.src.stat_at(name) {
            Ok(stat) if self.is_barred(&stat) => {
                let path = dir.node.path().join(name);
                match dir.src.open_handle(name) {
                    Ok(fd) => self.skip_mount(dir.node.target, path, &fd, &stat, dir.dev),
                    Err(errno) => self.problem(
                        dir.node.target,
                        Problem::failed(path, ProblemKind::Unreadable, "open the mount", errno),
                    ),
                }
            }
            Ok(stat) => self.copy_other(dir, name, &stat, reader),
            Err(errno) => {
                let path = dir.node.path().join(name);
                self.problem(dir.node.target, Problem::failed(path, ProblemKind::Unreadable, "look at", errno));
            }
        }
    }

    /// True for the root of a mount that is not to be entered.
    fn is_barred(&self, stat: &Stat) -> bool {
        stat.mount_root && !self.options.cross_mounts
    }

    /// Copies, links or skips an open regular file.
    pub(super) fn copy_regular(
        &self,
        dir: &Arc<OpenDir>,
        name: &Name,
        source: &Source,
        reader: Option<&Reader>,
        own: Override,
    ) {
        let tally = self.tally(own.target.unwrap_or(dir.node.target));
        add(&tally.files, 1);
        add(&tally.bytes, source.stat.size);
        add(&tally.allocated, source.stat.allocated);
        if source.stat.nlink > 1 && own.is_none() {
            dir.node.hold();
            self.copy_linked(Waiter { dir: Arc::clone(dir), name: name.clone(), stat: source.stat });
        } else if let Some(row) = self.done_before(dir, name, &source.stat, own, reader) {
            self.lost_before(&dir.node, name, &row);
            add(&tally.skipped, 1);
            add(&tally.skipped_bytes, source.stat.size);
        } else {
            self.copy_file(dir, name, source, own);
        }
    }

    fn copy_other(&self, dir: &Arc<OpenDir>, name: &Name, stat: &Stat, reader: Option<&Reader>) {
        let tally = self.tally(dir.node.target);
        match stat.kind {
            Kind::Socket => {
                add(&tally.sockets, 1);
                self.problems.note(format!("socket not copied: {}", dir.node.path().join(name)));
                return;
            }
            Kind::Symlink => add(&tally.symlinks, 1),
            Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => add(&tally.special, 1),
            Kind::File | Kind::Directory => {
                let path = dir.node.path().join(name);
                let message = format!("the source changed: {} took the entry's place", stat.kind.words());
                self.problem(dir.node.target, Problem::new(path, ProblemKind::ChangedSource, message));
                return;
            }
        }
        if stat.nlink > 1 {
            dir.node.hold();
            self.copy_linked(Waiter { dir: Arc::clone(dir), name: name.clone(), stat: *stat });
        } else if let Some(row) = self.done_before(dir, name, stat, Override::default(), reader) {
            self.lost_before(&dir.node, name, &row);
            add(&tally.skipped, 1);
        } else {
            self.copy_special(dir, name, stat);
        }
    }

    /// The journal's row, when both sides are as it says.
    fn done_before(
        &self,
        dir: &OpenDir,
        name: &Name,
        stat: &Stat,
        own: Override,
        reader: Option<&Reader>,
    ) -> Option<Row> {
        let row = self.ask(reader?.find(dir.node.id, name)).flatten()?;
        if row.state != State::Done || !row.source_unchanged(stat) {
            return None;
        }
        // The plan may ask for another owner or mode than when the row was written.
        let mut wanted = Wanted::from_source(stat, Attributes::default(), self.options.keep);
        wanted.override_with(own.uid, own.gid, own.mode);
        self.fix_up(&mut wanted, &dir.node, name, &mut dir.place.clone());
        if (wanted.owner, wanted.mode) != (row.wanted.owner, row.wanted.mode) {
            return None;
        }
        let target = dir.node.open().and_then(|target| target.stat_at(name)).ok()?;
        row.target_unchanged(&target).then_some(row)
    }

    /// Copies or links a name whose inode has others, and all names that come to wait for it.
    fn copy_linked(&self, waiter: Waiter) {
        let mut work = vec![Work::Claim(waiter)];
        while let Some(next) = work.pop() {
            let claim = match next {
                Work::Claim(waiter) if self.stop.is_set() => {
                    self.release(Arc::clone(&waiter.dir.node));
                    continue;
                }
                Work::Claim(waiter) => self.links.claim(waiter),
                Work::Link(waiter, copied) => Claim::Link(waiter, copied),
            };
            match claim {
                // The thread that copies the first name releases it.
                Claim::Waits => {}
                Claim::First(waiter) => {
                    self.copy_first(&waiter, &mut work);
                    self.release(Arc::clone(&waiter.dir.node));
                }
                Claim::Link(waiter, copied) => {
                    if !self.stop.is_set() {
                        self.link(&waiter, &copied);
                    }
                    self.release(Arc::clone(&waiter.dir.node));
                }
            }
        }
    }

    /// Brings the first name of a group; those who waited for it become work.
    fn copy_first(&self, waiter: &Waiter, work: &mut Vec<Work>) {
        let (dir, name) = (&waiter.dir, &waiter.name);
        let tally = self.tally(dir.node.target);
        let reader = self.reader();
        let here = self.done_before(dir, name, &waiter.stat, Override::default(), reader.as_ref());
        let elsewhere = if here.is_some() { None } else { self.linked_before(&waiter.stat, reader.as_ref()) };
        if let Some(reader) = reader {
            self.give_back(reader);
        }
        let copied = if let Some(row) = here {
            self.lost_before(&dir.node, name, &row);
            add(&tally.skipped, 1);
            add(&tally.skipped_bytes, waiter.stat.size);
            let place = Place::Node(Arc::clone(&dir.node));
            Some(Copied { place, name: name.clone(), row: Arc::new(row) })
        } else if let Some(copied) = elsewhere {
            self.link(waiter, &copied);
            Some(copied)
        } else {
            match self.copy_alone(waiter) {
                Arrived::Yes(copied) => copied,
                Arrived::No => None,
            }
        };
        match copied {
            Some(copied) => {
                let waiting = self.links.copied(&waiter.stat, copied.clone());
                work.extend(waiting.into_iter().map(|w| Work::Link(w, copied.clone())));
            }
            // The inode lost its other names meanwhile, or the copy failed: the others start anew.
            None => work.extend(self.links.failed(&waiter.stat).into_iter().map(Work::Claim)),
        }
    }

    pub(super) fn copy_alone(&self, waiter: &Waiter) -> Arrived {
        match waiter.stat.kind {
            Kind::File => match self.open_source(&waiter.dir, &waiter.name) {
                Some(source) => self.copy_file(&waiter.dir, &waiter.name, &source, Override::default()),
                None => Arrived::No,
            },
            _ => self.copy_special(&waiter.dir, &waiter.name, &waiter.stat),
        }
    }

    /// A copy of the same inode that an earlier run finished and that still stands.
    fn linked_before(&self, stat: &Stat, reader: Option<&Reader>) -> Option<Copied> {
        let reader = reader?;
        let row = self.ask(reader.find_linked(stat)).flatten()?;
        if !row.source_unchanged(stat) {
            return None;
        }
        let parent = self.ask(reader.path_of(row.dir))?;
        let name = Name::new(&row.name).ok()?;
        let target = self.open_target(&parent).and_then(|dir| dir.stat_at(&name)).ok()?;
        row.target_unchanged(&target).then(|| Copied { place: Place::Path(parent), name, row: Arc::new(row) })
    }

    /// Gives the copied inode its next name; where that cannot be, copies again.
    pub(super) fn link(&self, waiter: &Waiter, copied: &Copied) {
        let (dir, name) = (&waiter.dir, &waiter.name);
        let path = || dir.node.path().join(name);
        let tally = self.tally(dir.node.target);
        let known = {
            let reader = self.reader();
            let known = self.done_before(dir, name, &waiter.stat, Override::default(), reader.as_ref());
            if let Some(reader) = reader {
                self.give_back(reader);
            }
            known
        };
        let from = match &copied.place {
            Place::Node(node) => node.open(),
            Place::Path(path) => self.open_target(path).map(Arc::new),
        };
        let made = from.and_then(|from| {
            let apart = known.as_ref().is_some_and(|row| row.dst_ino != copied.row.dst_ino);
            if apart && is_larger_group(&from, &*dir.node.open()?, copied, name) {
                return Err(Errno::MLINK);
            }
            link_here(&from, &dir.node, copied, name)
        });
        let (temporary, stat) = match (made, known) {
            (Ok((None, _)), Some(_)) => {
                add(&tally.hardlinks, 1);
                add(&tally.skipped, 1);
                add(&tally.skipped_bytes, waiter.stat.size);
                return;
            }
            (Ok(made), _) => made,
            (Err(errno), known) if dir.node.disk.cannot(errno) => {
                if !known.as_ref().is_some_and(|row| row.wanted.lost.contains(Loss::Links)) {
                    self.lost(&dir.node, path(), Loss::Links);
                }
                return match known {
                    Some(known) => self.keep_apart(waiter, known),
                    None => drop(self.copy_apart(waiter)),
                };
            }
            (Err(errno @ (Errno::ISDIR | Errno::NOTUNIQ)), _) => {
                return self.target_failed(dir.node.target, path(), "link", errno);
            }
            (Err(Errno::MLINK), Some(known)) => return self.keep_apart(waiter, known),
            (Err(Errno::MLINK), None) => return self.link_further(waiter, copied),
            (Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::ROFS)), _) => {
                return self.target_failed(dir.node.target, path(), "link", errno);
            }
            (Err(errno), known) => {
                let mut problem = Problem::failed(path(), ProblemKind::Link, "link", errno);
                problem.message.push_str("; it has a copy with an inode of its own instead");
                self.problem(dir.node.target, problem);
                return match known {
                    Some(known) => self.keep_apart(waiter, known),
                    None => drop(self.copy_apart(waiter)),
                };
            }
        };
        let row = Row {
            dir: dir.node.id,
            name: name.as_bytes().to_vec(),
            target: dir.node.target,
            alias: true,
            dst_ctime: stat.ctime,
            verified: None,
            ..(*copied.row).clone()
        };
        add(&tally.hardlinks, 1);
        add(&tally.copied, 1);
        let replace = temporary.map(|temporary| Replace::new(&dir.node, temporary, name));
        self.submit.send(Written { row, file_system: dir.node.file_system, bytes: 0, replace, permit: None });
    }

    /// Makes a symlink, FIFO or device node; none of them is ever opened.
    fn copy_special(&self, dir: &Arc<OpenDir>, name: &Name, stat: &Stat) -> Arrived {
        let node = &dir.node;
        let path = || node.path().join(name);
        let unreadable = |operation, errno| {
            self.problem(node.target, Problem::failed(path(), ProblemKind::Unreadable, operation, errno));
        };
        // From here on the handle is the source: the name may mean something else by now.
        let source = dir.src.open_handle(name).and_then(|handle| Ok((stat_fd(&handle)?, handle)));
        let (stat, handle) = match source {
            Ok((now, handle)) if now.kind == stat.kind => (now, handle),
            Ok(_) => {
                unreadable("the source changed", Errno::STALE);
                return Arrived::No;
            }
            Err(errno) => {
                unreadable("open the source", errno);
                return Arrived::No;
            }
        };
        let attributes = self.source_attributes(node.target, Holder::handle(&handle), &stat, path);
        let link = match stat.kind {
            Kind::Symlink => match file::read_link(&handle) {
                Ok(text) => Some(text),
                Err(errno) => {
                    unreadable("read the symlink", errno);
                    return Arrived::No;
                }
            },
            _ => None,
        };
        let (made, temporary) = match self.make_special(node, name, &stat, link.as_deref()) {
            Ok(made) => made,
            Err(errno) if node.disk.cannot(errno) => {
                self.lost(node, path(), if link.is_some() { Loss::Symlinks } else { Loss::Special });
                return Arrived::No;
            }
            Err(errno) => {
                self.target_failed(node.target, path(), &format!("create {}", stat.kind.words()), errno);
                return Arrived::No;
            }
        };
        let mut wanted = Wanted::from_source(&stat, attributes, self.options.keep);
        let fixup = self.fix_up(&mut wanted, node, name, &mut dir.place.clone());
        fixup.into_iter().for_each(|f| self.fixup_changed(f));
        let made = match self.dress_inode(node, Holder::handle(&made), &mut wanted, path) {
            Ok(made) => made,
            Err(errno) => {
                self.target_failed(node.target, path(), "finish the copy", errno);
                return Arrived::No;
            }
        };
        add(&self.tally(node.target).copied, 1);
        let row = Row {
            dir: node.id,
            name: name.as_bytes().to_vec(),
            id: None,
            target: node.target,
            state: State::Done,
            size: stat.size,
            rdev: stat.rdev,
            nlink: stat.nlink,
            source: Some(SourceId::of(&stat)),
            dst_ino: made.ino,
            dst_ctime: made.ctime,
            alias: false,
            digest: None,
            link,
            wanted,
            verified: None,
        };
        let replace = temporary.map(|temporary| Replace::new(node, temporary, name));
        self.hand_in(node, name, row, 0, replace, None)
    }

    /// Makes the node under its name, or under a temporary one if that is taken,
    /// and comes back with a handle on it. Whoever may write in the directory can
    /// put another inode there before it is held: `STALE` unless it is of the same
    /// make and has no other name, so that dressing it gives nothing away.
    fn make_special(
        &self,
        node: &DirNode,
        name: &Name,
        stat: &Stat,
        link: Option<&[u8]>,
    ) -> Result<(OwnedFd, Option<Name>), Errno> {
        let target = node.open_to_fill()?;
        let make = |name: &Name| match link {
            Some(text) => target.make_symlink(text, name),
            None => target.make_node(name, stat.kind, stat.rdev),
        };
        let ((), temporary) = make_beside(&target, name, node.fresh, make)?;
        if temporary.is_some() {
            self.lift_sticky_at(&target, node.id, name);
        }
        let handle = target.open_handle(temporary.as_ref().unwrap_or(name))?;
        let made = stat_fd(&handle)?;
        let same = made.kind == stat.kind
            && made.nlink == 1
            && match link {
                Some(text) => file::read_link(&handle)? == text,
                None => made.rdev == stat.rdev || stat.kind == Kind::Fifo,
            };
        if same { Ok((handle, temporary)) } else { Err(Errno::STALE) }
    }
}

/// True when the inode that has `name` has more names than the copied one: an
/// earlier run came to the limit, and nobody gains if they all move over.
fn is_larger_group(from: &TargetDir, to: &TargetDir, copied: &Copied, name: &Name) -> bool {
    let names = |dir: &TargetDir, name| dir.stat_at(name).map_or(0, |stat| stat.nlink);
    names(to, name) > names(from, &copied.name)
}

/// Links `copied` to `name` in `node`, or under a temporary name when something
/// else has the name. Comes back with that and the inode as it now is.
fn link_here(from: &TargetDir, node: &DirNode, copied: &Copied, name: &Name) -> Result<(Option<Name>, Stat), Errno> {
    let ours = |stat: &Stat| stat.ino == copied.row.dst_ino && stat.kind == copied.row.kind();
    if !node.fresh
        && let Ok(there) = node.open()?.stat_at(name)
        && ours(&there)
    {
        return Ok((None, there));
    }
    let to = &*node.open_to_fill()?;
    // A replacement has its temporary name until its epoch is sealed, then its own.
    let link_as = |new: &Name| match to.link_from(from, &copied.name, new) {
        Err(Errno::NOENT) => match Name::new(&copied.row.name) {
            Ok(settled) => to.link_from(from, &settled, new),
            Err(_) => Err(Errno::NOENT),
        },
        result => result,
    };
    let ((), temporary) = make_beside(to, name, node.fresh, link_as)?;
    let at = temporary.as_ref().unwrap_or(name);
    let stat = to.stat_at(at)?;
    if ours(&stat) {
        return Ok((temporary, stat));
    }
    // Somebody swapped the first copy: what was linked is not ours.
    to.unlink(at)?;
    Err(Errno::STALE)
}
