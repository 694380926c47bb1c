//! Where a plan's journal lives, and what can be asked of it without a run.

use super::connect::{self, ConnectionGuard, DatabasePlace};
use super::reader::Reader;
use super::state_dir::StateDir;
use super::{error, lock, schema};
use crate::engine::events::journal_error::{FileStep, JournalError, LockHolder};
use crate::sys::Errno;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory of persistcp's state on a file system.
pub const STATE_DIR: &str = ".persistcp";

/// What follows the name of a database that `--restart` has set aside, before the time.
const SET_ASIDE: &str = ".old-";

/// Where a plan's journal lives.
#[derive(Clone, Debug)]
pub struct Location {
    directory: PathBuf,
    name: String,
}

impl Location {
    /// The journal `name` in `directory`, usually `<target file system>/.persistcp`.
    #[must_use]
    pub fn new(directory: PathBuf, name: &str) -> Self {
        Self { directory, name: name.to_string() }
    }

    /// The directory that holds it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The database file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.directory.join(self.file())
    }

    /// The database's name in its directory.
    pub(super) fn file(&self) -> String {
        format!("{}.sqlite", self.name)
    }

    /// The lock's name in the directory.
    pub(super) fn lock(&self) -> String {
        format!("{}.lock", self.name)
    }

    /// Who holds the lock, if anybody, in one escaped line; creates nothing.
    pub fn holder(&self) -> Result<Option<LockHolder>, JournalError> {
        match StateDir::open(&self.directory)? {
            Some(dir) => lock::holder(&dir, &self.lock(), &self.directory.join(self.lock())),
            None => Ok(None),
        }
    }

    /// True when a journal of this plan exists. An existing database is checked
    /// without writing to it.
    pub fn exists(&self) -> Result<bool, JournalError> {
        Ok(self.open_read_only()?.is_some())
    }

    /// True when `--restart` has set a journal of this plan aside.
    pub fn was_set_aside(&self) -> Result<bool, JournalError> {
        let Some(dir) = StateDir::open(&self.directory)? else { return Ok(false) };
        self.was_set_aside_in(&dir)
    }

    pub(super) fn was_set_aside_in(&self, dir: &StateDir) -> Result<bool, JournalError> {
        dir.has_any(format!("{}{SET_ASIDE}", self.file()).as_bytes())
    }

    /// A connection for reading alone: no lock is taken and nothing is made. `None`
    /// when there is no journal.
    pub fn read(&self) -> Result<Option<Reader>, JournalError> {
        let opened = self.open_read_only()?;
        Ok(opened.map(|(connection, held)| Reader::new(connection, self.database(), held)))
    }

    pub(super) fn open_read_only(&self) -> Result<Option<(Connection, ConnectionGuard)>, JournalError> {
        let Some(dir) = StateDir::open(&self.directory)?.map(Arc::new) else { return Ok(None) };
        let (file, path) = (self.file(), self.database());
        let place = DatabasePlace { dir: &dir, file: &file, path: &path };
        if place.look()?.database.is_none() {
            return Ok(None);
        }
        let held = ConnectionGuard::with_log(&dir)?;
        let Some(files) = place.look()?.readable() else { return Ok(None) };
        let connection = connect::reading(place, files)?;
        Ok(match connect::version(&connection, &path)? {
            None => None,
            Some(schema::VERSION) => Some((connection, held)),
            Some(older) => Some((connect::migrated(&connection, older, &path)?, held)),
        })
    }
}

/// Keeps the old database beside the new one: `--restart` loses nothing.
pub(super) fn set_aside(location: &Location, dir: &StateDir) -> Result<(), JournalError> {
    let stamp = crate::base::clock::now().unix();
    let file = location.file();
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let from = format!("{file}{suffix}");
        match dir.rename(&from, &format!("{file}{SET_ASIDE}{stamp}{suffix}")) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                return Err(error::file(&location.directory.join(from), FileStep::SetAside)(errno));
            }
        }
    }
    Ok(())
}
