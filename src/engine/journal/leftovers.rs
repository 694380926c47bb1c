//! Whether a run may have left something on the target that no row names.

use super::database::Journal;
use super::error;
use super::writer::WriterHandle;
use crate::engine::events::journal_error::JournalError;
use rusqlite::{Connection, OptionalExtension};

const LEFTOVERS: &str = "leftovers";
const NONE: &str = "none";

impl Journal {
    /// Records that from here on there may be leftovers. The declared entries, committed next with
    /// fsync, make this durable as well. True unless the last run recorded that it left none.
    pub fn expect_leftovers(&self) -> Result<bool, JournalError> {
        let connection = self.writable()?;
        let work = |connection: &Connection| {
            let last: Option<String> = connection
                .query_row("SELECT value FROM meta WHERE key = ?1", [LEFTOVERS], |row| row.get(0))
                .optional()?;
            let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, 'possible')";
            connection.execute(sql, [LEFTOVERS])?;
            Ok(last.as_deref() != Some(NONE))
        };
        work(&connection).map_err(|source| error::database_of(&self.path(), &source, &connection))
    }
}

impl WriterHandle {
    /// Records that nothing is left that the next run would have to look for.
    pub fn no_leftovers(&self) {
        self.meta(LEFTOVERS, NONE.into());
    }
}
