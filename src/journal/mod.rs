//! The journal: which entries are whole on the medium, and what they shall be.
//!
//! An SQLite database in WAL mode. Rows enter through one writer thread and only
//! inside a [`Durable`](crate::durable::Durable), which nothing but a successful
//! syncfs makes. `synchronous=NORMAL` is enough: a commit that a power cut takes
//! back means copying again, and a row can never be ahead of its data.

mod declared;
mod reader;
mod row;
mod schema;
mod writer;

pub use declared::Declared;
pub use reader::{PastRun, Reader};
pub use row::{CHUNKED, Chunk, Record, Row, SourceId, State};
pub use writer::{RunKind, Seen, Writer, WriterHandle};

use crate::path::Name;
use crate::sys::{Errno, Op, errno_words, retry};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directory of persistcp's state on a file system.
pub const STATE_DIR: &str = ".persistcp";

/// Why the journal cannot be used. Each message ends with the way out.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another run of the same plan holds the lock.
    #[error("another run of this plan is alive: {holder} (lock {})\n  wait for it, or stop it with SIGINT: it can be resumed", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// "pid N, started …" as that run wrote it.
        holder: String,
    },
    /// A file or directory operation failed.
    #[error("journal {}: {operation}: {}", path.display(), errno_words(*errno))]
    File {
        /// What was worked on.
        path: PathBuf,
        /// Like "create".
        operation: &'static str,
        /// Why.
        errno: Errno,
    },
    /// SQLite reports an error.
    #[error("journal {}: {source}\n  the copy on the target is untouched; if the journal is damaged, --restart begins a new one and copies again", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// Not a journal, or one of another version.
    #[error("journal {}: {what}\n  use the persistcp that wrote it, or --restart to begin a new one and copy again", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The writer thread is gone.
    #[error("journal {}: {what}", path.display())]
    Writer {
        /// The database.
        path: PathBuf,
        /// Why it ended.
        what: String,
    },
}

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

    /// The database file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.directory.join(format!("{}.sqlite", self.name))
    }

    fn lock_file(&self) -> PathBuf {
        self.directory.join(format!("{}.lock", self.name))
    }

    /// Who holds the lock, if anybody; looks without creating anything.
    pub fn holder(&self) -> Result<Option<String>, JournalError> {
        let path = self.lock_file();
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match retry(Op::Open, || rustix::fs::open(&path, flags, Mode::empty())) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(JournalError::File { path, operation: "open the lock", errno }),
            Ok(fd) => match retry(Op::Flock, || rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)) {
                Ok(()) => Ok(None),
                Err(Errno::WOULDBLOCK) => Ok(Some(lock_text(fd))),
                Err(errno) => Err(JournalError::File { path, operation: "ask for the lock", errno }),
            },
        }
    }

    fn is_there(&self) -> Result<bool, JournalError> {
        let path = self.database();
        match retry(Op::Stat, || rustix::fs::stat(&path)) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(JournalError::File { path, operation: "look at", errno }),
        }
    }

    /// True when a journal of this plan exists. An existing database is checked
    /// without writing to it.
    pub fn exists(&self) -> Result<bool, JournalError> {
        Ok(self.is_there()? && self.version(&self.open_read_only()?)?.is_some())
    }

    /// A connection for reading alone: no lock is taken and nothing is made. `None`
    /// when there is no journal.
    pub fn read(&self) -> Result<Option<Reader>, JournalError> {
        if !self.exists()? {
            return Ok(None);
        }
        Ok(Some(Reader::new(self.open_read_only()?, self.database())))
    }

    fn open_read_only(&self) -> Result<Connection, JournalError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let look = |connection: &Connection| connection.query_row("PRAGMA schema_version", [], |_| Ok(()));
        if look(&connection).is_err_and(|e| e.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly)) {
            // A transaction that a power cut left half done, before the database got its log.
            // Only a connection that may write takes it back.
            drop(connection);
            let path = self.database();
            let mended = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW)?;
            look(&mended).map_err(|source| JournalError::Database { path, source })?;
            return self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY);
        }
        match self.version(&connection)? {
            Some(older) if older < schema::VERSION => self.migrated(&connection, older),
            _ => Ok(connection),
        }
    }

    /// A copy in memory of a journal of an older release, brought to this version: what only
    /// reads must not change the file.
    fn migrated(&self, old: &Connection, version: i32) -> Result<Connection, JournalError> {
        let copy = || {
            let mut copy = Connection::open_in_memory()?;
            Backup::new(old, &mut copy)?.run_to_completion(1 << 14, Duration::ZERO, None)?;
            schema::migrate(&copy, version)?;
            Ok(copy)
        };
        copy().map_err(|source| JournalError::Database { path: self.database(), source })
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection, JournalError> {
        let path = self.database();
        let wrap = |source| JournalError::Database { path: path.clone(), source };
        let connection = Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(wrap)?;
        connection.busy_timeout(Duration::from_secs(30)).map_err(wrap)?;
        Ok(connection)
    }

    /// The version of a journal that this program reads; `None` for a database that a
    /// kill left before its tables were made.
    fn version(&self, connection: &Connection) -> Result<Option<i32>, JournalError> {
        let path = self.database();
        let pragma = |name: &str| {
            connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0))
                .map_err(|source| JournalError::Database { path: path.clone(), source })
        };
        let (application, version) = (pragma("application_id")?, pragma("user_version")?);
        // The tables and these two numbers are made in one transaction.
        if pragma("schema_version")? == 0 {
            return Ok(None);
        }
        let what = if application != schema::APPLICATION_ID {
            "it is not a persistcp journal".to_string()
        } else if version > schema::VERSION {
            format!("it is of version {version}; this persistcp knows {}", schema::VERSION)
        } else if version < schema::OLDEST {
            format!("it is of the older version {version}")
        } else {
            return Ok(Some(version));
        };
        Err(JournalError::Foreign { path, what })
    }
}

fn lock_text(fd: OwnedFd) -> String {
    let mut text = String::new();
    match std::fs::File::from(fd).take(200).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_string(),
        _ => "its process is not known".to_string(),
    }
}

/// An open journal whose lock is held until this is dropped.
#[derive(Debug)]
pub struct Journal {
    location: Location,
    /// Rows of earlier runs exist: the engine has something to look up.
    resumed: bool,
    _lock: std::fs::File,
}

impl Journal {
    /// Takes the lock and opens the database, making both if need be; `restart`
    /// sets an existing database aside first, whatever its state.
    pub fn open(location: Location, restart: bool) -> Result<Self, JournalError> {
        make_state_dir(&location.directory)?;
        let lock = take_lock(&location)?;
        if restart {
            set_aside(&location)?;
        }
        let path = location.database();
        if !location.is_there()? {
            // SQLite would make it 0644; its log takes over the mode of the database.
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = retry(Op::Create, || rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)));
            made.map_err(|errno| JournalError::File { path: path.clone(), operation: "create", errno })?;
        }
        let connection = open_writable(&path)?;
        let wrap = |source| JournalError::Database { path: path.clone(), source };
        match location.version(&connection)? {
            None => create(&connection).map_err(wrap)?,
            Some(schema::VERSION) => {}
            Some(older) => schema::migrate(&connection, older).map_err(wrap)?,
        }
        let rows: bool = connection
            .query_row("SELECT EXISTS(SELECT 1 FROM item)", [], |row| row.get(0))
            .map_err(|source| JournalError::Database { path, source })?;
        Ok(Self { location, resumed: rows, _lock: lock })
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
        let path = &self.location.directory;
        retry(Op::Stat, || rustix::fs::stat(path))
            .map(|stat| (stat.st_dev, stat.st_ino))
            .map_err(|errno| JournalError::File { path: path.clone(), operation: "look at", errno })
    }

    /// A connection for reading.
    pub fn reader(&self) -> Result<Reader, JournalError> {
        Ok(Reader::new(self.location.open_read_only()?, self.path()))
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
        forget().map(drop).map_err(|source| JournalError::Database { path: self.path(), source })
    }

    fn writable(&self) -> Result<Connection, JournalError> {
        open_writable(&self.path())
    }
}

fn open_writable(path: &Path) -> Result<Connection, JournalError> {
    let wrap = |source| JournalError::Database { path: path.to_path_buf(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
    connection.busy_timeout(Duration::from_secs(30)).map_err(wrap)?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(wrap)?;
    connection.pragma_update(None, "synchronous", "normal").map_err(wrap)?;
    connection.pragma_update(None, "wal_autocheckpoint", 10_000).map_err(wrap)?;
    connection.pragma_update(None, "cache_size", -16_000).map_err(wrap)?;
    Ok(connection)
}

fn create(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(&format!(
        "BEGIN; PRAGMA application_id = {}; PRAGMA user_version = {}; {} COMMIT;",
        schema::APPLICATION_ID,
        schema::VERSION,
        schema::CREATE
    ))
}

fn make_state_dir(path: &Path) -> Result<(), JournalError> {
    let fail = |operation| move |errno| JournalError::File { path: path.to_path_buf(), operation, errno };
    match retry(Op::Mkdir, || rustix::fs::mkdir(path, Mode::from_raw_mode(0o700))) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(fail("create the directory")(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = retry(Op::Open, || rustix::fs::open(path, flags, Mode::empty())).map_err(fail("open the directory"))?;
    // Whoever owns it could exchange what is in it; vfat and the like have one owner for all.
    let owner = crate::sys::stat::stat_fd(&fd).map_err(fail("look at"))?.uid;
    let ownerless = crate::sys::filesystem::space(&fd).is_ok_and(|space| space.without_owners().is_some());
    if owner != crate::sys::effective_ids().0 && !ownerless {
        return Err(fail("trust the directory of another user; remove it, or name a place with --state")(Errno::PERM));
    }
    crate::sys::file::chmod(crate::sys::xattr::Holder::file(&fd), 0o700).map_err(fail("make private"))
}

fn take_lock(location: &Location) -> Result<std::fs::File, JournalError> {
    let path = location.lock_file();
    let fail = |operation| {
        let path = path.clone();
        move |errno| JournalError::File { path, operation, errno }
    };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600));
    let fd = retry(Op::Create, open).map_err(fail("open the lock"))?;
    match retry(Op::Flock, || rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(JournalError::Locked { path: path.clone(), holder: lock_text(fd) }),
        Err(errno) => return Err(fail("take the lock")(errno)),
    }
    let mut file = std::fs::File::from(fd);
    let text = format!("pid {}, started {}\n", std::process::id(), crate::clock::now().rfc3339());
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
    written.map_err(|e| fail("write the lock")(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
    Ok(file)
}

/// Keeps the old database beside the new one: `--restart` loses nothing.
fn set_aside(location: &Location) -> Result<(), JournalError> {
    let stamp = crate::clock::now().unix();
    for suffix in ["", "-wal", "-shm"] {
        let mut from = location.database().into_os_string();
        from.push(suffix);
        let mut to = location.database().into_os_string();
        to.push(format!(".old-{stamp}{suffix}"));
        match retry(Op::Rename, || rustix::fs::rename(&from, &to)) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(JournalError::File { path: from.into(), operation: "set aside", errno }),
        }
    }
    Ok(())
}
