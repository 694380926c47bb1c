//! Verification: every entry of the journal against the target, content from
//! the medium and all metadata.

mod confirm;
pub(crate) mod extra;
mod groups;
mod large;
mod since;
mod since_copied;
mod together;
mod verdicts;

pub use since::Since;
pub use since_copied::since_copied;

use super::compare::differences::{CheckedDir, changed, differences, unreachable, without_moved_times};
use super::content::digest::chunks_of;
use super::content::lent::LentBuffers;
use super::content::medium::Reading;
use super::content::medium::{ReadError, WorstMedium};
use super::content::read_ahead::ReadAhead;
use super::context::RunContext;
use super::events::counters::add;
use super::events::kind::ProblemKind;
use super::events::problem::Problem;
use super::events::stop::{Stop, StopReason};
use super::journal::{Journal, JournalError, Reader, Row, RowChange, Seen, State, Unconfirmed};
use crate::base::clock;
use crate::base::path::{Name, RelPath};
use crate::base::path_tree::PathTree;
use crate::sys::dir::open_target;
use crate::sys::read_batch::FILES;
use crate::sys::stat::{Kind, Stat};
use crate::sys::{Errno, leads_nowhere};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use together::{ReadBack, read_together};
use verdicts::{Moved, Verdicts, seen_as};

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
    /// Also what was removed, and changed attributes, but not changed content.
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

/// An entry of the target, and the row that it is compared with.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Its directory.
    pub(crate) dir: &'a CheckedDir<'a>,
    pub(crate) path: &'a RelPath,
    pub(crate) name: &'a Name,
    pub(crate) row: &'a Row,
}

/// The result of looking at one entry.
pub(crate) enum Looked {
    /// It was verified before and has not changed since.
    LeftOut,
    /// It is missing, or cannot be read.
    Unreachable(Problem),
    /// Its stat from before it was read, how that compares with its row, and its differences.
    At { stat: Stat, standing: RowChange, found: Vec<Problem> },
    /// The run is ending.
    Stopped,
}

/// Where the entry of a row is to be.
struct Place<'a> {
    /// Its directory, or why it cannot be opened.
    dir: Result<&'a CheckedDir<'a>, &'a &'a Errno>,
    path: &'a RelPath,
    name: &'a Name,
}

/// Rows that are checked together; all are in one directory.
struct Batch {
    dir: i64,
    rows: Vec<Row>,
}

const PAGE: u32 = 512;
/// Attributes can take 64 KiB each: a batch with this many bytes is full.
const BATCH_BYTES: u64 = 256 << 10;
/// So is one with this much content: the next file is read by another thread at the same time.
const BATCH_CONTENT: u64 = 64 << 20;

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

    fn feed(
        &self,
        reader: &Reader,
        sender: Option<crossbeam_channel::Sender<(RelPath, Batch)>>,
    ) -> Result<(), JournalError> {
        let mut after = (-1, Vec::new());
        let mut place = (0, RelPath::root());
        loop {
            let page = reader.page((after.0, &after.1), self.scope == Scope::Unverified, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.dir, last.name.clone());
            let mut rows = page.into_iter().peekable();
            while let Some(first) = rows.next() {
                let dir = first.dir;
                let mut bytes = first.heap_bytes();
                let mut content = first.size;
                let mut batch = Batch { dir, rows: vec![first] };
                while batch.rows.len() < 64
                    && bytes < BATCH_BYTES
                    && content < BATCH_CONTENT
                    && let Some(row) = rows.next_if(|row| row.dir == dir)
                {
                    bytes += row.heap_bytes();
                    content += row.size;
                    batch.rows.push(row);
                }
                if place.0 != dir {
                    place = (dir, reader.path_of(dir)?);
                }
                batch.rows.sort_unstable_by_key(|row| row.dst_ino);
                if self.run.stop.is_set() {
                    return Ok(());
                }
                match &sender {
                    // The threads end only with the channel.
                    Some(sender) => drop(sender.send((place.1.clone(), batch))),
                    None => self.batch(&place.1, batch),
                }
            }
        }
    }

    fn batch(&self, path: &RelPath, batch: Batch) {
        debug_assert!(batch.rows.iter().all(|row| row.dir == batch.dir), "one directory");
        let opened = open_target(&self.run.mapping.root, path);
        // If a directory is gone, its own row reports that for everything in it.
        if opened.as_ref().is_err_and(|errno| leads_nowhere(*errno)) && self.is_recorded(batch.dir) {
            return;
        }
        let place = opened.as_ref().map(CheckedDir::of);
        let mut verdicts = Verdicts::default();
        let mut ahead = self.reader_of_many();
        for rows in batch.rows.chunks(self.together.clamp(1, FILES)) {
            let read = match (&opened, &mut ahead) {
                (Ok(dir), Some(ahead)) => read_together(dir, rows, ahead),
                _ => Vec::new(),
            };
            let read = read.into_iter().chain(std::iter::repeat_with(|| None));
            for (row, read) in rows.iter().zip(read) {
                let Ok(name) = Name::new(&row.name) else { continue };
                let at = Place { dir: place.as_ref(), path: &path.join(&name), name: &name };
                if self.run.stop.is_set() || !self.row(&at, row, read, &mut verdicts) {
                    break;
                }
            }
        }
        let Verdicts { good, moved, bad } = verdicts;
        if !good.is_empty() {
            self.run.writer.verified(clock::now().unix(), good);
        }
        if let Ok(dir) = &opened {
            self.confirm_later(dir, path, moved);
        }
        if !bad.is_empty() {
            self.run.writer.bad(bad);
        }
    }

    /// The thread's reader of several files at once, if contents are compared and all rows are looked at.
    fn reader_of_many(&self) -> Option<ReadAhead> {
        let everything = self.depth == Depth::Content && !matches!(self.scope, Scope::Since(_));
        if everything && self.together > 1 { ReadAhead::lend() } else { None }
    }

    /// Looks at the entry of `row`; false if the run is ending.
    fn row(&self, at: &Place<'_>, row: &Row, read: Option<ReadBack<'_>>, verdicts: &mut Verdicts) -> bool {
        let &Place { dir, path, name } = at;
        let looked = match dir {
            Ok(dir) => self.entry(&Subject { dir, path, name, row }, Some(row), read),
            Err(errno) => Looked::Unreachable(unreachable(path, **errno)),
        };
        let found = match looked {
            Looked::Stopped => return false,
            Looked::LeftOut => {
                add(&self.left_out, 1);
                return true;
            }
            // Neither side has it any more; the next run that copies forgets it.
            Looked::Unreachable(problem) if problem.kind == ProblemKind::Missing && self.is_stale(path) => return true,
            Looked::Unreachable(problem) => {
                let seen = || Seen { dir: row.dir, name: row.name.clone(), ino: row.dst_ino, ctime: row.dst_ctime };
                verdicts.bad.extend(self.mend.is_wanted().then(seen));
                vec![problem]
            }
            Looked::At { stat, found, .. } if found.is_empty() => {
                self.passed(row, &stat, verdicts);
                found
            }
            Looked::At { stat, standing, found } => {
                self.differed(row, &stat, standing, verdicts);
                found
            }
        };
        if let Some(tally) = self.run.counters.targets.get(row.target as usize) {
            add(&tally.verified, 1);
        }
        if let Ok(dir) = dir
            && self.scope != Scope::Unverified
        {
            self.extra_names(dir.dir, name, path, row);
        }
        found.into_iter().for_each(|problem| self.problem(row.target, problem));
        true
    }

    /// Sorts an entry without differences.
    fn passed(&self, row: &Row, stat: &Stat, verdicts: &mut Verdicts) {
        if row.kind() == Kind::File && self.depth == Depth::Metadata {
            // The content was not read: it is not known to be good.
        } else if row.is_done_as(stat) {
            verdicts.good.push(seen_as(row, stat));
        } else if row.state == State::Bad && self.mend.is_wanted() {
            // As recorded, but a comparison with the source may have found that the source differs: a
            // repair copies it again.
        } else {
            verdicts.moved.push(Moved { dev: stat.dev, target: row.target, seen: seen_as(row, stat) });
        }
    }

    /// Sorts an entry with differences.
    fn differed(&self, row: &Row, stat: &Stat, standing: RowChange, verdicts: &mut Verdicts) {
        if !self.mend.covers(standing) {
            return;
        }
        if standing == RowChange::Changed && row.has_chunks() {
            // None of them describes what is there.
            self.run.writer.bad_chunks(row.dir, row.name.clone(), (0..chunks_of(row.size)).collect());
        }
        verdicts.bad.push(seen_as(row, stat));
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

    /// All differences of one entry from `row`, which the journal recorded or the source asks for;
    /// `recorded` is the journal's, if there is one; `read` the content, if it was read already.
    pub(crate) fn entry(&self, subject: &Subject<'_>, recorded: Option<&Row>, read: Option<ReadBack<'_>>) -> Looked {
        let Subject { dir: checked, path, name, row } = *subject;
        let stat = match checked.dir.stat_at(name) {
            Ok(stat) => stat,
            Err(errno) => return Looked::Unreachable(unreachable(path, errno)),
        };
        if let Scope::Since(since) = self.scope
            && !since.asks_for(row, &stat)
        {
            // Nothing has changed, nor has what could not be preserved.
            self.tell_unpreserved(path, row, stat.dev);
            return Looked::LeftOut;
        }
        let standing = match recorded {
            Some(recorded) if recorded.still_damaged(&stat, checked.disk) => RowChange::AsRecorded,
            Some(recorded) => recorded.standing(&stat, checked.disk),
            None => RowChange::AsRecorded,
        };
        if let (Some(recorded), RowChange::Changed) = (recorded, standing) {
            return Looked::At { stat, standing, found: vec![changed(path, recorded, &stat)] };
        }
        let mut found = differences(checked, path, name, row, &stat);
        without_moved_times(&mut found, standing, recorded.unwrap_or(row));
        let look_inside = self.depth == Depth::Content && row.size == stat.size;
        let is_file = stat.kind == row.kind() && stat.kind == Kind::File;
        // Only its content tells what was done to the inode since, by any of its names.
        let vouched = row.alias && standing == RowChange::AsRecorded && self.is_vouched_for(row);
        if is_file && look_inside && !vouched {
            match self.content(subject, standing, read) {
                Ok(problem) => found.extend(problem),
                Err(ReadError::Stopped) => return Looked::Stopped,
                Err(ReadError::Failed(operation, errno)) => {
                    found.push(Problem::failed(path.clone(), ProblemKind::Io, operation, errno));
                }
            }
        }
        self.tell_unpreserved(path, row, stat.dev);
        let touched = recorded.filter(|_| standing == RowChange::Touched);
        let is_other = |p: &Problem| matches!(p.kind, ProblemKind::Content | ProblemKind::Target | ProblemKind::Type);
        if let Some(recorded) = touched.filter(|_| found.iter().any(is_other)) {
            let found = vec![changed(path, recorded, &stat)];
            return Looked::At { stat, standing: RowChange::Changed, found };
        }
        Looked::At { stat, standing, found }
    }

    /// True when the content of this further name is verified under another one.
    pub(crate) fn is_vouched_for(&self, row: &Row) -> bool {
        self.ask(|reader| reader.vouched_for(row)).unwrap_or(false)
    }

    /// What the file system cannot hold was counted when it was copied; a pass that only verifies
    /// counts it again. No run can repair it. For an inode with several names it is reported once.
    fn tell_unpreserved(&self, path: &RelPath, row: &Row, dev: u64) {
        if self.scope == Scope::Unverified || row.alias {
            return;
        }
        for unpreserved in row.wanted.lost.each() {
            self.problem(row.target, Problem::lost(path.clone(), unpreserved, dev));
        }
    }

    fn content(
        &self,
        subject: &Subject<'_>,
        standing: RowChange,
        read: Option<ReadBack<'_>>,
    ) -> Result<Option<Problem>, ReadError> {
        let Subject { dir: checked, path, name, row } = *subject;
        let Some(digest) = row.digest else { return Ok(None) };
        let (reading, bytes) = match read {
            Some(ReadBack { reading, bytes }) => (reading?, bytes),
            None => (Reading::open(checked.dir, name)?, None),
        };
        let found = match self.chunks_of(row) {
            Some(chunks) => self.compare_chunks(&reading, subject, standing, &chunks),
            None => reading.digest_of(bytes, digest.algorithm, &self.run.rate_limit).map(|found| {
                let hex = |bytes: &[u8; 32]| format!("BLAKE3 {}", blake3::Hash::from_bytes(*bytes).to_hex());
                (found != digest).then(|| {
                    Problem::differs(path.clone(), ProblemKind::Content, hex(&digest.bytes), hex(&found.bytes))
                })
            }),
        };
        let bytes = reading.finish(checked.backing, &self.medium);
        if let Some(tally) = self.run.counters.targets.get(row.target as usize) {
            add(&tally.verified_bytes, bytes);
        }
        found
    }
}

/// An unreadable journal ends the run.
pub fn stop_on(error: &JournalError, stop: &Stop) {
    stop.set(StopReason::Journal(error.clone(), None));
}
