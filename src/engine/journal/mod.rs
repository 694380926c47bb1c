//! The journal: which entries are whole on the medium, and what they shall be.
//!
//! An SQLite database in WAL mode. Rows enter through one writer thread and only
//! inside a [`Durable`](crate::engine::journal::epoch::Durable), which nothing but a successful
//! syncfs makes. `synchronous=NORMAL` is enough: a commit that a power cut takes
//! back means copying again, and a row can never be ahead of its data.
//!
//! The run that holds the lock is the only process that writes. Whoever only reads
//! holds a shared flock(2) on the directory, and the writer folds its log into the
//! database under the exclusive one: so neither waits for the other.

mod connect;
mod declared;
pub mod epoch;
mod error;
mod leftovers;
mod lock;
mod past;
mod reader;
mod row;
mod schema;
mod state_dir;
mod writer;

pub use declared::Declared;
pub use error::JournalError;
pub use past::PastRun;
pub use reader::Reader;
pub use row::{CHUNKED, Chunk, Doubt, Member, Proof, Record, Row, SourceId, Standing, State};
pub use writer::{Fixed, RunKind, Seen, Writer, WriterHandle};

use crate::base::path::Name;
use crate::sys::Errno;
use crate::sys::stat::Time;
use connect::{Files, Held, Place};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use rustix::fs::OFlags;
use state_dir::StateDir;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

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
    fn file(&self) -> String {
        format!("{}.sqlite", self.name)
    }

    /// The lock's name in the directory.
    fn lock(&self) -> String {
        format!("{}.lock", self.name)
    }

    /// Who holds the lock, if anybody, in one escaped line; looks without creating anything.
    pub fn holder(&self) -> Result<Option<String>, JournalError> {
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

    fn was_set_aside_in(&self, dir: &StateDir) -> Result<bool, JournalError> {
        dir.has_any(format!("{}{SET_ASIDE}", self.file()).as_bytes())
    }

    /// A connection for reading alone: no lock is taken and nothing is made. `None`
    /// when there is no journal.
    pub fn read(&self) -> Result<Option<Reader>, JournalError> {
        let opened = self.open_read_only()?;
        Ok(opened.map(|(connection, held)| Reader::new(connection, self.database(), held)))
    }

    fn open_read_only(&self) -> Result<Option<(Connection, Held)>, JournalError> {
        let Some(dir) = StateDir::open(&self.directory)?.map(Arc::new) else { return Ok(None) };
        let (file, path) = (self.file(), self.database());
        let place = Place { dir: &dir, file: &file, path: &path };
        if place.look()?.database.is_none() {
            return Ok(None);
        }
        let held = Held::with_log(&dir)?;
        let Some(files) = place.look()?.readable() else { return Ok(None) };
        let connection = connect::reading(place, files)?;
        Ok(match connect::version(&connection, &path)? {
            None => None,
            Some(schema::VERSION) => Some((connection, held)),
            Some(older) => Some((connect::migrated(&connection, older, &path)?, held)),
        })
    }
}

/// What a journal's connections are.
#[derive(Debug)]
enum Access {
    /// They write, or ask beside the one that does.
    Write,
    /// They only read: the disk takes nothing.
    Read { why: String, files: Files },
    /// They read a copy in memory of an older release's journal, for the same reason.
    Memory { why: String, name: String, _keeps: Mutex<Connection> },
}

/// An open journal whose lock is held until this is dropped.
#[derive(Debug)]
pub struct Journal {
    location: Location,
    held: Held,
    access: Access,
    /// Rows of earlier runs exist: the engine has something to look up.
    resumed: bool,
    past: Past,
    _lock: Option<std::fs::File>,
}

impl Journal {
    /// Takes the lock and opens the database, making both if need be; `restart`
    /// sets an existing database aside first, whatever its state.
    pub fn open(location: Location, restart: bool) -> Result<Self, JournalError> {
        let dir = Arc::new(StateDir::make(&location.directory)?);
        let lock = lock::take(&dir, &location.lock(), &location.directory.join(location.lock()))?;
        // What the older journal says of its last run is as true of what that left on the target.
        let interrupted = restart && was_interrupted(&location);
        if restart {
            set_aside(&location, &dir)?;
        }
        let (file, path) = (location.file(), location.database());
        let place = Place { dir: &dir, file: &file, path: &path };
        let files = place.look()?;
        if files.rollback > 0 && !dir.has_owners() {
            // It may name files to remove, anywhere, and nobody can tell who left it.
            let path = location.directory.join(format!("{file}-journal"));
            let what = "it is half a transaction, on a file system that does not tell whose".to_string();
            return Err(JournalError::Untrusted { path, what });
        }
        if files.database.is_none() {
            // SQLite would make it 0644; its log takes over the mode of the database.
            dir.open_file(&file, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL).map_err(|errno| JournalError::File {
                path: path.clone(),
                operation: "create",
                errno,
            })?;
        }
        let connection = connect::writable(place)?;
        let wrap = |source| JournalError::database_of(&path, source, &connection);
        match connect::version(&connection, &path)? {
            None => create(&connection).map_err(wrap)?,
            Some(schema::VERSION) => {}
            Some(older) => schema::migrate(&connection, older).map_err(wrap)?,
        }
        let resumed = has_rows(&connection).map_err(wrap)?;
        let mut past = past(&connection, resumed).map_err(wrap)?;
        let aside = location.was_set_aside_in(&dir)?;
        past.restarted = !past.ended && aside;
        past.interrupted |= interrupted;
        if aside {
            // Runs that the older journal knew had written before.
            past.began = None;
        }
        Ok(Self { location, held: Held::new(&dir), access: Access::Write, resumed, past, _lock: Some(lock) })
    }

    /// The same for a pass that only looks at the target, and records the order of the plan's
    /// targets. Where nothing can be written, because the disk is full, read-only or fails, the
    /// journal is read as it is, and [`Self::unwritable`] says why. Gives the names of the
    /// targets by number as well.
    pub fn open_to_verify(location: Location, targets: &[String]) -> Result<(Self, Vec<String>), JournalError> {
        let opened = Self::open(location.clone(), false).and_then(|journal| {
            let names = journal.declare_targets(targets)?;
            Ok((journal, names))
        });
        opened.or_else(|error| {
            let why = error.unwritable().ok_or(error)?;
            let journal = Self::open_unwritable(location, why)?;
            let names = journal.reader()?.targets()?;
            Ok((journal, names))
        })
    }

    fn open_unwritable(location: Location, why: String) -> Result<Self, JournalError> {
        let (file, path) = (location.file(), location.database());
        let gone = || JournalError::File { path: path.clone(), operation: "open", errno: Errno::NOENT };
        let dir = Arc::new(StateDir::open(&location.directory)?.ok_or_else(gone)?);
        let lock = lock::take_unwritten(&dir, &location.lock(), &location.directory.join(location.lock()))?;
        let held = Held::with_log(&dir)?;
        let place = Place { dir: &dir, file: &file, path: &path };
        let files = place.look()?.readable().ok_or_else(gone)?;
        let connection = connect::reading(place, files)?;
        let access = match connect::version(&connection, &path)?.ok_or_else(gone)? {
            schema::VERSION => Access::Read { why, files },
            older => {
                let migrated = connect::migrated(&connection, older, &path)?;
                let name = format!("file:/journal-{}?vfs=memdb", std::process::id());
                let keep = || {
                    let shared = open_memory(&name)?;
                    // A copy page by page would ask for a log, which memory has none of.
                    migrated.execute("VACUUM INTO ?1", [&name])?;
                    Ok(shared)
                };
                let keeps = Mutex::new(keep().map_err(|source| JournalError::database(&path, source))?);
                Access::Memory { why, name, _keeps: keeps }
            }
        };
        let resumed = has_rows(&connection).map_err(|source| JournalError::database_of(&path, source, &connection))?;
        drop(connection);
        // What only looks never judges what stands there by how a run ended.
        let past = Past::default();
        Ok(Self { location, held, access, resumed, past, _lock: lock })
    }

    /// Why nothing can be recorded, where that is so.
    #[must_use]
    pub fn unwritable(&self) -> Option<&str> {
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

    fn asking(&self) -> Result<Connection, JournalError> {
        match &self.access {
            Access::Write => self.at(connect::asking),
            Access::Read { files, .. } => self.at(|place| connect::reading(place, *files)),
            Access::Memory { name, .. } => {
                open_memory(name).map_err(|source| JournalError::database(&self.path(), source))
            }
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
        forget().map(drop).map_err(|source| JournalError::database_of(&self.path(), source, &connection))
    }

    /// Takes a damaged large file for unfinished, on the medium, before its bad chunks are
    /// written anew in place: after a kill it is this plan's half, not somebody's change.
    pub fn begin_mending(&self, dir: i64, name: &Name) -> Result<(), JournalError> {
        let connection = self.writable()?;
        let begin = || {
            connection.pragma_update(None, "synchronous", "full")?;
            connection.execute(
                "UPDATE item SET state = 4, verified = NULL WHERE dir = ?1 AND name = ?2",
                (dir, name.as_bytes()),
            )
        };
        begin().map(drop).map_err(|source| JournalError::database_of(&self.path(), source, &connection))
    }

    fn writable(&self) -> Result<Connection, JournalError> {
        self.at(connect::writable)
    }

    fn at<T>(&self, then: impl FnOnce(Place<'_>) -> T) -> T {
        then(Place { dir: &self.held.dir, file: &self.location.file(), path: &self.location.database() })
    }
}

fn has_rows(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row("SELECT EXISTS(SELECT 1 FROM item)", [], |row| row.get(0))
}

/// A database in memory that all connections of the process by this name share.
fn open_memory(name: &str) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(name, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// How the copying runs of a plan ended so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// When the first one began to write.
    pub began: Option<Time>,
    /// At least one came to its end, with or without problems.
    pub ended: bool,
    /// The last one was stopped or killed: what it had not recorded may stand on the target.
    pub interrupted: bool,
    /// What an older journal knew was set aside by `--restart`, and no run has come to its end since.
    pub restarted: bool,
}

fn past(connection: &Connection, resumed: bool) -> Result<Past, rusqlite::Error> {
    let mut statement = connection
        .prepare("SELECT coalesce(outcome IN ('ok', 'problems'), 0) FROM run WHERE kind = 'copy' ORDER BY id")?;
    let ends: Vec<bool> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let began = connection.query_row("SELECT value FROM meta WHERE key = 'began'", [], |row| row.get::<_, String>(0));
    let began = began.optional()?.and_then(|text| {
        let (sec, nsec) = text.split_once('.')?;
        Some(Time { sec: sec.parse().ok()?, nsec: nsec.parse().ok()? })
    });
    // A first run that ended before it copied anything has left nothing.
    let wrote = began.is_some() || ends.contains(&true) || resumed;
    let ended = ends.contains(&true);
    Ok(Past { began, ended, interrupted: wrote && ends.last() == Some(&false), restarted: false })
}

fn create(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(&format!(
        "BEGIN; PRAGMA application_id = {}; PRAGMA user_version = {}; {} COMMIT;",
        schema::APPLICATION_ID,
        schema::VERSION,
        schema::CREATE
    ))
}

/// Whether the last run that a journal knows was stopped or killed; no for one that cannot be read.
fn was_interrupted(location: &Location) -> bool {
    let Ok(Some((connection, _held))) = location.open_read_only() else { return false };
    has_rows(&connection).and_then(|resumed| past(&connection, resumed)).is_ok_and(|past| past.interrupted)
}

/// Keeps the old database beside the new one: `--restart` loses nothing.
fn set_aside(location: &Location, dir: &StateDir) -> Result<(), JournalError> {
    let stamp = crate::base::clock::now().unix();
    let file = location.file();
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let from = format!("{file}{suffix}");
        match dir.rename(&from, &format!("{file}{SET_ASIDE}{stamp}{suffix}")) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                return Err(JournalError::File { path: location.directory.join(from), operation: "set aside", errno });
            }
        }
    }
    Ok(())
}
