//! What earlier runs and this one have recorded: the journal, read through connections that
//! are passed from task to task.

use super::entry::CopyEntry;
use super::node::DirNode;
use crate::base::path::Name;
use crate::engine::context::RunContext;
use crate::engine::events::stop::{Stop, StopReason};
use crate::engine::journal::{Journal, JournalError, Reader, Row, RowAnswer};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The journal and its idle connections.
pub(super) struct Records {
    journal: Arc<Journal>,
    idle: Mutex<Vec<Reader>>,
    /// This run has left groups of hard links to the journal.
    has_groups: AtomicBool,
    stop: Stop,
}

impl Records {
    pub(super) fn new(run: &RunContext) -> Self {
        let (journal, stop) = (Arc::clone(&run.journal), run.stop.clone());
        Self { journal, idle: Mutex::default(), has_groups: AtomicBool::new(false), stop }
    }

    /// An unreadable journal ends the run: copying on could undo what it knows.
    pub(super) fn ask<T>(&self, answer: Result<T, JournalError>) -> Option<T> {
        answer.map_err(|error| self.stop.set(StopReason::Journal(error, None))).ok()
    }

    /// A connection, if the journal has rows that matter: an earlier run's, or this run's groups
    /// of hard links.
    pub(super) fn reader(&self) -> Option<Reader> {
        if !self.journal.resumed() && !self.has_groups.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(reader) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Some(reader);
        }
        self.ask(self.journal.reader())
    }

    /// Calls `then` with such a connection.
    pub(super) fn with_reader<T>(&self, then: impl FnOnce(Option<&Reader>) -> T) -> T {
        let reader = self.reader();
        let answer = then(reader.as_ref());
        reader.into_iter().for_each(|reader| self.give_back(reader));
        answer
    }

    pub(super) fn give_back(&self, reader: Reader) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }

    /// A connection that sees one state of the journal, for many names of one directory.
    pub(super) fn hold(&self) -> Option<HeldReader<'_>> {
        let reader = self.reader()?;
        self.ask(reader.hold())?;
        Some(HeldReader { records: self, reader: Some(reader) })
    }

    /// From here on the journal must be asked for this run's groups.
    pub(super) fn have_groups(&self) {
        self.has_groups.store(true, Ordering::Relaxed);
    }

    /// The row of `entry`, which may have been asked for already. `None` when the run is ending.
    pub(super) fn row_of(&self, entry: &CopyEntry<'_>) -> Option<Option<Arc<Row>>> {
        match (entry.recorded, entry.reader) {
            (RowAnswer::Known(row), _) => Some(row.clone()),
            (RowAnswer::Unasked, Some(reader)) => {
                self.ask(reader.find(entry.node().id, entry.name)).map(|row| row.map(Arc::new))
            }
            (RowAnswer::Unasked, None) => Some(None),
        }
    }

    /// The row of `name`, from an earlier run.
    pub(super) fn row(&self, above: &DirNode, name: &Name) -> Option<Row> {
        self.with_reader(|reader| self.ask(reader?.find(above.id, name)).flatten())
    }

    /// The row of the directory `name`, from an earlier run.
    pub(super) fn prior(&self, above: &DirNode, name: &Name) -> Option<Row> {
        self.row(above, name).filter(|row| row.id.is_some())
    }
}

/// A connection that goes back to the others when it is dropped.
pub(super) struct HeldReader<'r> {
    records: &'r Records,
    reader: Option<Reader>,
}

impl HeldReader<'_> {
    pub(super) fn get(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }
}

impl Drop for HeldReader<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take()
            && self.records.ask(reader.let_go()).is_some()
        {
            self.records.give_back(reader);
        }
    }
}
