//! The copier: the plan's entries, walked and written by a pool of its own.
//!
//! The walk is by directory descriptor on both sides; how it is shared out among
//! threads is the scheduler's part (`tree/scheduler.rs`).

mod altered;
mod claim;
mod create;
mod data;
mod declared;
mod dir;
mod file;
mod immutable;
mod large;
mod leaf;
mod link;
mod linked;
pub(crate) mod mount;
pub mod node;
pub(crate) mod parents;
mod post_visit;
mod pre_visit;
mod settled;
mod source_proof;
mod takeover;
mod trust;

pub(crate) use altered::altered;
pub(crate) use link::{Key as LinkKey, key_of};
pub(crate) use linked::FEWEST_AT_LIMIT;
pub(crate) use pre_visit::reserved;
pub(crate) use source_proof::Content;

use super::driver::Drivers;
use super::events::counters::{Counters, Tally};
use super::events::kind::ProblemKind;
use super::events::problem::{Problem, Problems};
use super::events::rate_limit::RateLimit;
use super::events::stop::{Full, Reason, Stop};
use super::events::unpreserved::{Disk, Unpreserved};
use super::groups::Groups;
use super::journal::epoch::{FileSystems, Submit};
use super::journal::{Journal, JournalError, Reader, Row, WriterHandle};
use super::mapping::explicit::Explicit;
use super::mapping::index::Index;
use super::mapping::model::Mapping;
use super::meta::{self, Attributes, Keep, Rights, Wanted, mark};
use super::tree::budget::FdBudget;
use super::tree::descriptors;
use super::tree::scheduler::{Tasks, Worker};
use super::tree::temporary::temporary_name;
use super::volume::{Volume, Volumes};
use crate::base::path::{Name, RelPath};
use crate::sys::dir::TargetDir;
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, errno_words};
pub use takeover::History;

use dir::OpenDir;
use rustix::fd::AsFd;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How the copier works.
#[derive(Clone, Debug)]
pub struct Options {
    /// What of the metadata is kept.
    pub keep: Keep,
    /// Enter mounts inside the source.
    pub cross_mounts: bool,
    /// Replace what somebody has changed on the target.
    pub overwrite: bool,
    /// What earlier runs did, for each target of the plan.
    pub histories: Vec<History>,
    /// Threads of the pool.
    pub threads: usize,
    /// The limit of open files.
    pub open_files: u64,
}

/// What the copier is given.
pub struct Parts {
    /// What to copy.
    pub plan: Arc<Mapping>,
    /// The backup tree.
    pub source: Arc<Root>,
    /// Held for the whole run.
    pub journal: Arc<Journal>,
    /// File systems and their syncfs descriptors.
    pub file_systems: Arc<FileSystems>,
    /// Where finished entries go.
    pub submit: Submit,
    /// Where numbers go.
    pub counters: Arc<Counters>,
    /// Where the source's file systems are recorded.
    pub writer: WriterHandle,
    /// Where failures go.
    pub problems: Arc<Problems>,
    /// How to end early.
    pub stop: Stop,
    /// How fast bytes may move.
    pub rate_limit: RateLimit,
    /// Which names are links of one another.
    pub groups: Arc<Groups>,
    /// How to work.
    pub options: Options,
}

/// The copier at work.
pub struct Engine {
    plan: Arc<Mapping>,
    source: Arc<Root>,
    drivers: Drivers,
    journal: Arc<Journal>,
    file_systems: Arc<FileSystems>,
    submit: Submit,
    counters: Arc<Counters>,
    problems: Arc<Problems>,
    stop: Stop,
    rate_limit: RateLimit,
    options: Options,
    index: Index,
    /// Entries that the run came to, by target and entry.
    visited: Vec<Vec<AtomicBool>>,
    nested: Vec<Vec<bool>>,
    groups: Arc<Groups>,
    links: link::Links,
    volumes: Volumes,
    writer: WriterHandle,
    /// Directories to leave once their replacements are in place.
    late: Mutex<Vec<Arc<node::DirNode>>>,
    budget: Arc<FdBudget>,
    /// Directories of the target that this run came to where others could move them.
    guarded: Mutex<HashSet<(u64, u64)>>,
    source_budget: Arc<FdBudget>,
    next_id: AtomicI64,
    tasks: Tasks,
    readers: Mutex<Vec<Reader>>,
    /// The journal's directory, which no entry of the backup may be copied into.
    state: (u64, u64),
    fixups_changed: Vec<AtomicBool>,
}

/// What the plan or the engine says of one entry itself, over what the backup has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Override {
    target: Option<u32>,
    explicit: Explicit,
    /// The plan has changed for it while the run looked: the next run copies it again.
    stopgap: bool,
    /// It has an inode of its own in the place of a hard link, and why.
    apart: Option<Unpreserved>,
    /// What stood under the name when it was judged, which alone may be replaced.
    stands: Option<Stat>,
}

impl Override {
    /// The target of the plan that an entry in `dir` counts for.
    fn target_in(&self, dir: &node::DirNode) -> u32 {
        self.target.unwrap_or(dir.target)
    }
}

/// An inode with its metadata.
struct AppliedMetadata {
    stat: Stat,
    /// It has all that its file system can hold: else the next run tries again.
    whole: bool,
}

/// Which fixups the copy itself has already put on an inode.
pub type FixupsChanged = Vec<bool>;

impl Engine {
    /// Prepares a copy; nothing is read or written yet.
    pub fn new(parts: Parts) -> Result<Self, JournalError> {
        let reader = parts.journal.reader()?;
        let (last, recorded) = (reader.last_id()?, reader.volumes()?);
        let plan = &parts.plan;
        let index = Index::new(plan);
        let open = descriptors::share(parts.options.open_files, parts.options.threads);
        Ok(Self {
            visited: plan.targets.iter().map(|t| t.entries.iter().map(|_| AtomicBool::new(false)).collect()).collect(),
            nested: index.nested(plan),
            index,
            groups: parts.groups,
            links: link::Links::default(),
            volumes: Volumes::new(recorded),
            writer: parts.writer,
            late: Mutex::default(),
            guarded: Mutex::default(),
            budget: FdBudget::new(open.directories),
            source_budget: FdBudget::new(open.directories),
            next_id: AtomicI64::new(last + 1),
            tasks: Tasks::new(open.inline),
            readers: Mutex::new(Vec::new()),
            state: parts.journal.directory_id()?,
            fixups_changed: plan.fixups.iter().map(|_| AtomicBool::new(false)).collect(),
            plan: parts.plan,
            drivers: Drivers::new(&parts.source),
            source: parts.source,
            journal: parts.journal,
            file_systems: parts.file_systems,
            submit: parts.submit,
            counters: parts.counters,
            problems: parts.problems,
            stop: parts.stop,
            rate_limit: parts.rate_limit,
            options: parts.options,
        })
    }

    /// Copies everything and returns when the last entry is handed to its epoch. `begin` is
    /// called before the first one, once there are threads.
    pub fn run(self, begin: impl FnOnce()) -> Result<FixupsChanged, String> {
        let pool = crate::engine::tree::pool::start(self.options.threads, "copy")?;
        begin();
        let nested = self.nested.clone();
        pool.scope(|scope| {
            let layout = crate::engine::mapping::layout::destinations(&self.plan, |(t, e)| !nested[t][e]);
            self.build(Worker::new(scope), &layout);
        });
        self.report_unreached();
        self.submit.flush();
        self.post_visit_late();
        self.set_immutable();
        self.drivers.notes().into_iter().for_each(|note| self.problems.note(note));
        self.drivers.contradictions().into_iter().for_each(|problem| {
            self.problems.add(problem);
        });
        self.volumes.notes().into_iter().for_each(|note| self.problems.note(note));
        Ok(self.fixups_changed.iter().map(|f| f.load(Ordering::Relaxed)).collect())
    }

    fn tally(&self, target: u32) -> &Tally {
        &self.counters.targets[target as usize]
    }

    fn new_id(&self) -> i64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn problem(&self, target: u32, mut problem: Problem) {
        // Rows of an edited plan can name a target that it no longer has.
        if let Some(known) = self.plan.targets.get(target as usize) {
            problem.target.clone_from(&known.name);
        }
        self.problems.add(problem);
    }

    /// A failure on the write side: a full or dying disk ends the run, the rest
    /// is one problem.
    fn target_failed(&self, target: u32, path: RelPath, operation: &str, errno: Errno) {
        let advice = match errno {
            // These two from `make_beside` only: no call of the write side answers so otherwise.
            Errno::ISDIR => {
                let mut problem = Problem::differs(path, ProblemKind::Type, "no directory", Kind::Directory.words());
                problem.message =
                    "a directory with content stands in the place of this entry; move it away and run again".into();
                return self.problem(target, problem);
            }
            Errno::NOTUNIQ => {
                let message = "another name in this directory is the same to the target's file system, which tells \
                               names apart by less than their bytes (case, normalisation); rename one in the backup";
                return self.problem(target, Problem::new(path, ProblemKind::Unsupported, message));
            }
            // From `make_beside` as well: a directory has the temporary name.
            Errno::EXIST => {
                let temporary = path.last().map(|name| temporary_name(&name).to_string()).unwrap_or_default();
                let message = format!(
                    "a directory stands beside it as {temporary}, the name that its copy needs until it is durable; \
                     look at it, move it away and run again"
                );
                return self.problem(target, Problem::new(path, ProblemKind::Type, message));
            }
            Errno::NOSPC => "make room on the target",
            Errno::DQUOT => "raise the quota on the target",
            Errno::ROFS => "the target turned read-only: look at dmesg, check the disk, mount it read-write",
            Errno::MFILE | Errno::NFILE => "raise the limit of open files (ulimit -n) or use fewer --threads",
            Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG if operation.starts_with("create") => {
                let mut problem = Problem::failed(path, ProblemKind::Unsupported, operation, errno);
                problem.message.push_str("; the target's file system does not take this name");
                self.problem(target, problem);
                return;
            }
            Errno::FBIG => {
                let mut problem = Problem::failed(path, ProblemKind::Unsupported, operation, errno);
                problem.message.push_str("; the target's file system holds no file of this size, or the limit of file sizes (ulimit -f) is lower");
                self.problem(target, problem);
                return;
            }
            _ => {
                self.problem(target, Problem::failed(path, ProblemKind::Io, operation, errno));
                return;
            }
        };
        let words = format!("{path}: {operation}: {}; {advice}, then run the same command again", errno_words(errno));
        self.stop.set(match errno {
            Errno::NOSPC => Reason::Full(words, Full::Target(target)),
            Errno::DQUOT => Reason::Full(words, Full::Quota(target)),
            _ => Reason::Fatal(words),
        });
    }

    /// The attributes of a source inode, which lies in the directory that `near` opens or is it;
    /// what cannot be read is a problem and none.
    fn source_attributes(
        &self,
        target: u32,
        holder: Holder<'_>,
        stat: &Stat,
        near: impl Fn() -> Option<Root>,
        path: impl Fn() -> RelPath,
    ) -> Attributes {
        let (attributes, problems) = self.drivers.attributes(holder, stat, near, &path);
        problems.into_iter().for_each(|problem| self.problem(target, problem));
        if attributes.marked {
            self.problems.note(format!(
                "{}: the source is itself an unfinished copy of persistcp here; its mark ({}) is not copied",
                path(),
                mark::NAME.to_string_lossy()
            ));
        }
        attributes
    }

    /// Gives its metadata to the directory of `node` itself or an entry in it, reports what it did
    /// not take, and comes back with the inode as it now is.
    fn apply_metadata(
        &self,
        node: &node::DirNode,
        holder: Holder<'_>,
        wanted: &mut Wanted,
        path: impl Fn() -> RelPath,
    ) -> Result<AppliedMetadata, Errno> {
        let around = meta::Surroundings { disk: node.disk, handed: node.handed };
        let applied = meta::apply(holder, wanted, around, path);
        let whole = applied.problems.iter().all(|problem| problem.unpreserved().is_some());
        applied.problems.into_iter().for_each(|p| self.problem(node.target, p));
        wanted.lost = applied.lost;
        wanted.given_up = applied.given_up;
        wanted.flags = wanted.flags.without(applied.given_up);
        applied.stat.map(|stat| AppliedMetadata { stat, whole })
    }

    /// Says that the plan's owner gets no rights that the source lends out.
    fn note_rights(&self, wanted: &Wanted, path: impl Fn() -> RelPath) {
        if wanted.rights.taken {
            self.problems.note_each(Rights::WORDS, path());
        }
    }

    /// A file system as a whole that cannot hold `loss`: said once, counted for each.
    fn lost(&self, node: &node::DirNode, path: RelPath, unpreserved: Unpreserved) {
        self.problem(node.target, Problem::lost(path, unpreserved, node.disk.dev));
    }

    /// An entry that an earlier run finished is skipped, but not what it lost. Of an inode
    /// with several names that is told once, as when it was copied.
    fn lost_before(&self, node: &node::DirNode, name: &Name, row: &Row) {
        if row.alias {
            return;
        }
        for unpreserved in row.wanted.lost.each() {
            self.lost(node, node.path().join(name), unpreserved);
        }
        if let Some(xattrs) = row.xattrs() {
            self.drivers.see(xattrs, || node.path().join(name));
        }
    }

    /// The file system of the source with device number `dev`, of which `open` gives a descriptor.
    fn volume<F: AsFd>(&self, dev: u64, open: impl FnOnce() -> Result<F, Errno>) -> Arc<Volume> {
        self.volumes.of(dev, open, |id, key| self.writer.volume(id, key.to_string()))
    }

    /// The index and the abilities of the file system that holds `dir`.
    fn file_system(&self, dir: &TargetDir) -> Result<(usize, Disk), Errno> {
        let dev = dir.stat()?.dev;
        let index = self.file_systems.index(dev, dir)?;
        Ok((index, self.file_systems.disk(index).unwrap_or(Disk { dev, bare: false })))
    }

    /// A connection to the journal, where it has rows that matter: an earlier run's, or
    /// this one's groups of hard links.
    fn reader(&self) -> Option<Reader> {
        if !self.journal.resumed() && !self.links.have_shed() {
            return None;
        }
        if let Some(reader) = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Some(reader);
        }
        self.ask(self.journal.reader())
    }

    /// Calls `then` with such a connection of the pool.
    fn with_reader<T>(&self, then: impl FnOnce(Option<&Reader>) -> T) -> T {
        let reader = self.reader();
        let answer = then(reader.as_ref());
        reader.into_iter().for_each(|reader| self.give_back(reader));
        answer
    }

    fn give_back(&self, reader: Reader) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }

    /// A journal that cannot be read ends the run: copying on could undo what it knows.
    fn ask<T>(&self, answer: Result<T, JournalError>) -> Option<T> {
        answer.map_err(|error| self.stop.set(Reason::Fatal(error.to_string()))).ok()
    }

    /// True when a pattern leaves `name` out.
    fn would_exclude(&self, dir: &OpenDir, name: &Name, is_dir: bool) -> bool {
        let target = &self.plan.targets[dir.node.target as usize];
        // The path is put together only where it can matter.
        !target.excluded.is_empty() && target.excludes(&dir.node.path().join(name), is_dir)
    }

    fn is_excluded(&self, dir: &OpenDir, name: &Name, is_dir: bool) -> bool {
        let excluded = self.would_exclude(dir, name, is_dir);
        if excluded {
            crate::engine::events::counters::add(&self.tally(dir.node.target).excluded, 1);
        }
        excluded
    }

    /// Opens a directory of the target by its path below the root, name by name.
    fn open_target(&self, path: &RelPath) -> Result<TargetDir, Errno> {
        crate::sys::dir::open_target(&self.plan.root, path)
    }

    /// Puts what the plan says over `wanted`, which goes to `name` in `above`, so that
    /// nothing is ever wider than at its end. Gives the fixup that changed something.
    fn put_plan_over(&self, wanted: &mut Wanted, own: Override, above: &node::DirNode, name: &Name) -> Option<usize> {
        wanted.override_with(own.explicit);
        let (said, last) = above.covering.say(&self.plan, name, wanted.kind);
        let before = (wanted.owner, wanted.mode);
        wanted.override_with(said);
        last.filter(|_| before != (wanted.owner, wanted.mode))
    }

    /// The same for an inode that is no directory, which goes to `name` in `dir`.
    fn put_plan_over_leaf(
        &self,
        wanted: &mut Wanted,
        own: Override,
        dir: &OpenDir,
        name: &Name,
        stat: &Stat,
    ) -> Option<usize> {
        let fixup = self.put_plan_over(wanted, own, &dir.node, name);
        // What is said of one name of an inode holds for all of them.
        wanted.override_with(self.groups.say(stat, dir.place.share));
        fixup
    }

    fn fixup_changed(&self, index: usize) {
        self.fixups_changed[index].store(true, Ordering::Relaxed);
    }
}
