//! Verification: every entry of the journal against the target, content from
//! the medium and all metadata.

mod accept;
mod accept_attributes;
mod accepted_entry;
mod batch;
mod class;
mod confirm;
mod entry;
pub(crate) mod extra;
mod feed;
mod groups;
mod large;
mod place;
mod rows;
mod since;
mod since_copied;
mod subject;
mod together;
mod verdicts;

pub(crate) use place::Listed;
pub use since::Since;
pub use since_copied::since_copied;
pub(crate) use subject::{Looked, Subject};

use super::content::lent::LentBuffers;
use super::content::medium::WorstMedium;
use super::context::RunContext;
use super::events::finding::UseClass;
use super::events::problem::Problem;
use super::events::stop::{Stop, StopReason};
use super::journal::{Journal, JournalError, Reader, RowChange, State, Unconfirmed};
use crate::base::path::RelPath;
use crate::base::path_tree::PathTree;
use crate::sys::stat::Time;
use batch::Batch;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What verification looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Content and metadata.
    Content,
    /// Metadata alone.
    Metadata,
}

/// Which entries verification looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything that is recorded, and names that are not recorded.
    All,
    /// After a copy: what has not been verified since it was written.
    Unverified,
    /// What changed or has not been verified since, and names that are not recorded.
    Since(Since),
}

/// Which differences verification marks to be copied again: a run that copies trusts a mark as
/// long as the entry has not changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkPolicy {
    /// Damage: what differs although nobody has changed it.
    Damage,
    /// Also changed attributes and what is gone; what somebody has removed only where that is a problem. Not
    /// changed content.
    Attributes,
    /// Everything.
    Everything,
}

impl MarkPolicy {
    fn is_wanted(self) -> bool {
        self != Self::Damage
    }

    /// True for a difference in an entry that was changed like this.
    pub(crate) fn covers(self, standing: RowChange) -> bool {
        match standing {
            RowChange::AsRecorded => true,
            RowChange::Touched => self != Self::Damage,
            RowChange::Changed => self == Self::Everything,
        }
    }
}

/// What becomes of what the owner of the target did there since it was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsePolicy {
    /// It is counted, and no problem.
    Counted,
    /// It is counted, no problem, and taken into the manifest.
    Accepted,
    /// A run that copies follows, for which what it keeps is a problem; new names are counted.
    Kept,
    /// All of it is a problem.
    Problems,
}

impl UsePolicy {
    fn makes_problem_of(self, class: UseClass) -> bool {
        match self {
            Self::Counted | Self::Accepted => false,
            Self::Kept => class != UseClass::New,
            Self::Problems => true,
        }
    }
}

/// Everything that verification needs.
pub struct Verifier {
    /// What all stages of the run share. The journal's entries are verified, not the mapping's.
    pub run: RunContext,
    /// Names of the targets by the journal's numbers, the plan's first.
    pub targets: Vec<String>,
    /// Destinations of the declared entries: at and below them every name is the plan's.
    pub owned: PathTree<RelPath>,
    /// Device and inode number of the journal's directory.
    pub state: Option<(u64, u64)>,
    /// What to look at in each entry.
    pub depth: Depth,
    /// Which entries.
    pub scope: Scope,
    /// What is marked to be copied again.
    pub mend: MarkPolicy,
    /// What becomes of use.
    pub in_use: UsePolicy,
    /// When the pass began, by the clock of the kernel's time stamps.
    pub began: Time,
    /// The first entry that changed meanwhile and was not accepted, and how many there are.
    pub unsettled: Mutex<Option<(RelPath, u64)>>,
    /// The id of the next directory that is accepted.
    pub next_id: AtomicI64,
    /// Entries that the scope left out.
    pub left_out: AtomicU64,
    /// Threads.
    pub threads: usize,
    /// How many small files a thread may hold open, to read them at once.
    pub together: usize,
    /// How the medium was read.
    pub medium: WorstMedium,
    /// What was found whole and is not recorded as it is now.
    pub unconfirmed: Unconfirmed,
    /// For large files.
    pub(crate) buffers: LentBuffers,
    /// Connections for the chunks of large files, one for each thread at most.
    pub readers: Mutex<Vec<Reader>>,
}

impl Verifier {
    /// Verifies what the journal lists.
    pub fn run(&self, journal: &Journal) -> Result<(), JournalError> {
        self.run.writer.flush();
        let reader = journal.reader()?;
        // After a run with nothing to do, a scan of the whole journal would find nothing either.
        if self.scope == Scope::Unverified && reader.all_verified()? {
            return Ok(());
        }
        if !self.count(&reader)? && self.scope == Scope::Unverified {
            return Ok(());
        }
        let accepts = self.in_use == UsePolicy::Accepted;
        if accepts {
            self.run.writer.index_inodes(true);
            self.run.writer.flush();
        }
        self.connect(journal)?;
        // The queue bounds the rows in memory, whatever the number of files.
        let (sender, receiver) = crossbeam_channel::bounded::<(RelPath, Batch)>(2 * self.threads);
        std::thread::scope(|scope| {
            let mut started = 0;
            for _ in 0..self.threads {
                let receiver = receiver.clone();
                let serve = move || {
                    for (path, batch) in receiver {
                        if !self.run.stop.is_set() {
                            self.batch(&path, batch);
                        }
                    }
                };
                if std::thread::Builder::new().name("verify".into()).spawn_scoped(scope, serve).is_err() {
                    break;
                }
                started += 1;
            }
            drop(receiver);
            // Moved there: dropping it ends the threads. If none can be started, this one does everything.
            self.feed(&reader, (started > 0).then_some(sender))
        })?;
        if !self.run.stop.is_set() {
            self.confirm();
        }
        if accepts {
            self.run.writer.index_inodes(false);
        }
        self.groups(&reader)
    }

    /// Opens the connections and sets the counters of what there is to do.
    pub(crate) fn prepare(&self, journal: &Journal) -> Result<Reader, JournalError> {
        self.run.writer.flush();
        let reader = journal.reader()?;
        self.count(&reader)?;
        self.connect(journal)?;
        Ok(reader)
    }

    fn connect(&self, journal: &Journal) -> Result<(), JournalError> {
        for _ in 0..self.threads {
            self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(journal.reader()?);
        }
        Ok(())
    }

    /// Sets the counters of what there is to do; false when that is nothing.
    fn count(&self, reader: &Reader) -> Result<bool, JournalError> {
        let (entries, bytes) = reader.verify_load(self.scope == Scope::Unverified)?;
        self.run.counters.verify_entries.store(entries, Ordering::Relaxed);
        self.run.counters.verify_bytes.store(bytes, Ordering::Relaxed);
        Ok(entries > 0)
    }

    /// True when the source no longer has `path`.
    fn is_stale(&self, path: &RelPath) -> bool {
        self.ask(|reader| reader.is_stale(path)).unwrap_or(false)
    }

    /// True when the directory `id` has a row of its own that is verified.
    fn is_recorded(&self, id: i64) -> bool {
        let row = self.ask(|reader| reader.directory(id)).flatten();
        row.is_some_and(|row| matches!(row.state, State::Done | State::Bad))
    }

    pub(crate) fn problem(&self, target: u32, problem: Problem) {
        self.run.problems.add(problem.in_target(self.targets.get(target as usize).map_or("", String::as_str)));
    }

    /// Asks the journal through a connection of the pool. An unreadable journal ends the run.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Reader) -> Result<T, JournalError>) -> Option<T> {
        let reader = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let answer = question(&reader);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        answer.map_err(|error| stop_on(&error, &self.run.stop)).ok()
    }
}

/// An unreadable journal ends the run.
pub fn stop_on(error: &JournalError, stop: &Stop) {
    stop.set(StopReason::Journal(error.clone(), None));
}
