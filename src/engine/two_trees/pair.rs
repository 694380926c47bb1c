//! A comparison at work: what all its parts share.

use super::content::PairContents;
use super::groups::LinkedPairs;
use super::options::PairOptions;
use crate::base::path::RelPath;
use crate::engine::content::lent::LentBuffers;
use crate::engine::content::medium::Medium;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::{Problem, Problems};
use crate::engine::tree::budget::FdBudget;
use crate::engine::tree::node::SourceNode;
use crate::engine::tree::scheduler::Tasks;
use crate::engine::volume::Volumes;
use crate::sys::Errno;
use crate::sys::stat::Stat;
use crate::sys::xattr::Holder;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What was compared.
#[derive(Debug)]
pub struct Compared {
    /// The differences, and what could not be compared.
    pub problems: Problems,
    /// Entries of the first tree that were looked at.
    pub entries: u64,
    /// Regular files among them.
    pub files: u64,
    /// Bytes that were read of both sides together.
    pub bytes: u64,
    /// The worst way in which a file was read; `None` if none was.
    pub medium: Option<Medium>,
}

/// A comparison at work.
pub(super) struct PairWalk<'a> {
    pub(super) options: &'a PairOptions,
    pub(super) problems: Problems,
    pub(super) tasks: Tasks,
    pub(super) source_budget: Arc<FdBudget>,
    pub(super) target_budget: Arc<FdBudget>,
    pub(super) contents: PairContents<'a>,
    pub(super) linked: LinkedPairs,
    pub(super) volumes: Volumes,
    pub(super) entries: AtomicU64,
    pub(super) files: AtomicU64,
}

/// A directory that both trees have.
pub(super) struct PairedDir {
    pub(super) src: Arc<SourceNode>,
    pub(super) dst: Arc<SourceNode>,
    /// Below the trees' tops.
    pub(super) path: RelPath,
    /// The device of the first one.
    pub(super) dev: u64,
}

impl Drop for PairedDir {
    fn drop(&mut self) {
        self.src.close();
        self.dst.close();
    }
}

/// An inode that is held, with its stat.
#[derive(Clone, Copy)]
pub(super) struct HeldInode<'a> {
    pub(super) holder: Holder<'a>,
    pub(super) stat: &'a Stat,
}

impl<'a> PairWalk<'a> {
    pub(super) fn new(options: &'a PairOptions) -> Self {
        let problems = Problems::default();
        if options.no_owner {
            problems.note(Note::OwnersNotCompared);
        }
        Self {
            options,
            problems,
            tasks: Tasks::of_source(options.means.inline, options.means.late),
            source_budget: FdBudget::new(options.means.directories),
            target_budget: FdBudget::new(options.means.directories),
            contents: PairContents::new(&options.rate_limit, LentBuffers::default(), options.means.threads),
            linked: LinkedPairs::default(),
            volumes: Volumes::new(Vec::new()),
            entries: AtomicU64::default(),
            files: AtomicU64::default(),
        }
    }

    pub(super) fn problem(&self, problem: Problem) {
        self.problems.add(problem);
    }

    pub(super) fn unreadable(&self, path: &RelPath, operation: Operation, errno: Errno) {
        self.problem(Problem::failed(path.clone(), ProblemKind::Unreadable, operation, errno));
    }

    /// What was compared, with what only the whole shows.
    pub(super) fn finish(self) -> Compared {
        self.linked.problems().into_iter().for_each(|problem| self.problem(problem));
        let (bytes, medium) = self.contents.finish();
        let (entries, files) = (self.entries.load(Relaxed), self.files.load(Relaxed));
        Compared { problems: self.problems, entries, files, bytes, medium }
    }
}
