//! What was recorded of an inode, whatever its name is now.
//!
//! Only a pass that accepts what the owner of the target did asks for that, so the indices for it are made when it
//! begins and dropped when it ends: copies would keep them up to date for nothing.

use super::accepted::{AcceptedAs, TABLE, WHAT};
use super::item::{decode, is_finished, select_from};
use super::reader::Reader;
use super::row::Row;
use crate::engine::events::journal_error::JournalError;
use crate::sys::stat::{Kind, Stat};
use rusqlite::{Connection, OptionalExtension};

const TABLES: [&str; 2] = ["item", TABLE];

/// Makes the indices.
pub(super) fn index(connection: &Connection) -> Result<(), rusqlite::Error> {
    let file = Kind::File.letter();
    TABLES.iter().try_for_each(|table| {
        connection.execute_batch(&format!(
            "CREATE INDEX IF NOT EXISTS {table}_content ON {table}(dst_ino) WHERE kind = '{file}'"
        ))
    })
}

/// Drops them, also those of a pass that was killed.
pub(super) fn drop_index(connection: &Connection) -> Result<(), rusqlite::Error> {
    TABLES.iter().try_for_each(|table| connection.execute_batch(&format!("DROP INDEX IF EXISTS {table}_content")))
}

impl Reader {
    /// The row of a regular file that was recorded as the inode of `there`, with the size and the modification time
    /// that it has: nobody has written it since, by whatever name.
    pub fn recorded_as(&self, there: &Stat) -> Result<Option<Row>, JournalError> {
        let ask = |table: &str, of: &str| {
            let sql = select_from(
                "",
                table,
                &format!(
                    "WHERE kind = '{}' AND dst_ino = ?1 AND size = ?2 AND mtime = ?3 AND mtime_ns = ?4 \
                     AND digest IS NOT NULL AND {} AND {of} LIMIT 1",
                    Kind::File.letter(),
                    is_finished()
                ),
            );
            let inode = (there.ino.cast_signed(), there.size.cast_signed(), there.mtime.sec, there.mtime.nsec);
            self.connection().prepare_cached(&sql)?.query_row(inode, decode).optional()
        };
        let accepted = self.wrap(ask(TABLE, &format!("{WHAT} = {}", AcceptedAs::Content.number())))?;
        let recorded = match accepted {
            Some(row) => Some(row),
            None => self.wrap(ask("item", "1"))?,
        };
        // A file that was made later has the number of one that was removed.
        Ok(recorded.filter(|row| there.btime.is_none_or(|made| made <= row.dst_ctime)))
    }
}
