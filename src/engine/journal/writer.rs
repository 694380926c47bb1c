//! The thread that writes the journal, and the handles that send it records.

use super::confirm::Confirmed;
use super::database::Journal;
use super::epoch::seal::Durable;
use super::error;
use super::log::Log;
use super::message::WriterMessage;
use super::removals::DurablyRemoved;
use super::row::Row;
use super::run_kind::RunKind;
use super::seen::{Fixed, Seen};
use super::serve::serve;
use crate::base::path::RelPath;
use crate::engine::events::journal_error::{JournalError, WriterEnd};
use crate::engine::events::outcome::Outcome;
use crate::engine::events::problem::Problem;
use crate::engine::events::stop::{Full, Stop, StopReason};
use crate::engine::events::words::Words;
use crossbeam_channel::{Sender, bounded};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The running writer; [`Writer::finish`] ends it and tells whether all went well.
#[derive(Debug)]
pub struct Writer {
    handle: WriterHandle,
    thread: JoinHandle<Result<(), JournalError>>,
    path: PathBuf,
    unrecorded: Unrecorded,
}

/// Why nothing is recorded any more, if so.
type Unrecorded = Arc<Mutex<Option<JournalError>>>;

/// What other threads hold to send rows.
#[derive(Clone, Debug)]
pub struct WriterHandle(Sender<WriterMessage>);

impl Writer {
    /// Starts the thread. A failed transaction stops the run through `stop`.
    pub fn start(journal: &Journal, stop: Stop) -> Result<Self, JournalError> {
        Self::serving(journal, stop, false)
    }

    /// The same for a pass that only looks at the target: an unwritable disk does not stop it;
    /// [`Self::finish`] reports it.
    pub fn start_to_verify(journal: &Journal, stop: Stop) -> Result<Self, JournalError> {
        Self::serving(journal, stop, true)
    }

    fn serving(journal: &Journal, stop: Stop, lenient: bool) -> Result<Self, JournalError> {
        let path = journal.path();
        let unrecorded: Unrecorded = Arc::new(Mutex::new(journal.unwritable().cloned()));
        let mut served = None;
        if journal.unwritable().is_none() {
            served = Some((journal.writable()?, Log::of(journal)));
        }
        // Two epochs may wait: a third would only hide that the journal is slow.
        let (sender, receiver) = bounded(2);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn({
                let (path, unrecorded) = (path.clone(), Arc::clone(&unrecorded));
                move || {
                    let mut result = Ok(());
                    if let Some((mut connection, mut log)) = served
                        && let Err(error) = serve(&mut connection, &receiver, &mut log)
                    {
                        let error = error::database_of(&path, &error, &connection);
                        if lenient && error.is_unwritable() {
                            *unrecorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        } else {
                            let full = error.is_full().then_some(Full::Journal);
                            stop.set(StopReason::Journal(error.clone(), full));
                            result = Err(error);
                        }
                    }
                    // Dropping a queued flush releases its waiter; this ends with the last handle.
                    receiver.iter().for_each(drop);
                    result
                }
            })
            .map_err(|e| JournalError::Writer { path: path.clone(), what: WriterEnd::NotStarted(e.to_string()) })?;
        Ok(Self { handle: WriterHandle(sender), thread, path, unrecorded })
    }

    /// A sender for another thread.
    #[must_use]
    pub fn handle(&self) -> WriterHandle {
        self.handle.clone()
    }

    /// Waits until everything sent is committed. All other handles must be gone. Returns why nothing
    /// was recorded, if a pass that only verifies went on without.
    pub fn finish(self) -> Result<Option<JournalError>, JournalError> {
        drop(self.handle);
        match self.thread.join() {
            Ok(Ok(())) => Ok(self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner).take()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(JournalError::Writer { path: self.path, what: WriterEnd::Panicked }),
        }
    }
}

impl WriterHandle {
    /// Records entries that the medium has. Only this and [`Self::confirm`] make a row done.
    pub fn commit(&self, durable: Durable) {
        self.send(WriterMessage::Commit(durable));
    }

    /// Records that these were verified at `at` (seconds since the epoch), with the inode and ctime
    /// of their rows.
    pub fn verified(&self, at: i64, seen: Vec<Seen>) {
        self.send(WriterMessage::Verified { at, seen });
    }

    /// Records that these were found whole in their current state, and that the medium has them so.
    pub fn confirm(&self, confirmed: Confirmed) {
        self.send(WriterMessage::Confirmed(confirmed));
    }

    /// Records that these are damaged: the next run copies them again, unless they have
    /// changed by then.
    pub fn bad(&self, seen: Vec<Seen>) {
        self.send(WriterMessage::Bad(seen));
    }

    /// Records that these, as they were accepted on the target, are damaged: every pass reads them again.
    pub fn accepted_bad(&self, seen: Vec<Seen>) {
        self.send(WriterMessage::AcceptedBad(seen));
    }

    /// Makes the indices that [`Reader::recorded_as`](super::Reader::recorded_as) needs, or drops them.
    pub fn index_inodes(&self, wanted: bool) {
        self.send(WriterMessage::IndexInodes(wanted));
    }

    /// The rename over `name` in the directory `dir` did not happen.
    pub fn not_replaced(&self, dir: i64, name: Vec<u8>) {
        self.send(WriterMessage::NotReplaced { dir, name });
    }

    /// Records, on the medium, the rows of inodes that are about to be renamed over
    /// what earlier rows describe.
    ///
    /// False when they could not be recorded: the run is ending.
    #[must_use]
    pub fn replacing(&self, rows: Vec<Row>) -> bool {
        let (sender, receiver) = bounded(1);
        self.send(WriterMessage::Replacing(rows));
        self.send(WriterMessage::Flush(sender));
        // A failed writer drops the sender.
        receiver.recv().is_ok()
    }

    /// Records owners and modes that fixups gave to entries finished by earlier runs.
    pub fn fixed(&self, fixed: Vec<Fixed>) {
        self.send(WriterMessage::Fixed(fixed));
    }

    /// Records that these chunks of a large file differ: only they are copied again.
    pub fn bad_chunks(&self, dir: i64, name: Vec<u8>, indices: Vec<u64>) {
        self.send(WriterMessage::BadChunks { dir, name, indices });
    }

    /// Sets a value of the `meta` table.
    pub fn meta(&self, key: &'static str, value: String) {
        self.send(WriterMessage::Meta(key, value));
    }

    /// Records a file system of the source, before any row that has its number.
    pub fn volume(&self, id: i64, key: String) {
        self.send(WriterMessage::Volume(id, key));
    }

    /// Forgets an entry that is no longer declared and is gone, with everything below it.
    pub fn forget(&self, dst: RelPath) {
        self.send(WriterMessage::Forget(dst));
    }

    /// Forgets rows whose entries are gone from the medium.
    pub fn removed(&self, removed: DurablyRemoved) {
        self.send(WriterMessage::Removed(removed));
    }

    /// Begins the record of a run.
    pub fn run_started(&self, kind: RunKind, started: String, tool: String) {
        self.send(WriterMessage::RunStarted { kind, started, tool });
    }

    /// Records that the run begins to copy: `expected` entries, and the command that resumes it if
    /// it is interrupted.
    pub fn copying(&self, command: Option<String>, expected: u64) {
        self.send(WriterMessage::Copying { command, expected });
    }

    /// Records that the run's copy is complete. Failures of earlier runs are settled, or it met them
    /// itself.
    pub fn copied(&self, at: String) {
        self.send(WriterMessage::Copied { at });
    }

    /// Records what this run could not copy or keep, in these `words`.
    pub fn problems(&self, problems: Vec<Problem>, words: Words) {
        self.send(WriterMessage::Problems(problems, words));
    }

    /// Ends the record of a run with its report as JSON.
    pub fn run_ended(&self, ended: String, outcome: Outcome, report: String) {
        self.send(WriterMessage::RunEnded { ended, outcome, report });
    }

    /// Waits until everything sent before is committed and readers can see it.
    pub fn flush(&self) {
        let (sender, receiver) = bounded(1);
        self.send(WriterMessage::Flush(sender));
        // A failed writer drops the sender; the failure is in `stop`.
        receiver.recv().ok();
    }

    fn send(&self, message: WriterMessage) {
        // The thread is gone only after a failure that it has already reported through `stop`.
        drop(self.0.send(message));
    }
}
