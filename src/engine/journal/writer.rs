//! The one thread that writes the journal.

use super::connect::Held;
use super::epoch::Durable;
use super::error::{errno_of, trouble_words, unwritable};
use super::row::{Chunk, Record, Row, Standing, State};
use super::schema::COLUMNS;
use super::{Journal, JournalError};
use crate::base::path::RelPath;
use crate::engine::content::digest::Algorithm;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::stop::{Full, Reason, Stop};
use crate::sys::Errno;
use crate::sys::errno_name;
use crate::sys::stat::{Kind, Stat, Time};
use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::{CachedStatement, Connection, Transaction, params};
use rustix::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

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
    Bad(Vec<Seen>),
    Replacing(Vec<Row>),
    NotReplaced { dir: i64, name: Vec<u8> },
    Fixed(Vec<Fixed>),
    BadChunks { dir: i64, name: Vec<u8>, indices: Vec<u64> },
    Meta(&'static str, String),
    Volume(i64, String),
    Forget(RelPath),
    RunStarted { kind: RunKind, started: String, tool: String },
    Copying { command: Option<String>, expected: u64 },
    Copied { at: String },
    Problems(Vec<(String, Problem)>),
    RunEnded { ended: String, outcome: &'static str, report: String },
    Flush(Sender<()>),
}

/// The running writer; [`Writer::finish`] ends it and tells whether all went well.
#[derive(Debug)]
pub struct Writer {
    handle: WriterHandle,
    thread: JoinHandle<Result<(), Failure>>,
    path: PathBuf,
    unrecorded: Unrecorded,
}

/// An error of SQLite and the system's behind it.
type Failure = (rusqlite::Error, Option<Errno>);

/// Why nothing is recorded, once that is so.
type Unrecorded = Arc<Mutex<Option<String>>>;

/// An entry that was looked at, and the inode number and ctime that it had before: as
/// long as those stand, nothing of it has changed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The directory's id.
    pub dir: i64,
    /// The name in it.
    pub name: Vec<u8>,
    /// On the target.
    pub ino: u64,
    /// On the target.
    pub ctime: Time,
}

/// A row whose inode has got another owner or mode after it was recorded.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// The key, and the inode as it is by now.
    pub seen: Seen,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Twelve bits.
    pub mode: u32,
}

impl Fixed {
    /// `row`, whose inode looked like `before` and looks like `now`. The ctime of one that
    /// somebody had changed stays the recorded one: it is all that tells of the change.
    #[must_use]
    pub fn new(row: &Row, before: Standing, now: &Stat) -> Self {
        let ctime = if before == Standing::AsRecorded { now.ctime } else { row.dst_ctime };
        let seen = Seen { dir: row.dir, name: row.name.clone(), ino: now.ino, ctime };
        Self { seen, owner: (now.uid, now.gid), mode: now.mode }
    }
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
        Self::serving(journal, stop, false)
    }

    /// The same for a pass that only looks at the target: a disk that takes nothing does not
    /// stop it; [`Self::finish`] says so.
    pub fn start_to_verify(journal: &Journal, stop: Stop) -> Result<Self, JournalError> {
        Self::serving(journal, stop, true)
    }

    fn serving(journal: &Journal, stop: Stop, lenient: bool) -> Result<Self, JournalError> {
        let path = journal.path();
        let unrecorded: Unrecorded = Arc::new(Mutex::new(journal.unwritable().map(str::to_string)));
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
                        let errno = errno_of(&error, &connection);
                        match unwritable(&error, errno).filter(|_| lenient) {
                            Some(why) => *unrecorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(why),
                            None => {
                                let words = format!("journal {}: {}", path.display(), trouble_words(&error, errno));
                                let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
                                    || matches!(errno, Some(Errno::NOSPC | Errno::DQUOT));
                                stop.set(if full { Reason::Full(words, Full::Journal) } else { Reason::Fatal(words) });
                                result = Err((error, errno));
                            }
                        }
                    }
                    // A flush in the queue holds whoever waits for it; this ends with the last handle.
                    receiver.iter().for_each(drop);
                    result
                }
            })
            .map_err(|e| JournalError::Writer { path: path.clone(), what: format!("cannot start its thread: {e}") })?;
        Ok(Self { handle: WriterHandle(sender), thread, path, unrecorded })
    }

    /// A sender for another thread.
    #[must_use]
    pub fn handle(&self) -> WriterHandle {
        self.handle.clone()
    }

    /// Waits until everything sent is committed. All other handles must be gone. Gives the
    /// reason why nothing was recorded, where a pass that only verifies went on without.
    pub fn finish(self) -> Result<Option<String>, JournalError> {
        drop(self.handle);
        match self.thread.join() {
            Ok(Ok(())) => Ok(self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner).take()),
            Ok(Err((source, errno))) => Err(JournalError::Database { path: self.path, source, errno }),
            Err(_) => Err(JournalError::Writer { path: self.path, what: "its thread panicked".into() }),
        }
    }
}

/// The write-ahead log, which this thread alone folds into the database. A process that
/// reads relies on what it has found there, so that is done under the directory's lock,
/// which is kept until the log is empty: from then on it only grows.
struct Log {
    held: Held,
    file: String,
    exclusive: Option<OwnedFd>,
}

/// Bytes of the log from which it is folded: readers look through all of it.
const LONG: u64 = 40 << 20;
/// How long a connection waits for another one of the process.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for folding, which the next commit tries again.
const BRIEFLY: Duration = Duration::from_millis(200);

impl Log {
    fn of(journal: &Journal) -> Self {
        Self { held: journal.held.clone(), file: format!("{}-wal", journal.location.file()), exclusive: None }
    }

    /// Takes the lock unless a process is reading; what cannot be found out is tried again.
    fn seize(&mut self) -> bool {
        if self.exclusive.is_none() {
            self.exclusive = self.held.dir.fold_log().ok().flatten();
        }
        self.exclusive.is_some()
    }

    fn fold_if_long(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let size = self.held.dir.look(&self.file).ok().flatten().map_or(0, |stat| stat.size);
        if size < LONG || !self.seize() {
            return Ok(());
        }
        connection.busy_timeout(BRIEFLY)?;
        let folded = self.fold(connection);
        connection.busy_timeout(PATIENCE)?;
        // Otherwise the log has it all; where the disk takes nothing the next commit fails and says so.
        if folded.is_ok_and(|done| done) {
            self.exclusive = None;
        }
        Ok(())
    }

    /// True when the log is empty.
    fn fold(&self, connection: &Connection) -> Result<bool, rusqlite::Error> {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
    }

    /// Folds it at the end, so that what is left is one file.
    fn end(&mut self, connection: &mut Connection) -> Result<(), rusqlite::Error> {
        if self.seize() && self.fold(connection)? {
            // Closed by its last connection it is removed as well.
            connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        }
        Ok(())
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

    /// Records that these are damaged: the next run copies them again, unless they have
    /// changed by then.
    pub fn bad(&self, seen: Vec<Seen>) {
        self.send(Message::Bad(seen));
    }

    /// What was to be renamed over `name` in the directory `dir` was not.
    pub fn not_replaced(&self, dir: i64, name: Vec<u8>) {
        self.send(Message::NotReplaced { dir, name });
    }

    /// Records, on the medium, the rows of inodes that are about to be renamed over
    /// what earlier rows describe.
    ///
    /// False when they could not be recorded: the run is ending.
    #[must_use]
    pub fn replacing(&self, rows: Vec<Row>) -> bool {
        let (sender, receiver) = bounded(1);
        self.send(Message::Replacing(rows));
        self.send(Message::Flush(sender));
        // A writer that failed drops the sender.
        receiver.recv().is_ok()
    }

    /// Records owners and modes that fixups gave to what earlier runs had finished.
    pub fn fixed(&self, fixed: Vec<Fixed>) {
        self.send(Message::Fixed(fixed));
    }

    /// Records that these chunks of a large file differ: only they are copied again.
    pub fn bad_chunks(&self, dir: i64, name: Vec<u8>, indices: Vec<u64>) {
        self.send(Message::BadChunks { dir, name, indices });
    }

    /// Sets a value of the `meta` table.
    pub fn meta(&self, key: &'static str, value: String) {
        self.send(Message::Meta(key, value));
    }

    /// Records a file system of the source, before any row that has its number.
    pub fn volume(&self, id: i64, key: String) {
        self.send(Message::Volume(id, key));
    }

    /// Forgets an entry that is no longer declared and gone, with all below it.
    pub fn forget(&self, dst: RelPath) {
        self.send(Message::Forget(dst));
    }

    /// Begins the record of a run.
    pub fn run_started(&self, kind: RunKind, started: String, tool: String) {
        self.send(Message::RunStarted { kind, started, tool });
    }

    /// Records that the run begins to copy: `expected` entries, and the command that goes on
    /// should it not come to its end.
    pub fn copying(&self, command: Option<String>, expected: u64) {
        self.send(Message::Copying { command, expected });
    }

    /// Records that the run has come to the end of its copy. What earlier runs could not do
    /// it has done, or met itself.
    pub fn copied(&self, at: String) {
        self.send(Message::Copied { at });
    }

    /// Records what this run could not copy or keep.
    pub fn problems(&self, problems: Vec<(String, Problem)>) {
        self.send(Message::Problems(problems));
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

fn serve(connection: &mut Connection, receiver: &Receiver<Message>, log: &mut Log) -> Result<(), rusqlite::Error> {
    let mut run = None;
    while let Ok(message) = receiver.recv() {
        let asks = matches!(message, Message::Flush(_));
        match message {
            Message::Commit(durable) => commit(connection, durable)?,
            Message::Verified { at, seen } => {
                update(connection, &format!("verified = {at}, state = 1"), "state IN (1, 3)", &seen)?;
            }
            // What no run has finished was never called done; an unfinished large file keeps its chunks.
            Message::Bad(seen) => update(connection, "verified = NULL, state = 3", "state IN (1, 3)", &seen)?,
            Message::Fixed(all) => fixed(connection, &all)?,
            Message::Replacing(rows) => replacing(connection, rows)?,
            Message::NotReplaced { dir, name } => not_replaced(connection, dir, &name)?,
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
            Message::Volume(id, key) => {
                connection.execute("INSERT OR IGNORE INTO volume(id, key) VALUES(?1, ?2)", (id, key))?;
            }
            Message::Forget(dst) => crate::engine::journal::declared::forget(connection, &dst)?,
            // Whoever asked may have given up.
            Message::Flush(done) => drop(done.send(())),
            Message::RunStarted { kind, started, tool } => {
                let values = (kind.word(), started, tool);
                connection.execute("INSERT INTO run(kind, started, tool) VALUES(?1, ?2, ?3)", values)?;
                run = Some(connection.last_insert_rowid());
            }
            Message::Copying { command, expected } => {
                let values = (RunKind::Copy.word(), command, expected.cast_signed(), run);
                connection.execute("UPDATE run SET kind = ?1, command = ?2, expected = ?3 WHERE id = ?4", values)?;
            }
            Message::Copied { at } => {
                let transaction = connection.transaction()?;
                transaction.execute("UPDATE run SET copied = ?1 WHERE id = ?2", (at, run))?;
                transaction.execute("DELETE FROM problem WHERE run <> ?1", [run])?;
                transaction.commit()?;
            }
            Message::Problems(problems) => keep(connection, &problems, run)?,
            Message::RunEnded { ended, outcome, report } => {
                connection.execute(
                    "UPDATE run SET ended = ?1, outcome = ?2, report = ?3 WHERE id = ?4",
                    (ended, outcome, report, run),
                )?;
            }
        }
        if !asks {
            log.fold_if_long(connection)?;
        }
    }
    log.end(connection)
}

fn keep(connection: &mut Connection, problems: &[(String, Problem)], run: Option<i64>) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(
            "INSERT OR REPLACE INTO problem(path, kind, attribute, target, message, expected, found, lost, run, op, errno) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        for (message, problem) in problems {
            statement.execute(params![
                problem.path.as_bytes(),
                problem.kind.word(),
                problem.attribute.as_deref().unwrap_or_default(),
                problem.target,
                message,
                problem.expected,
                problem.found,
                problem.unpreserved().map_or(0, crate::engine::events::unpreserved::Unpreserved::bit),
                run,
                problem.op.as_ref().map(Operation::word),
                problem.errno.map(errno_name),
            ])?;
        }
    }
    transaction.commit()
}

/// Updates the rows of `seen` that are in one of `states`, their inode number and ctime among the rest.
fn update(connection: &mut Connection, set: &str, states: &str, seen: &[Seen]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(&format!(
            "UPDATE item SET {set}, dst_ino = ?1, dst_ctime = ?2, dst_ctime_ns = ?3 WHERE dir = ?4 AND name = ?5 AND {states}"
        ))?;
        for Seen { dir, name, ino, ctime } in seen {
            statement.execute((ino.cast_signed(), ctime.sec, ctime.nsec, dir, name))?;
        }
    }
    transaction.commit()
}

/// The renames come right after: a power cut that takes this back, but not them, would
/// leave rows that speak of other inodes.
fn replacing(connection: &mut Connection, rows: Vec<Row>) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS temp.replaced AS SELECT * FROM main.item WHERE 0; DELETE FROM temp.replaced",
    )?;
    let transaction = connection.transaction()?;
    {
        let mut keep = transaction
            .prepare_cached("INSERT INTO temp.replaced SELECT * FROM main.item WHERE dir = ?1 AND name = ?2")?;
        for row in &rows {
            keep.execute((row.dir, &row.name))?;
        }
        let mut statement = insertion(&transaction)?;
        for row in rows {
            insert(&mut statement, &Row { state: State::Replacing, ..row })?;
        }
    }
    transaction.commit()?;
    connection.pragma_update(None, "synchronous", "normal")
}

/// The row of what stands there still comes back: the new one speaks of an inode that never got there.
fn not_replaced(connection: &mut Connection, dir: i64, name: &[u8]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    transaction.execute(
        &format!("DELETE FROM item WHERE dir = ?1 AND name = ?2 AND state = {}", State::Replacing.number()),
        (dir, name),
    )?;
    transaction.execute("DELETE FROM chunk WHERE dir = ?1 AND name = ?2", (dir, name))?;
    transaction
        .execute("INSERT OR IGNORE INTO item SELECT * FROM temp.replaced WHERE dir = ?1 AND name = ?2", (dir, name))?;
    transaction.commit()
}

fn fixed(connection: &mut Connection, all: &[Fixed]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(
            "UPDATE item SET uid = iif(uid IS NULL, NULL, ?1), gid = iif(gid IS NULL, NULL, ?2), mode = ?3, \
             dst_ctime = ?4, dst_ctime_ns = ?5 WHERE dir = ?6 AND name = ?7 AND dst_ino = ?8",
        )?;
        for Fixed { seen: Seen { dir, name, ino, ctime }, owner, mode } in all {
            statement.execute((owner.0, owner.1, mode, ctime.sec, ctime.nsec, dir, name, ino.cast_signed()))?;
        }
    }
    transaction.commit()
}

fn insertion<'t>(transaction: &'t Transaction<'_>) -> Result<CachedStatement<'t>, rusqlite::Error> {
    let marks = (1..=32).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    transaction.prepare_cached(&format!("INSERT OR REPLACE INTO item({COLUMNS}) VALUES({marks})"))
}

fn commit(connection: &mut Connection, durable: Durable) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = insertion(&transaction)?;
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

fn insert(statement: &mut CachedStatement<'_>, row: &Row) -> Result<(), rusqlite::Error> {
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
        source.and_then(|s| s.volume),
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
        row.xattrs().map(crate::engine::meta::Xattrs::to_bytes),
        row.wanted.flags.bits(),
        row.wanted.project,
        row.wanted.lost.bits(),
        row.verified,
        row.allocated.cast_signed(),
        row.wanted.given_up.bits(),
    ])?;
    Ok(())
}
