//! Connections to a journal's database: for the run that writes it, and for readers.

use super::error;
use super::schema;
use super::state_dir::StateDir;
use crate::engine::events::journal_error::{ForeignDatabase, JournalError, WriterEnd};
use crate::sys::sqlite::{READING, WRITING, register};
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What must live as long as a connection.
#[derive(Clone, Debug)]
pub(super) struct ConnectionGuard {
    /// The database's path goes through this directory's descriptor.
    pub(super) dir: Arc<StateDir>,
    /// Keeps the log from being checkpointed meanwhile.
    _log: Option<Arc<OwnedFd>>,
}

impl ConnectionGuard {
    pub(super) fn new(dir: &Arc<StateDir>) -> Self {
        Self { dir: Arc::clone(dir), _log: None }
    }

    /// For a connection of [`reading`].
    pub(super) fn with_log(dir: &Arc<StateDir>) -> Result<Self, JournalError> {
        Ok(Self { dir: Arc::clone(dir), _log: dir.keep_log()?.map(Arc::new) })
    }
}

/// The database `file` in a checked directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct DatabasePlace<'a> {
    pub(super) dir: &'a StateDir,
    /// Its name.
    pub(super) file: &'a str,
    /// Its path in messages.
    pub(super) path: &'a Path,
}

impl DatabasePlace<'_> {
    fn wrap(self) -> impl Fn(rusqlite::Error) -> JournalError {
        let path = self.path.to_path_buf();
        move |source| error::database(&path, &source)
    }

    fn registered(self) -> Result<(), JournalError> {
        let what = || JournalError::Writer { path: self.path.into(), what: WriterEnd::NoVfs };
        if register() { Ok(()) } else { Err(what()) }
    }

    /// Checks the database and the files that SQLite keeps beside it. Fails if one is not ours.
    pub(super) fn look(self) -> Result<Files, JournalError> {
        let size = |suffix: &str| self.dir.look(&format!("{}{suffix}", self.file)).map(|s| s.map(|s| s.size));
        size("-shm")?;
        Ok(Files { database: size("")?, log: size("-wal")?.unwrap_or(0), rollback: size("-journal")?.unwrap_or(0) })
    }
}

/// Sizes of a database's files, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files {
    /// `None`: there is none.
    pub(super) database: Option<u64>,
    /// The write-ahead log.
    pub(super) log: u64,
    /// A transaction that was cut off before the database had its log.
    pub(super) rollback: u64,
}

impl Files {
    /// What a reader can use: `None` when there is no database, or one that a power cut left
    /// before it got its log, and so before it had any table.
    pub(super) fn readable(self) -> Option<Self> {
        (self.database.is_some() && self.rollback == 0).then_some(self)
    }
}

/// A connection of the one process that holds the lock. All of them share the log's index,
/// which is in the heap; only [`crate::engine::journal::Writer`] checkpoints the log.
pub(super) fn writable(place: DatabasePlace<'_>) -> Result<Connection, JournalError> {
    place.registered()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let path = place.dir.through(place.file);
    let connection = Connection::open_with_flags_and_vfs(path, flags, WRITING).map_err(place.wrap())?;
    prepare(&connection).map_err(|source| error::database_of(place.path, &source, &connection))?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Otherwise partial indices make SQLite plan some statements anew for every value that is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -16_000)
}

/// A read-only connection of that process.
pub(super) fn asking(place: DatabasePlace<'_>) -> Result<Connection, JournalError> {
    let connection = writable(place)?;
    let narrow = || {
        connection.pragma_update(None, "cache_size", -2_000)?;
        connection.pragma_update(None, "query_only", true)
    };
    narrow().map_err(place.wrap())?;
    Ok(connection)
}

/// A connection that takes no lock, creates nothing and changes nothing: for readers, and for
/// disks that are full or read-only. [`ConnectionGuard::with_log`] must come first.
pub(super) fn reading(place: DatabasePlace<'_>, files: Files) -> Result<Connection, JournalError> {
    place.registered()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let path = place.dir.through(place.file);
    let connection = if files.log == 0 {
        // Without a log the database does not change, and no log may be created.
        Connection::open_with_flags_and_vfs(unchanging(&path), flags | OpenFlags::SQLITE_OPEN_URI, READING)
    } else {
        Connection::open_with_flags_and_vfs(&path, flags, READING)
    }
    .map_err(place.wrap())?;
    let prepare = || {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        // Must be set before the first read: it keeps the log's index in the heap.
        connection.pragma_update(None, "locking_mode", "exclusive")?;
        connection.query_row("PRAGMA schema_version", [], |_| Ok(()))
    };
    prepare().map_err(|source| error::database_of(place.path, &source, &connection))?;
    Ok(connection)
}

/// `path` as a URI for opening the database as immutable.
fn unchanging(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri + "?immutable=1"
}

/// A copy in memory of an older release's journal, migrated to this version: a reader must not
/// change the file.
pub(super) fn migrated(old: &Connection, version: i32, path: &Path) -> Result<Connection, JournalError> {
    let copy = || {
        let mut copy = Connection::open_in_memory()?;
        Backup::new(old, &mut copy)?.run_to_completion(1 << 14, Duration::ZERO, None)?;
        schema::migrate(&copy, version)?;
        Ok(copy)
    };
    copy().map_err(|source| error::database(path, &source))
}

/// The version of a journal that this program reads; `None` for a database that a
/// kill left before its tables were made.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<Option<i32>, JournalError> {
    let pragma = |name: &str| {
        connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0))
            .map_err(|source| error::database_of(path, &source, connection))
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    // The tables and these two numbers are made in one transaction.
    if pragma("schema_version")? == 0 {
        return Ok(None);
    }
    let what = if application != schema::APPLICATION_ID {
        ForeignDatabase::NoJournal
    } else if version > schema::VERSION {
        ForeignDatabase::Newer(version, schema::VERSION)
    } else if version < schema::OLDEST {
        ForeignDatabase::Older(version)
    } else {
        return Ok(Some(version));
    };
    Err(JournalError::Foreign { path: PathBuf::from(path), what })
}
