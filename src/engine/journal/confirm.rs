//! Entries that verification found whole, though they were bad before or have changed since
//! they were recorded, become done again.
//!
//! They may be whole in the page cache alone, as when somebody set a mode back a moment ago.
//! So their rows wait for a syncfs that begins after they were read.

use super::accepted::Acceptance;
use super::database::Journal;
use super::epoch::file_systems::FileSystems;
use super::seen::Seen;
use crate::sys::Errno;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// At most this many wait.
const MOST: usize = 16_384;

/// Entries that were found whole, and wait for a syncfs of their file systems.
#[derive(Debug)]
pub struct Unconfirmed {
    file_systems: FileSystems,
    waiting: Mutex<Vec<WaitingEntry>>,
    /// The journal cannot be written: nothing is recorded.
    idle: bool,
}

#[derive(Debug)]
struct WaitingEntry {
    file_system: usize,
    at: i64,
    found: Ascertained,
}

/// What the journal is to learn.
#[derive(Debug)]
pub enum Ascertained {
    /// An entry is whole in this state.
    Whole(Seen),
    /// What its owner did with an entry is taken into the manifest.
    Accepted(Acceptance),
}

/// Entries that were found whole and are on the medium in that state. Only
/// [`Unconfirmed::sync`] makes one.
#[derive(Debug)]
pub struct Confirmed(Vec<(i64, Ascertained)>);

impl Confirmed {
    /// When each was looked at, and what it was.
    pub(super) fn found(&self) -> &[(i64, Ascertained)] {
        &self.0
    }
}

impl Unconfirmed {
    /// None wait yet. If the journal cannot be written, none are kept.
    #[must_use]
    pub fn of(journal: &Journal) -> Self {
        let idle = journal.unwritable().is_some();
        Self { file_systems: FileSystems::default(), waiting: Mutex::default(), idle }
    }

    /// Adds an entry verified at time `at` on the file system with device number `dev`, of which
    /// `dir` is a directory. True when it is time to sync.
    pub fn add(
        &self,
        (dev, dir): (u64, impl AsFd),
        at: i64,
        found: impl IntoIterator<Item = Ascertained>,
    ) -> Result<bool, Errno> {
        if self.idle {
            return Ok(false);
        }
        let file_system = self.file_systems.index(dev, dir)?;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(found.into_iter().map(|found| WaitingEntry { file_system, at, found }));
        Ok(waiting.len() >= MOST)
    }

    /// Syncs the file systems of all waiting entries. `None` when there are none.
    pub fn sync(&self) -> Result<Option<Confirmed>, Errno> {
        let found = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if found.is_empty() {
            return Ok(None);
        }
        self.file_systems.sync(found.iter().map(|found| found.file_system).collect())?;
        Ok(Some(Confirmed(found.into_iter().map(|waiting| (waiting.at, waiting.found)).collect())))
    }
}
