//! Whether finished rows are left that no verification has seen, known without looking at every row.
//!
//! The key `verified` of `meta` names the run at whose end none was left. It holds in the next run, until that
//! one changes a row. A run in between, an older release's or one that was killed, has a number of its own.

use super::accepted;
use super::item::is_finished;
use rusqlite::{Connection, Error, OptionalExtension};

const KEY: &str = "verified";

/// Whether all finished rows are verified, as the journal's only writer knows it during one run.
#[derive(Debug, Default)]
pub(super) struct AllVerified {
    run: i64,
    holds: bool,
}

impl AllVerified {
    /// At the beginning of the run with the number `run`.
    pub(super) fn begin(connection: &Connection, run: i64) -> Result<Self, Error> {
        Ok(Self { run, holds: is_recorded(connection)? })
    }

    /// Before a row is changed.
    pub(super) fn before_change(&mut self, connection: &Connection) -> Result<(), Error> {
        if std::mem::take(&mut self.holds) {
            connection.execute("DELETE FROM meta WHERE key = ?1", [KEY])?;
        }
        Ok(())
    }

    /// At the end of a run that was not stopped.
    pub(super) fn end(&self, connection: &Connection) -> Result<(), Error> {
        if self.holds || !has_unverified(connection)? {
            let values = (KEY, self.run.to_string());
            connection.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)", values)?;
        }
        Ok(())
    }
}

/// True when the run before the present one recorded that all finished rows are verified, and no row
/// has been changed since.
pub(super) fn is_recorded(connection: &Connection) -> Result<bool, Error> {
    let sql = "SELECT value = (SELECT CAST(max(id) AS TEXT) FROM run WHERE id < (SELECT max(id) FROM run)) \
               FROM meta WHERE key = ?1";
    let recorded = connection.query_row(sql, [KEY], |row| row.get::<_, Option<bool>>(0)).optional()?;
    Ok(recorded.flatten().unwrap_or(false))
}

fn has_unverified(connection: &Connection) -> Result<bool, Error> {
    let sql = format!("SELECT EXISTS(SELECT 1 FROM item WHERE {} AND verified IS NULL)", is_finished());
    Ok(connection.query_row(&sql, [], |row| row.get(0))? || accepted::unverified(connection)?.0 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::journal::schema;

    fn started(connection: &Connection) -> AllVerified {
        connection.execute("INSERT INTO run(kind, started, tool) VALUES('copy', '', '')", []).expect("a run");
        AllVerified::begin(connection, connection.last_insert_rowid()).expect("begin")
    }

    #[test]
    fn only_the_next_run_relies_on_it_and_only_until_it_changes_a_row() {
        let connection = Connection::open_in_memory().expect("open");
        schema::create(&connection).expect("tables");
        let first = started(&connection);
        assert!(!is_recorded(&connection).expect("ask"));
        first.end(&connection).expect("end");
        let second = started(&connection);
        assert!(is_recorded(&connection).expect("ask"));
        second.end(&connection).expect("end");
        let mut third = started(&connection);
        assert!(is_recorded(&connection).expect("ask"));
        third.before_change(&connection).expect("a row");
        assert!(!is_recorded(&connection).expect("ask"));
        third.end(&connection).expect("end");
        // One that was killed, or of an older release: it leaves a number and nothing else.
        started(&connection);
        started(&connection);
        assert!(!is_recorded(&connection).expect("ask"));
    }
}
