//! One directory: enter it, hand out its entries in batches, leave it when all
//! of them are finished.

use super::birth::is_temporary;
use super::node::{DirNode, Dress, Leave, NewNode};
use super::source::SourceNode;
use super::trust::{Guard, is_newborn, is_skeleton, may_dress};
use super::{Engine, Override};
use crate::durable::Written;
use crate::journal::{Reader, Row, SourceId, State};
use crate::loss::Loss;
use crate::meta::{self, Actual, Wanted};
use crate::path::{Name, RelPath};
use crate::problem::{Problem, ProblemKind};
use crate::progress::counters::add;
use crate::sys::Errno;
use crate::sys::dir::{DirEntry, TargetDir, read_batches};
use crate::sys::stat::{Kind, Stat, Time};
use crate::sys::xattr::Holder;
use rayon::Scope;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// A source directory and the target directory that it goes to.
#[derive(Debug)]
pub(super) struct OpenDir {
    pub(super) node: Arc<DirNode>,
    pub(super) src: Arc<SourceNode>,
    /// Device number of the source.
    pub(super) dev: u64,
    pub(super) place: Place,
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
    /// A recursive fixup that covers everything below.
    pub(super) fixup: Option<usize>,
}

/// Entries that are read from a directory at once; sorted by inode they are
/// read in about the order in which they lie on the medium.
const READ: usize = 2048;
/// Names of one task: enough to pay for the task, few enough to share out.
const TASK: usize = 64;

impl Engine {
    /// Copies everything in `dir`, whose node is held by the caller's task.
    pub(super) fn fill_directory<'s>(&'s self, scope: &Scope<'s>, dir: &Arc<OpenDir>, inline: u32) {
        let opened = dir.src.open();
        let read = opened.and_then(|src| {
            read_batches(&*src, READ, |mut batch| {
                batch.sort_unstable_by_key(|entry| entry.ino);
                let (mut directories, mut others) = (Vec::new(), Vec::new());
                for entry in batch {
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
                    self.spawn(scope, inline, move |engine, scope, _| {
                        engine.copy_names(scope, &dir, task);
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

    fn copy_names<'s>(&'s self, scope: &Scope<'s>, dir: &Arc<OpenDir>, names: Vec<(Name, Kind)>) {
        let reader = self.reader_for(dir);
        for (name, kind) in names {
            if self.stop.is_set() {
                return;
            }
            if self.is_other_entry(scope, dir, &name) || self.is_excluded(dir, &name, false) {
                continue;
            }
            if is_temporary(&name) {
                let message = "the name is reserved for unfinished copies; rename it in the backup";
                let problem = Problem::new(dir.node.path().join(&name), ProblemKind::Unsupported, message);
                self.problem(dir.node.target, problem);
                continue;
            }
            self.copy_leaf(dir, &name, kind, reader.as_ref().and_then(LentReader::get));
        }
    }

    fn copy_subdirectory<'s>(&'s self, scope: &Scope<'s>, above: &Arc<OpenDir>, name: &Name, inline: u32) {
        if self.stop.is_set() || self.is_other_entry(scope, above, name) || self.is_excluded(above, name, true) {
            return;
        }
        let path = || above.node.path().join(name);
        let target = above.node.target;
        let opened = above.src.open_dir(name).and_then(|src| src.stat().map(|stat| (src, stat)));
        let (src, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.problem(target, Problem::failed(path(), ProblemKind::Unreadable, "open the directory", errno));
                return;
            }
        };
        if stat.mount_root && !self.options.cross_mounts {
            return self.skip_mount(target, path(), &src, &stat, above.dev);
        }
        if stat.dev != above.dev && !stat.mount_root {
            self.note_subvolume(&path(), &src, &stat);
        }
        let cursor = above.place.cursor.and_then(|at| self.sources.child(at, name));
        let place = Place { cursor, fixup: above.place.fixup };
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
        mut place: Place,
        own: Override,
    ) -> Option<Arc<OpenDir>> {
        let path = || above.path().join(name);
        let target = own.target.unwrap_or(above.target);
        add(&self.tally(target).directories, 1);
        let attributes = match src.open() {
            Ok(src) => self.source_attributes(target, Holder::file(&src), stat, path),
            Err(errno) => {
                self.problem(target, Problem::failed(path(), ProblemKind::Unreadable, "open the directory", errno));
                return None;
            }
        };
        let mut wanted = Wanted::from_source(stat, attributes, self.options.keep);
        wanted.override_with(own.uid, own.gid, own.mode);
        let fixup = self.fix_up(&mut wanted, above, name, &mut place);
        let source = Some(SourceId::of(stat));
        let node = self.make(above, name, target, Leaving { wanted, source, fixup, counted: true })?;
        Some(Arc::new(OpenDir { node, src, dev: stat.dev, place }))
    }

    /// Makes or opens the target directory and its node.
    pub(super) fn make(
        &self,
        above: &Arc<DirNode>,
        name: &Name,
        target: u32,
        mut leaving: Leaving,
    ) -> Option<Arc<DirNode>> {
        let failed = |operation, errno| {
            let path = above.path().join(name);
            self.target_failed(target, path, operation, errno);
        };
        let found = self.find_or_make(above, name).map_err(|errno| failed("create the directory", errno));
        let (opened, fresh) = found.ok()?;
        let recorded = self.prior(above, name);
        // Made anew, it keeps its id: what the journal lists in it is copied again, and must not be orphaned.
        let id = recorded.as_ref().and_then(|row| row.id).unwrap_or_else(|| self.new_id());
        let prior = recorded.filter(|_| !fresh);
        match opened.stat() {
            Ok(stat) if self.state == Some((stat.dev, stat.ino)) => {
                self.problems.note(format!(
                    "{}: the backup's own state of persistcp is not copied over this run's",
                    above.path().join(name)
                ));
                return None;
            }
            // Only in a passage that others may write in could somebody put it there.
            Ok(stat) if fresh && self.options.keep.owner && !above.disk.bare && !is_newborn(&stat) => {
                failed("another took the place of the new directory", Errno::STALE);
                return None;
            }
            Ok(stat) if !fresh && !self.may_dress(above, name, (&opened, &stat), &leaving.wanted, prior.as_ref()) => {
                let message = format!(
                    "a directory of user {} and mode {:04o} stands there, not one of this plan's, and others may have put \
                     it there; look at it, move it away and run again",
                    stat.uid, stat.mode
                );
                self.problem(target, Problem::new(above.path().join(name), ProblemKind::Owner, message));
                return None;
            }
            Ok(stat) => self.lift_sticky(&opened, &stat, prior.as_ref()),
            Err(errno) => {
                failed("look at", errno);
                return None;
            }
        }
        if fresh {
            // What the backup does not have gets no attributes, and inherits none either.
            leaving.wanted.xattrs.get_or_insert_default();
        }
        let known = prior.is_some();
        let leave = Leave::Dress(Box::new(Dress {
            wanted: leaving.wanted,
            source: leaving.source,
            prior,
            fixup: leaving.fixup,
            counted: leaving.counted,
        }));
        self.node(above, name, target, id, fresh, leave, opened, !known).map_err(|e| failed("look at", e)).ok()
    }

    /// Whether the directory that was found under `name` is to be dressed. One that
    /// two names of the plan come to was moved between them.
    fn may_dress(
        &self,
        above: &DirNode,
        name: &Name,
        opened: (&TargetDir, &Stat),
        wanted: &Wanted,
        prior: Option<&Row>,
    ) -> bool {
        let (opened, stat) = opened;
        let claimed = || {
            let reader = self.reader();
            let others =
                reader.as_ref().and_then(|r| self.ask(r.has_other_directory(stat.ino, above.target, above.id, name)));
            reader.into_iter().for_each(|reader| self.give_back(reader));
            others.unwrap_or(false)
        };
        let first = || {
            let mut seen = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert((stat.dev, stat.ino))
        };
        let dressable = may_dress(above, stat, wanted, prior, claimed) || is_skeleton(opened);
        dressable && (above.guard == Guard::Kept || first())
    }

    /// The target directory as it stands, or made anew; true when it was made.
    fn find_or_make(&self, above: &DirNode, name: &Name) -> Result<(TargetDir, bool), Errno> {
        // Where an earlier run was, most directories stand already, and theirs above stay as they are.
        if !above.fresh {
            match above.open()?.open_dir(name) {
                Err(Errno::NOENT) => {}
                Err(Errno::NOTDIR | Errno::LOOP) => self.make_way(above, name)?,
                opened => return opened.map(|dir| (dir, false)),
            }
        }
        let dir = self.open_to_fill(above)?;
        match dir.make_dir(name) {
            Ok(()) => dir.open_dir(name).map(|made| (made, true)),
            Err(Errno::EXIST) if above.fresh => Err(Errno::NOTUNIQ),
            Err(Errno::EXIST) => dir.open_dir(name).map(|there| (there, false)),
            Err(errno) => Err(errno),
        }
    }

    /// A descriptor to make or rename something with. The journal hears when that
    /// closes a directory that an earlier run had finished.
    pub(super) fn open_to_fill(&self, node: &DirNode) -> Result<Arc<TargetDir>, Errno> {
        let (dir, closed) = node.open_to_fill()?;
        if closed
            && let Leave::Dress(dress) = &node.leave
            && let Some(prior) = dress.prior.as_ref().filter(|row| row.state == State::Done)
        {
            let row = Row { state: State::Open, verified: None, ..prior.clone() };
            let (file_system, bytes, replace, permit) = (node.file_system, 0, None, None);
            self.submit.send(Written { row, file_system, bytes, replace, permit });
        }
        Ok(dir)
    }

    /// Removes what is no directory from a directory's place: the plan owns the
    /// name. A symlink goes itself, never what it points to.
    fn make_way(&self, above: &DirNode, name: &Name) -> Result<(), Errno> {
        let dir = self.open_to_fill(above)?;
        let found = dir.stat_at(name)?;
        self.lift_sticky_at(&dir, above.id, name);
        dir.unlink(name)?;
        self.problems.note(format!("{}: {} was replaced by a directory", above.path().join(name), found.kind.words()));
        Ok(())
    }

    /// The node of an opened target directory; `announce` puts it into the
    /// journal, so that a resume finds the id that its entries refer to.
    #[expect(clippy::too_many_arguments, reason = "the parts of one node, named once")]
    pub(super) fn node(
        &self,
        above: &Arc<DirNode>,
        name: &Name,
        target: u32,
        id: i64,
        fresh: bool,
        leave: Leave,
        opened: TargetDir,
        announce: bool,
    ) -> Result<Arc<DirNode>, Errno> {
        let stat = opened.stat()?;
        let (file_system, disk) = self.file_system(&opened)?;
        let state = if matches!(leave, Leave::Passage) { State::Passage } else { State::Open };
        let new = NewNode {
            parent: Some(Arc::clone(above)),
            name: Some(name.clone()),
            id,
            target,
            file_system,
            disk,
            fresh,
            leave,
        };
        let node = DirNode::new(new, opened, &self.budget)?;
        if announce {
            self.submit.send(Written {
                row: directory_row(&node, state, &stat),
                file_system,
                bytes: 0,
                replace: None,
                permit: None,
            });
        }
        Ok(node)
    }

    fn prior(&self, above: &DirNode, name: &Name) -> Option<Row> {
        let reader = self.reader()?;
        let row = self.ask(reader.find(above.id, name)).flatten();
        self.give_back(reader);
        row.filter(|row| row.id.is_some())
    }

    /// Ends one task of `node`, and leaves it and every parent that this finishes.
    pub(super) fn release(&self, node: Arc<DirNode>) {
        let mut node = Some(node);
        while let Some(here) = node.take() {
            if !here.release() {
                return;
            }
            if here.is_late() {
                self.late.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&here));
            } else {
                self.leave(&here);
            }
            here.close();
            node = here.parent.clone();
        }
    }

    /// Leaves the directories whose entries were renamed into place.
    pub(super) fn leave_late(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        late.iter().for_each(|node| self.leave(node));
    }

    fn leave(&self, node: &DirNode) {
        // A directory that was not finished keeps 0700 and its open row.
        if self.stop.is_set() {
            return;
        }
        let Leave::Dress(dress) = &node.leave else { return };
        let path = || node.path();
        let dir = match node.open() {
            Ok(dir) => dir,
            Err(errno) => return self.target_failed(node.target, path(), "open the finished directory", errno),
        };
        let result = self.dress(node, dress, &dir);
        if let Err(errno) = result {
            self.target_failed(node.target, path(), "finish the directory", errno);
        }
    }

    fn dress(&self, node: &DirNode, dress: &Dress, dir: &TargetDir) -> Result<(), Errno> {
        let tally = self.tally(node.target);
        let now = dir.stat()?;
        if let Some(prior) = dress.prior.as_ref().filter(|p| p.state == State::Done)
            && prior.target_unchanged(&now)
            && is_dressed(&node.path(), &dress.wanted, &now, prior)
        {
            if dress.counted {
                add(&tally.skipped, 1);
            }
            prior.wanted.lost.each().for_each(|loss| self.lost(node, node.path(), loss));
            return Ok(());
        }
        let mut wanted = dress.wanted.clone();
        let stat = self.dress_inode(node, Holder::file(dir), &mut wanted, || node.path())?;
        if let Some(fixup) = dress.fixup {
            self.fixup_changed(fixup);
        }
        if dress.counted {
            // Setting its times again after a change inside is no copy of the directory.
            let same = dress.prior.as_ref().is_some_and(|p| p.state == State::Done && p.source == dress.source);
            add(if same { &tally.skipped } else { &tally.copied }, 1);
        }
        let row = directory_row(node, State::Done, &stat);
        self.submit.send(Written {
            row: Row { wanted, ..row },
            file_system: node.file_system,
            bytes: 0,
            replace: None,
            permit: None,
        });
        Ok(())
    }

    /// A connection for the names of `dir`, where the journal can know any.
    fn reader_for(&self, dir: &OpenDir) -> Option<LentReader<'_>> {
        if dir.node.fresh {
            return None;
        }
        self.reader().map(|reader| LentReader { engine: self, reader: Some(reader) })
    }
}

/// What a directory gets at its end.
pub(super) struct Leaving {
    pub(super) wanted: Wanted,
    pub(super) source: Option<SourceId>,
    pub(super) fixup: Option<usize>,
    pub(super) counted: bool,
}

/// A reader that goes back to the engine's pool.
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
        if let Some(reader) = self.reader.take() {
            self.engine.give_back(reader);
        }
    }
}

/// True when the earlier run gave the directory all that it shall have, but for
/// what its file system cannot hold.
fn is_dressed(path: &RelPath, wanted: &Wanted, now: &Stat, prior: &Row) -> bool {
    let had = &prior.wanted;
    let actual = Actual { stat: now, xattrs: prior.xattrs(), flags: Some(had.flags), project: Some(had.project) };
    let known =
        |p: &Problem| Loss::of_difference(p.kind, p.attribute.as_deref()).is_some_and(|loss| had.lost.contains(loss));
    // The comparison lets further flags pass; one that the source has no more must go.
    had.flags == wanted.flags && meta::compare(path, wanted, actual).iter().all(known)
}

fn directory_row(node: &DirNode, state: State, stat: &Stat) -> Row {
    let (wanted, source) = match &node.leave {
        Leave::Dress(dress) => (dress.wanted.clone(), dress.source),
        Leave::Passage => (Wanted::plain_directory(stat.mode, None), None),
    };
    Row {
        dir: node.parent.as_ref().map_or(0, |p| p.id),
        name: node.name.as_ref().map_or_else(Vec::new, |n| n.as_bytes().to_vec()),
        id: Some(node.id),
        target: node.target,
        state,
        size: 0,
        rdev: 0,
        nlink: stat.nlink,
        source,
        dst_ino: stat.ino,
        // An open directory's ctime is not known yet.
        dst_ctime: if state == State::Done { stat.ctime } else { Time::default() },
        alias: false,
        digest: None,
        link: None,
        wanted,
        verified: None,
    }
}
