//! Entries that the plan no longer declares and that are gone leave the journal.

use super::accepted;
use crate::base::path::RelPath;
use rusqlite::Connection;

/// Forgets an entry and every row at and below its destination.
pub(super) fn forget(connection: &mut Connection, dst: &RelPath) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    if let (Some(parent), Some(last)) = (dst.parent(), dst.last()) {
        let mut dir = Some(0_i64);
        for name in parent.names() {
            let Some(above) = dir else { break };
            let mut statement = transaction.prepare_cached("SELECT id FROM item WHERE dir = ?1 AND name = ?2")?;
            dir = match statement.query_row((above, name.as_bytes()), |row| row.get(0)) {
                Err(rusqlite::Error::QueryReturnedNoRows) => None,
                found => found?,
            };
        }
        if let Some(dir) = dir {
            accepted::drop_at(&transaction, dir, last.as_bytes())?;
            // Chunks first: the directories' ids are in the rows of `item`.
            for table in ["chunk", "item"] {
                transaction.execute(
                    &format!(
                        "WITH RECURSIVE below(id) AS (
                           SELECT id FROM item WHERE dir = ?1 AND name = ?2 AND id IS NOT NULL
                           UNION ALL SELECT item.id FROM item JOIN below ON item.dir = below.id WHERE item.id IS NOT NULL)
                         DELETE FROM {table} WHERE dir IN below OR dir = ?1 AND name = ?2"
                    ),
                    (dir, last.as_bytes()),
                )?;
            }
        }
    }
    transaction.execute("DELETE FROM entry WHERE dst = ?1 AND declared = 0", [dst.as_bytes()])?;
    transaction.commit()
}
