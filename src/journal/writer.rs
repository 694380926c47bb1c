//! The one thread that writes the journal.

use super::row::{Chunk, Record, Row, State};
use super::schema::COLUMNS;
use super::{Journal, JournalError};
use crate::digest::Algorithm;
use crate::durable::Durable;
use crate::path::RelPath;
use crate::stop::{Full, Reason, Stop};
use crate::sys::stat::{Kind, Time};
use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::{Connection, params};
use std::path::PathBuf;
use std::thread::JoinHandle;

/// What a run does to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// It writes: a migration or a repair.
    Copy,
    /// It only looks.
    Verify,
}

impl RunKind {
    /// As the journal stores it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Verify => "verify",
        }
    }
}

enum Message {
    Commit(Durable),
    Verified { at: i64, seen: Vec<Seen> },
    Bad(Vec<(i64, Vec<u8>)>),
    BadChunks { dir: i64, name: Vec<u8>, indices: Vec<u64> },
    Meta(&'static str, String),
    Forget(RelPath),
    RunStarted { kind: RunKind, started: String, tool: String },
    RunEnded { ended: String, outcome: &'static str, report: String },
    Flush(Sender<()>),
}

/// The running writer; [`Writer::finish`] ends it and tells whether all went well.
#[derive(Debug)]
pub struct Writer {
    handle: WriterHandle,
    thread: JoinHandle<Result<(), rusqlite::Error>>,
    path: PathBuf,
}

/// An entry that is as it shall be, and the ctime that it had before it was looked at:
/// as long as that stands, nothing of it has changed.
#[derive(Debug)]
pub struct Seen {
    /// The directory's id.
    pub dir: i64,
    /// The name in it.
    pub name: Vec<u8>,
    /// On the target.
    pub ctime: Time,
}

/// What other threads hold to send rows.
#[derive(Clone, Debug)]
pub struct WriterHandle(Sender<Message>);

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Writer {
    /// Starts the thread. A failed transaction stops the run through `stop`.
    pub fn start(journal: &Journal, stop: Stop) -> Result<Self, JournalError> {
        let connection = journal.writable()?;
        let path = journal.path();
        // Two epochs may wait: a third would only hide that the journal is slow.
        let (sender, receiver) = bounded(2);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn({
                let path = path.clone();
                move || {
                    let result = serve(connection, &receiver);
                    if let Err(error) = &result {
                        let words = format!("journal {}: {error}", path.display());
                        stop.set(match error.sqlite_error_code() {
                            Some(rusqlite::ErrorCode::DiskFull) => Reason::Full(words, Full::Journal),
                            _ => Reason::Fatal(words),
                        });
                        // A flush in the queue holds whoever waits for it; this ends with the last handle.
                        receiver.iter().for_each(drop);
                    }
                    result
                }
            })
            .map_err(|e| JournalError::Writer { path: path.clone(), what: format!("cannot start its thread: {e}") })?;
        Ok(Self { handle: WriterHandle(sender), thread, path })
    }

    /// A sender for another thread.
    #[must_use]
    pub fn handle(&self) -> WriterHandle {
        self.handle.clone()
    }

    /// Waits until everything sent is committed. All other handles must be gone.
    pub fn finish(self) -> Result<(), JournalError> {
        drop(self.handle);
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(JournalError::Database { path: self.path, source }),
            Err(_) => Err(JournalError::Writer { path: self.path, what: "its thread panicked".into() }),
        }
    }
}

impl WriterHandle {
    /// Records entries that the medium has: the only way to a done row.
    pub fn commit(&self, durable: Durable) {
        self.send(Message::Commit(durable));
    }

    /// Records that these were verified at `at` (seconds since the epoch).
    pub fn verified(&self, at: i64, seen: Vec<Seen>) {
        self.send(Message::Verified { at, seen });
    }

    /// Records that these keys are not as they should be: the next run copies them again.
    pub fn bad(&self, keys: Vec<(i64, Vec<u8>)>) {
        self.send(Message::Bad(keys));
    }

    /// Records that these chunks of a large file differ: only they are copied again.
    pub fn bad_chunks(&self, dir: i64, name: Vec<u8>, indices: Vec<u64>) {
        self.send(Message::BadChunks { dir, name, indices });
    }

    /// Sets a value of the `meta` table.
    pub fn meta(&self, key: &'static str, value: String) {
        self.send(Message::Meta(key, value));
    }

    /// Forgets an entry that is no longer declared and gone, with all below it.
    pub fn forget(&self, dst: RelPath) {
        self.send(Message::Forget(dst));
    }

    /// Begins the record of a run.
    pub fn run_started(&self, kind: RunKind, started: String, tool: String) {
        self.send(Message::RunStarted { kind, started, tool });
    }

    /// Ends the record of a run with its report as JSON.
    pub fn run_ended(&self, ended: String, outcome: &'static str, report: String) {
        self.send(Message::RunEnded { ended, outcome, report });
    }

    /// Waits until everything sent before is committed and readers can see it.
    pub fn flush(&self) {
        let (sender, receiver) = bounded(1);
        self.send(Message::Flush(sender));
        // A writer that failed drops the sender; the failure is in `stop`.
        receiver.recv().ok();
    }

    fn send(&self, message: Message) {
        // The thread is gone only after a failure that it has already reported through `stop`.
        drop(self.0.send(message));
    }
}

fn serve(mut connection: Connection, receiver: &Receiver<Message>) -> Result<(), rusqlite::Error> {
    let mut run = None;
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Commit(durable) => commit(&mut connection, durable)?,
            Message::Verified { at, seen } => verified(&mut connection, at, &seen)?,
            Message::Bad(keys) => {
                let bad = State::Bad.number();
                update_keys(
                    &mut connection,
                    // An unfinished large file was never called done, and keeps its chunks.
                    &format!(
                        "UPDATE item SET verified = NULL, state = {bad} WHERE dir = ?1 AND name = ?2 AND state <> 4"
                    ),
                    &keys,
                )?;
            }
            Message::BadChunks { dir, name, indices } => {
                let transaction = connection.transaction()?;
                for index in indices {
                    let key = (dir, &name, index.cast_signed());
                    transaction.execute("DELETE FROM chunk WHERE dir = ?1 AND name = ?2 AND idx = ?3", key)?;
                }
                transaction.commit()?;
            }
            Message::Meta(key, value) => {
                connection.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)", (key, value))?;
            }
            Message::Forget(dst) => super::declared::forget(&mut connection, &dst)?,
            // Whoever asked may have given up.
            Message::Flush(done) => drop(done.send(())),
            Message::RunStarted { kind, started, tool } => {
                let values = (kind.word(), started, tool);
                connection.execute("INSERT INTO run(kind, started, tool) VALUES(?1, ?2, ?3)", values)?;
                run = Some(connection.last_insert_rowid());
            }
            Message::RunEnded { ended, outcome, report } => {
                connection.execute(
                    "UPDATE run SET ended = ?1, outcome = ?2, report = ?3 WHERE id = ?4",
                    (ended, outcome, report, run),
                )?;
            }
        }
    }
    // Folds the log into the database, so that what is left is one file.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn verified(connection: &mut Connection, at: i64, seen: &[Seen]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(
            "UPDATE item SET verified = ?1, state = 1, dst_ctime = ?2, dst_ctime_ns = ?3 WHERE dir = ?4 AND name = ?5",
        )?;
        for Seen { dir, name, ctime } in seen {
            statement.execute((at, ctime.sec, ctime.nsec, dir, name))?;
        }
    }
    transaction.commit()
}

fn update_keys(connection: &mut Connection, sql: &str, keys: &[(i64, Vec<u8>)]) -> Result<(), rusqlite::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(sql)?;
        for (dir, name) in keys {
            statement.execute((dir, name))?;
        }
    }
    transaction.commit()
}

fn commit(connection: &mut Connection, durable: Durable) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let marks = (1..=31).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        let mut statement =
            transaction.prepare_cached(&format!("INSERT OR REPLACE INTO item({COLUMNS}) VALUES({marks})"))?;
        let mut chunk =
            transaction.prepare_cached("INSERT OR REPLACE INTO chunk(dir, name, idx, value) VALUES(?1, ?2, ?3, ?4)")?;
        let mut drop_chunks = transaction.prepare_cached("DELETE FROM chunk WHERE dir = ?1 AND name = ?2")?;
        for record in durable.records() {
            match record {
                Record::Row(row) => {
                    insert(&mut statement, row)?;
                    // What lay there under this name before had other chunks.
                    if row.kind() == Kind::File && !row.has_chunks() {
                        drop_chunks.execute((row.dir, &row.name))?;
                    }
                }
                Record::Chunk(Chunk { dir, name, index, value }) => {
                    chunk.execute((dir, name, index.cast_signed(), value))?;
                }
            }
        }
    }
    transaction.commit()
}

fn insert(statement: &mut rusqlite::CachedStatement<'_>, row: &Row) -> Result<(), rusqlite::Error> {
    let owner = row.wanted.owner;
    let mtime = row.wanted.mtime;
    let source = row.source;
    statement.execute(params![
        row.dir,
        row.name,
        row.id,
        row.target,
        row.state.number(),
        row.kind().letter(),
        row.size.cast_signed(),
        row.wanted.mode,
        owner.map(|o| o.0),
        owner.map(|o| o.1),
        mtime.map(|t| t.sec),
        mtime.map(|t| t.nsec),
        row.rdev.cast_signed(),
        row.nlink,
        source.map(|s| s.dev.cast_signed()),
        source.map(|s| s.ino.cast_signed()),
        source.map(|s| s.ctime.sec),
        source.map(|s| s.ctime.nsec),
        row.dst_ino.cast_signed(),
        row.dst_ctime.sec,
        row.dst_ctime.nsec,
        row.alias,
        row.digest.map(|d| match d.algorithm {
            Algorithm::Blake3 => 0,
            Algorithm::NonZeroChunks => 1,
        }),
        row.digest.map(|d| d.bytes),
        row.link,
        row.xattrs().map(crate::meta::Xattrs::to_bytes),
        row.wanted.flags.bits(),
        row.wanted.project,
        row.wanted.lost.bits(),
        row.verified,
        row.allocated.cast_signed(),
    ])?;
    Ok(())
}
