//! The open journal of a run.

use super::connect::{self, ConnectionGuard, DatabasePlace, Files};
use super::error;
use super::item::PARTIAL;
use super::location::{Location, set_aside};
use super::past::{Past, past};
use super::reader::Reader;
use super::state_dir::StateDir;
use super::{lock, schema};
use crate::base::path::Name;
use crate::engine::events::journal_error::{Distrust, FileStep, JournalError};
use crate::sys::Errno;
use crate::sys::at::Opening;
use rusqlite::{Connection, OpenFlags};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What a journal's connections are.
#[derive(Debug)]
enum Access {
    /// They write, or read beside the one that writes.
    Write,
    /// They only read: nothing can be written to the disk.
    Read { why: JournalError, files: Files },
    /// They read a copy in memory of an older release's journal, for the same reason.
    Memory { why: JournalError, name: String, _keeps: Mutex<Connection> },
}

/// An open journal whose lock is held until this is dropped.
#[derive(Debug)]
pub struct Journal {
    pub(super) location: Location,
    pub(super) held: ConnectionGuard,
    access: Access,
    /// Rows of earlier runs exist, so the engine has something to look up.
    resumed: bool,
    past: Past,
    _lock: Option<std::fs::File>,
}

impl Journal {
    /// Takes the lock and opens the database, making both if need be; `restart`
    /// sets an existing database aside first, whatever its state.
    pub fn open(location: Location, restart: bool) -> Result<Self, JournalError> {
        let dir = Arc::new(StateDir::make(location.directory())?);
        let lock = lock::take(&dir, &location.lock(), &location.directory().join(location.lock()))?;
        // If the old journal's last run was interrupted, that is still true of the target.
        let interrupted = restart && was_interrupted(&location);
        if restart {
            set_aside(&location, &dir)?;
        }
        let (file, path) = (location.file(), location.database());
        let place = DatabasePlace { dir: &dir, file: &file, path: &path };
        let files = place.look()?;
        if files.rollback > 0 && !dir.has_owners() {
            // It may name arbitrary files to remove, and its owner is unknown.
            let path = location.directory().join(format!("{file}-journal"));
            return Err(JournalError::Untrusted { path, what: Distrust::ForeignTransaction });
        }
        if files.database.is_none() {
            // SQLite would create it 0644; its log inherits the mode of the database.
            dir.open_file(&file, Opening::MakeNew).map_err(error::file(&path, FileStep::Create))?;
        }
        let connection = connect::writable(place)?;
        let wrap = |source| error::database_of(&path, &source, &connection);
        match connect::version(&connection, &path)? {
            None => schema::create(&connection).map_err(wrap)?,
            Some(schema::VERSION) => {}
            Some(older) => schema::migrate(&connection, older).map_err(wrap)?,
        }
        let resumed = has_rows(&connection).map_err(wrap)?;
        let mut past = past(&connection, resumed).map_err(wrap)?;
        past.interrupted |= interrupted;
        if location.was_set_aside_in(&dir)? {
            past = past.after_restart();
        }
        Ok(Self { location, held: ConnectionGuard::new(&dir), access: Access::Write, resumed, past, _lock: Some(lock) })
    }

    /// The same for a pass that only looks at the target, and records the order of the plan's
    /// targets. If nothing can be written, because the disk is full, read-only or failing, the
    /// journal is read as it is, and [`Self::unwritable`] says why. Returns the names of the
    /// targets by number as well.
    pub fn open_to_verify(location: Location, targets: &[String]) -> Result<(Self, Vec<String>), JournalError> {
        let opened = Self::open(location.clone(), false).and_then(|journal| {
            let names = journal.declare_targets(targets)?;
            Ok((journal, names))
        });
        opened.or_else(|error| {
            if !error.is_unwritable() {
                return Err(error);
            }
            let journal = Self::open_unwritable(location, error)?;
            let names = journal.reader()?.targets()?;
            Ok((journal, names))
        })
    }

    fn open_unwritable(location: Location, why: JournalError) -> Result<Self, JournalError> {
        let (file, path) = (location.file(), location.database());
        let gone = || error::file(&path, FileStep::Open)(Errno::NOENT);
        let dir = Arc::new(StateDir::open(location.directory())?.ok_or_else(gone)?);
        let lock = lock::take_unwritten(&dir, &location.lock(), &location.directory().join(location.lock()))?;
        let held = ConnectionGuard::with_log(&dir)?;
        let place = DatabasePlace { dir: &dir, file: &file, path: &path };
        let files = place.look()?.readable().ok_or_else(gone)?;
        let connection = connect::reading(place, files)?;
        let access = match connect::version(&connection, &path)?.ok_or_else(gone)? {
            schema::VERSION => Access::Read { why, files },
            older => {
                let migrated = connect::migrated(&connection, older, &path)?;
                let name = format!("file:/journal-{}?vfs=memdb", std::process::id());
                let keep = || {
                    let shared = open_memory(&name)?;
                    // A page-by-page copy would need a log, which a database in memory does not have.
                    migrated.execute("VACUUM INTO ?1", [&name])?;
                    Ok(shared)
                };
                let keeps = Mutex::new(keep().map_err(|source| error::database(&path, &source))?);
                Access::Memory { why, name, _keeps: keeps }
            }
        };
        let resumed = has_rows(&connection).map_err(|source| error::database_of(&path, &source, &connection))?;
        drop(connection);
        // Verification alone never judges the target by how a run ended.
        let past = Past::default();
        Ok(Self { location, held, access, resumed, past, _lock: lock })
    }

    /// Why nothing can be recorded, if so.
    #[must_use]
    pub fn unwritable(&self) -> Option<&JournalError> {
        match &self.access {
            Access::Write => None,
            Access::Read { why, .. } | Access::Memory { why, .. } => Some(why),
        }
    }

    /// How the copying runs before this one ended.
    #[must_use]
    pub fn past(&self) -> Past {
        self.past
    }

    /// True when an earlier run left rows.
    #[must_use]
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.location.database()
    }

    /// Device and inode number of the directory that holds it.
    pub fn directory_id(&self) -> Result<(u64, u64), JournalError> {
        self.held.dir.stat().map(|stat| (stat.dev, stat.ino))
    }

    /// A connection for reading.
    pub fn reader(&self) -> Result<Reader, JournalError> {
        Ok(Reader::new(self.asking()?, self.path(), self.held.clone()))
    }

    pub(super) fn asking(&self) -> Result<Connection, JournalError> {
        match &self.access {
            Access::Write => self.at(connect::asking),
            Access::Read { files, .. } => self.at(|place| connect::reading(place, *files)),
            Access::Memory { name, .. } => open_memory(name).map_err(|source| error::database(&self.path(), &source)),
        }
    }

    /// Forgets the chunks of a large file, on the medium, before its inode is emptied:
    /// a row must never claim bytes that are gone. What is still on its way to the
    /// journal must have arrived.
    pub fn forget_chunks(&self, dir: i64, name: &Name) -> Result<(), JournalError> {
        let connection = self.writable()?;
        let forget = || {
            connection.pragma_update(None, "synchronous", "full")?;
            connection.execute("DELETE FROM chunk WHERE dir = ?1 AND name = ?2", (dir, name.as_bytes()))
        };
        forget().map(drop).map_err(|source| error::database_of(&self.path(), &source, &connection))
    }

    /// Marks a damaged large file as unfinished, on the medium, before its bad chunks are rewritten
    /// in place: after a kill it is this plan's partial copy, not somebody's change.
    pub fn begin_mending(&self, dir: i64, name: &Name) -> Result<(), JournalError> {
        let connection = self.writable()?;
        let begin = || {
            connection.pragma_update(None, "synchronous", "full")?;
            let sql = format!("UPDATE item SET state = {PARTIAL}, verified = NULL WHERE dir = ?1 AND name = ?2");
            connection.execute(&sql, (dir, name.as_bytes()))
        };
        begin().map(drop).map_err(|source| error::database_of(&self.path(), &source, &connection))
    }

    pub(super) fn writable(&self) -> Result<Connection, JournalError> {
        self.at(connect::writable)
    }

    fn at<T>(&self, then: impl FnOnce(DatabasePlace<'_>) -> T) -> T {
        then(DatabasePlace { dir: &self.held.dir, file: &self.location.file(), path: &self.location.database() })
    }
}

fn has_rows(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row("SELECT EXISTS(SELECT 1 FROM item)", [], |row| row.get(0))
}

/// Whether the last run in a journal was stopped or killed; false if it cannot be read.
fn was_interrupted(location: &Location) -> bool {
    location.past(false).is_ok_and(|past| past.interrupted)
}

impl Location {
    /// How the copying runs of the plan ended, as [`Journal::past`] would say after
    /// [`Journal::open`]; nothing is written.
    pub fn past(&self, restart: bool) -> Result<Past, JournalError> {
        let mut last = Past::default();
        match self.open_read_only() {
            Ok(Some((connection, _held))) => {
                let asked = has_rows(&connection).and_then(|resumed| past(&connection, resumed));
                last = asked.map_err(|source| error::database(&self.database(), &source))?;
            }
            Ok(None) => {}
            // It would be set aside as it is.
            Err(_) if restart => {}
            Err(error) => return Err(error),
        }
        if restart {
            return Ok(Past { interrupted: last.interrupted, ..Past::default() }.after_restart());
        }
        if self.was_set_aside()? { Ok(last.after_restart()) } else { Ok(last) }
    }
}

/// A database in memory that all connections of the process by this name share.
fn open_memory(name: &str) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(name, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}
