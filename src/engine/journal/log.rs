//! The write-ahead log beside the database.

use super::connect::ConnectionGuard;
use super::database::Journal;
use rusqlite::Connection;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The write-ahead log, which only this thread checkpoints. Readers rely on what they have
/// found there, so that is done under the directory's exclusive lock, which is kept until
/// the log is empty: from then on it only grows.
pub(super) struct Log {
    held: ConnectionGuard,
    file: String,
    exclusive: Option<OwnedFd>,
}

/// The log is checkpointed from this size on: readers look through all of it.
const LONG: u64 = 40 << 20;
/// How long a connection waits for another one of the process.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for a checkpoint, which the next commit tries again.
const BRIEFLY: Duration = Duration::from_millis(200);

impl Log {
    pub(super) fn of(journal: &Journal) -> Self {
        Self { held: journal.held.clone(), file: format!("{}-wal", journal.location.file()), exclusive: None }
    }

    /// Takes the lock unless a process is reading; after an error it is tried again later.
    fn seize(&mut self) -> bool {
        if self.exclusive.is_none() {
            self.exclusive = self.held.dir.fold_log().ok().flatten();
        }
        self.exclusive.is_some()
    }

    pub(super) fn fold_if_long(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let size = self.held.dir.look(&self.file).ok().flatten().map_or(0, |stat| stat.size);
        if size < LONG || !self.seize() {
            return Ok(());
        }
        connection.busy_timeout(BRIEFLY)?;
        let folded = self.fold(connection);
        connection.busy_timeout(PATIENCE)?;
        // Otherwise the log keeps everything; if the disk cannot be written, the next commit says so.
        if folded.is_ok_and(|done| done) {
            self.exclusive = None;
        }
        Ok(())
    }

    /// True when the log is empty.
    fn fold(&self, connection: &Connection) -> Result<bool, rusqlite::Error> {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
    }

    /// Checkpoints it at the end, so that one file is left.
    pub(super) fn end(&mut self, connection: &mut Connection) -> Result<(), rusqlite::Error> {
        if self.seize() && self.fold(connection)? {
            // Closing the last connection removes it as well.
            connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        }
        Ok(())
    }
}
