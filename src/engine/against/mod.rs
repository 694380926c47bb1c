//! `--against source`: the target compared with the backup itself.
//!
//! A walk of its own over the backup makes the row that a copier would write for
//! each entry today, content hashed anew by ordinary reads, and gives it to the
//! verifier in the place of the journal's. The journal is asked for what the
//! target's file system could not hold and which names became one inode; what
//! differs is marked there, so that the next run copies it again.

mod alike;
mod expect;
mod sink;

use super::compare::differences::{CheckedDir, unreachable};
use super::copy::parents::source_of_parent;
use super::driver::Drivers;
use super::events::counters::add;
use super::events::kind::ProblemKind;
use super::events::problem::Problem;
use super::events::stop::StopReason;
use super::groups::{GroupKey, Groups};
use super::journal::{self, Journal, JournalError, Row, State};
use super::mapping::explicit::Explicit;
use super::mapping::index::{EntryIndex, Index, WayStep, source_on_the_way};
use super::mapping::layout::DstNode;
use super::mapping::model::{Entry, Presence};
use super::mapping::{explicit, layout};
use super::meta::{Keep, Wanted};
use super::selection::DeclaredBelow;
use super::tree::budget::FdBudget;
use super::tree::node::{ENTRY, SourceNode, TargetNode};
use super::tree::scheduler::{self, BATCH, Tasks, Worker};
use super::tree::walk::WalkOptions;
use super::verify::extra::{ExtraNames, Listed};
use super::verify::{Looked, Subject, Verifier};
use super::volume::Volumes;
use crate::base::path::{Name, RelPath};
use crate::engine::events::detail::{Detail, List};
use crate::engine::events::operation::Operation;
use crate::sys::Errno;
use crate::sys::dir::{SourceDir, TargetDir, open_target, read_batches};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, stat_fd};
use crate::sys::xattr::Holder;
use alike::Alike;
use expect::{BackupEntry, LeafPair};
use rayon::Scope;
use rustix::fs::OFlags;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

/// What a comparison is made of.
pub struct Comparison<'a> {
    /// Looks at the target and counts.
    pub verifier: &'a Verifier,
    /// The backup.
    pub source: &'a Arc<Root>,
    /// Which names are links of one another.
    pub groups: &'a Groups,
    /// What of the metadata was to be kept.
    pub keep: Keep,
    /// Mounts inside the source are compared as well.
    pub cross_mounts: bool,
    /// How to walk.
    pub means: WalkOptions,
}

/// A comparison at work.
struct ComparisonWalk<'a> {
    of: &'a Comparison<'a>,
    index: Index,
    /// Every directory that some entry's destination is or lies in.
    landings: HashSet<RelPath>,
    /// The target inode of each linked source inode that the journal does not know.
    linked: Mutex<HashMap<GroupKey, u64>>,
    drivers: Drivers,
    volumes: Volumes,
    alike: Alike,
    tasks: Tasks,
    source_budget: Arc<FdBudget>,
    target_budget: Arc<FdBudget>,
}

/// A directory of the backup and its place on the target.
struct ComparedDir {
    src: Arc<SourceNode>,
    dst: Arc<TargetNode>,
    /// Below the root.
    path: RelPath,
    target: u32,
    /// Its id in the journal.
    id: Option<i64>,
    cursor: Option<usize>,
    /// Number of the share within which names of one inode are links.
    share: u32,
    dev: u64,
}

impl Drop for ComparedDir {
    fn drop(&mut self) {
        self.src.close();
        self.dst.close();
    }
}

/// Both sides of a directory, open.
struct DirPair {
    src: Arc<SourceDir>,
    dst: Arc<TargetDir>,
}

impl Comparison<'_> {
    /// Compares every entry of the plan.
    pub fn run(&self, journal: &Journal) -> Result<(), JournalError> {
        let reader = self.verifier.prepare(journal)?;
        let plan = &self.verifier.run.mapping;
        let mut landings = HashSet::new();
        for entry in plan.targets.iter().flat_map(|t| &t.entries) {
            let mut at = Some(entry.dst.clone());
            while let Some(path) = at.filter(|path| !landings.contains(path)) {
                at = path.parent();
                landings.insert(path);
            }
        }
        let walk = ComparisonWalk {
            of: self,
            index: Index::new(plan),
            landings,
            linked: Mutex::default(),
            drivers: Drivers::new(self.source),
            volumes: Volumes::new(journal.reader()?.volumes()?),
            alike: Alike::default(),
            tasks: Tasks::new(self.means.inline),
            source_budget: FdBudget::new(self.means.directories),
            target_budget: FdBudget::new(self.means.directories),
        };
        let pool = crate::engine::tree::pool::start(self.means.threads, "compare");
        match pool {
            Ok(pool) => pool.scope(|scope| {
                walk.parents(&layout::destinations(plan, |_| true), &RelPath::root());
                walk.entries(scope);
            }),
            Err(error) => {
                self.verifier.run.stop.set(StopReason::Fatal(error));
            }
        }
        walk.drivers.notes().into_iter().for_each(|note| self.verifier.run.problems.note(note));
        walk.alike.problems().into_iter().for_each(|(target, problem)| self.verifier.problem(target, problem));
        self.verifier.groups(&reader)
    }
}

impl<'a> ComparisonWalk<'a> {
    fn verifier(&self) -> &'a Verifier {
        self.of.verifier
    }

    fn unreadable(&self, target: u32, path: RelPath, operation: Operation, errno: Errno) {
        self.verifier().problem(target, Problem::failed(path, ProblemKind::Unreadable, operation, errno));
    }

    /// The directories between a target's `to` and its entries.
    fn parents(&self, layout: &DstNode, above: &RelPath) {
        for (name, child) in &layout.children {
            // Below an entry they are its own.
            if child.entry.is_some() {
                continue;
            }
            let path = above.join(name);
            if let Some(target) = child.parent_of {
                self.parent(target, &path, None);
            }
            self.parents(child, &path);
        }
    }

    fn parent(&self, target: usize, path: &RelPath, src: Option<&RelPath>) {
        let (Some(above), Some(name)) = (path.parent(), path.last()) else { return };
        let (above, name) = (&above, &name);
        let plan = &self.verifier().run.mapping.targets[target];
        let target = u32::try_from(target).unwrap_or(u32::MAX);
        let owner = self.of.keep.owner.are_kept().then_some((plan.parents.uid, plan.parents.gid));
        let mut plain = Wanted::plain_directory(plan.parents.mode, owner);
        let dst = match open_target(&self.verifier().run.mapping.root, above) {
            Ok(dst) => dst,
            Err(errno) => return self.not_there(target, path, errno),
        };
        let row = match source_of_parent(self.of.source, plan, path, src) {
            Ok(Some((fd, stat))) => {
                let (dir, holder) = (self.id_of(above), Holder::file(&fd));
                let (share, own) = (0, Explicit::default());
                self.expected(
                    &BackupEntry { name, path, target, dir, share, stat: &stat, holder, near: None, own },
                    &dst,
                )
            }
            Ok(None) => {
                plain.override_with(explicit::of_path(&self.verifier().run.mapping, path, Kind::Directory));
                // What an earlier run recorded of such a parent is all there is.
                match self.recorded(self.id_of(above), name) {
                    Some(mut row) => {
                        plain.give_up(&row.wanted);
                        row.wanted = plain;
                        row
                    }
                    None => return,
                }
            }
            Err(errno) => return self.unreadable(target, path.clone(), Operation::StatParent, errno),
        };
        self.look(&dst, above, name, row);
    }

    fn entries<'s>(&'s self, scope: &Scope<'s>) {
        let plan = &self.verifier().run.mapping;
        for (t, target) in plan.targets.iter().enumerate() {
            for (e, entry) in target.entries.iter().enumerate().filter(|(_, e)| e.presence == Presence::Present) {
                scope.spawn(move |scope| self.entry(Worker::new(scope), (t, e), entry));
            }
        }
    }

    fn entry<'s>(&'s self, worker: Worker<'_, 's>, (t, e): EntryIndex, entry: &Entry) {
        let (target, share) = (u32::try_from(t).unwrap_or(u32::MAX), self.of.groups.share((t, e)));
        let (Some(above), Some(name)) = (entry.dst.parent(), entry.dst.last()) else { return };
        let failed = |operation, errno| self.unreadable(target, entry.dst.clone(), operation, errno);
        let handle = self.of.source.open_strict(&entry.real, OFlags::PATH | OFlags::NOFOLLOW);
        let kind = match handle.and_then(stat_fd) {
            Ok(stat) => stat.kind,
            Err(errno) => return failed(Operation::OpenEntry, errno),
        };
        let own = entry.explicit();
        let dst = match open_target(&self.verifier().run.mapping.root, &above) {
            Ok(dst) => dst,
            Err(errno) => return self.not_there(target, &entry.dst, errno),
        };
        let id = self.id_of(&above);
        if kind == Kind::Directory {
            let opened = self.of.source.open_strict(&entry.real, ENTRY).and_then(|fd| Ok((stat_fd(&fd)?, fd)));
            match opened {
                Ok((stat, fd)) => {
                    let holder = Holder::file(&fd);
                    let (name, path, near) = (&name, &entry.dst, None);
                    let seen = BackupEntry { name, path, target, dir: id, share, stat: &stat, holder, near, own };
                    let id = self.directory(&seen, &above, &dst);
                    // Where there is no such directory, that is reported already.
                    let Ok(dst) = dst.open_dir(name).and_then(|dst| self.on_target(path, dst)) else { return };
                    let src = SourceDir::from_fd(fd);
                    let src = SourceNode::entry(self.of.source, &entry.real, src, &stat, &self.source_budget);
                    let (path, cursor) = (path.clone(), self.index.find(&entry.src));
                    let dir = ComparedDir { src, dst, path, target, id, cursor, share, dev: stat.dev };
                    scheduler::start(self, worker, Arc::new(dir));
                }
                Err(errno) => failed(Operation::OpenEntry, errno),
            }
            return;
        }
        let (Some(parent), Some(last)) = (entry.real.parent(), entry.real.last()) else { return };
        let opened = self.of.source.open_strict(&parent, ENTRY).and_then(|fd| Ok((stat_fd(&fd)?, fd)));
        let (stat, src) = match opened {
            Ok((stat, fd)) => (stat, SourceDir::from_fd(fd)),
            Err(errno) => return failed(Operation::OpenDirectory, errno),
        };
        let src = SourceNode::entry(self.of.source, &parent, src, &stat, &self.source_budget);
        let dst = match self.on_target(&above, dst) {
            Ok(dst) => dst,
            Err(errno) => return self.not_there(target, &entry.dst, errno),
        };
        let dir = ComparedDir { src, dst, path: above, target, id, cursor: None, share, dev: stat.dev };
        let Some(sides) = self.sides(&dir) else { return };
        if kind == Kind::File {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
            match self.of.source.open_strict(&entry.real, flags).and_then(|fd| Ok((stat_fd(&fd)?, fd))) {
                Ok((stat, fd)) if stat.kind == Kind::File => {
                    self.file(&LeafPair { dir: &dir, sides: &sides, name: &name, own }, &fd, &stat)
                }
                Ok(_) => failed(Operation::OpenEntry, Errno::STALE),
                Err(errno) => failed(Operation::OpenEntry, errno),
            }
        } else if last == name {
            self.leaf(&LeafPair { dir: &dir, sides: &sides, name: &name, own }, kind);
        }
    }

    fn on_target(&self, path: &RelPath, dir: TargetDir) -> Result<Arc<TargetNode>, Errno> {
        TargetNode::top(&self.verifier().run.mapping.root, path, dir, &self.target_budget)
    }

    fn sides(&self, dir: &ComparedDir) -> Option<DirPair> {
        let src = match dir.src.open() {
            Ok(src) => src,
            Err(errno) => {
                self.unreadable(dir.target, dir.path.clone(), Operation::OpenDirectory, errno);
                return None;
            }
        };
        // Where there is no such directory, that is reported already.
        let dst = dir.dst.open().ok()?;
        Some(DirPair { src, dst })
    }

    /// Compares a directory that the walk does not enter, and those between it and the entries
    /// below, as a copier makes them.
    fn on_the_way(&self, DeclaredBelow { entry: (t, e), at }: DeclaredBelow, above: &RelPath, name: &Name) {
        let plan = &self.verifier().run.mapping;
        let path = above.join(name);
        let src = source_on_the_way(&plan.targets[t].entries[e], &path);
        self.parent(t, &path, Some(&src));
        for (name, child, step) in self.index.steps(plan, at, &path) {
            if let WayStep::Way(entry) = step {
                self.on_the_way(DeclaredBelow { entry, at: child }, &path, name);
            }
        }
    }

    fn extra(&self, dir: &ComparedDir, dst: &TargetDir, known: &HashSet<Name>) {
        let verifier = self.verifier();
        let mut found = ExtraNames::default();
        let read = dst.stat().and_then(|stat| {
            let listed = Listed { dir: dst, stat: &stat, path: &dir.path, target: dir.target };
            read_batches(dst, BATCH, |batch| {
                for entry in batch {
                    let ours = known.contains(&entry.name) || self.landings.contains(&dir.path.join(&entry.name));
                    if !ours && verifier.is_unplanned(&listed, &entry) {
                        found.add(entry.name);
                    }
                }
                true
            })
        });
        match read {
            Ok(()) => found.problems(&dir.path, List::Backup).into_iter().for_each(|p| verifier.problem(dir.target, p)),
            Err(errno) => {
                let problem = Problem::failed(dir.path.clone(), ProblemKind::Io, Operation::ReadDirectory, errno);
                verifier.problem(dir.target, problem);
            }
        }
    }

    /// Reports that `path` cannot be opened on the target.
    fn not_there(&self, target: u32, path: &RelPath, errno: Errno) {
        let mut found = vec![unreachable(path, errno)];
        if found.iter().any(|problem| problem.kind == ProblemKind::Missing) {
            let recorded = self.verifier().ask(|reader| reader.find_path(path)).flatten();
            self.tell_gone(path, recorded, &mut found);
        }
        found.into_iter().for_each(|problem| self.verifier().problem(target, problem));
    }

    /// Tells what is gone from what was never copied, of which the run that could not copy
    /// it may have left a problem.
    fn tell_gone(&self, path: &RelPath, recorded: Option<Row>, found: &mut Vec<Problem>) {
        if recorded.is_some_and(|row| matches!(row.state, State::Done | State::Bad)) {
            return;
        }
        if self.verifier().ask(|reader| reader.has_problem(path)) == Some(true) {
            found.retain(|problem| problem.kind != ProblemKind::Missing);
        }
        for problem in found.iter_mut().filter(|problem| problem.kind == ProblemKind::Missing) {
            problem.detail = Detail::NeverCopied;
        }
    }

    /// Gives the expected `row` to the verifier.
    fn look(&self, dst: &TargetDir, above: &RelPath, name: &Name, row: Row) {
        let verifier = self.verifier();
        let of_row = self.recorded(Some(row.dir).filter(|dir| *dir >= 0), name);
        // What was never finished has nothing to be held against but the backup.
        let recorded = of_row.as_ref().filter(|row| matches!(row.state, State::Done | State::Bad));
        let (checked, path) = (CheckedDir::of(dst), above.join(name));
        let subject = Subject { dir: &checked, path: &path, name, row: &row };
        let looked = verifier.entry(&subject, recorded);
        let (found, seen) = match looked {
            Looked::Unreachable(problem) => {
                let mut found = vec![problem];
                if found.iter().any(|problem| problem.kind == ProblemKind::Missing) {
                    self.tell_gone(&path, of_row, &mut found);
                }
                (found, None)
            }
            Looked::At { stat, standing, found } => {
                let marked = !found.is_empty() && verifier.mend.covers(standing);
                let seen = journal::Seen { dir: row.dir, name: row.name, ino: stat.ino, ctime: stat.ctime };
                (found, marked.then_some(seen))
            }
            Looked::LeftOut | Looked::Stopped => return,
        };
        if let Some(tally) = verifier.run.counters.targets.get(row.target as usize) {
            add(&tally.verified, 1);
        }
        if let Some(seen) = seen {
            verifier.run.writer.bad(vec![seen]);
        }
        found.into_iter().for_each(|problem| verifier.problem(row.target, problem));
    }
}
