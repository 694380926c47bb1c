//! What the owner of the target did there since it was copied, and `--accept` took into the manifest.
//!
//! The rows of `item` stay as they are: they tell a run that copies what the source had, and whether
//! it has anything newer. These rows tell verification what is there instead.

use super::item::{bind, decode, insertion_into, select_from, width};
use super::reader::Reader;
use super::row::{Row, RowChange};
use super::state::State;
use crate::base::path::{Name, RelPath};
use crate::engine::events::journal_error::JournalError;
use crate::engine::events::unpreserved::Disk;
use crate::sys::stat::Stat;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Transaction};
use std::collections::HashSet;
use std::sync::LazyLock;

/// What of an entry was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedAs {
    /// It is there as its row says.
    Content,
    /// It is gone; the row is that of what was there.
    Removed,
    /// Of a copied directory only that names came and went in it: the row has its times, inode and ctime.
    Names,
}

impl AcceptedAs {
    const ALL: [Self; 3] = [Self::Content, Self::Removed, Self::Names];

    const fn number(self) -> i64 {
        match self {
            Self::Content => 0,
            Self::Removed => 1,
            Self::Names => 2,
        }
    }
}

/// An accepted entry.
#[derive(Clone, Debug)]
pub struct AcceptedRow {
    /// What of it.
    pub what: AcceptedAs,
    /// The entry.
    pub row: Row,
}

impl AcceptedRow {
    /// True when it, and not what was copied, is what verification expects under its name.
    #[must_use]
    pub fn is_instead(&self) -> bool {
        self.what != AcceptedAs::Names
    }

    /// True when `there`, found under its name, is what was accepted.
    #[must_use]
    pub fn covers(&self, there: Option<&Stat>, disk: Disk) -> bool {
        match (self.what, there) {
            (AcceptedAs::Removed, None) => true,
            (AcceptedAs::Content, Some(there)) => self.row.standing(there, disk) == RowChange::AsRecorded,
            _ => false,
        }
    }
}

const TABLE: &str = "accepted";
const WHAT: &str = "what";

/// What verification learned about what was accepted, once it is durable.
#[derive(Clone, Debug)]
pub enum Acceptance {
    /// This is accepted from here on.
    Taken(Box<AcceptedRow>),
    /// This name, and everything accepted below it, no longer is.
    Dropped {
        /// The directory's id.
        dir: i64,
        /// The name in it.
        name: Vec<u8>,
    },
}

impl Reader {
    /// True when anything was ever accepted: otherwise nothing below need be asked.
    pub fn has_accepted(&self) -> Result<bool, JournalError> {
        self.wrap(any(self.connection()))
    }

    /// What was accepted of `name` in the directory `dir`.
    pub fn accepted(&self, dir: i64, name: &Name) -> Result<Option<AcceptedRow>, JournalError> {
        static SQL: LazyLock<String> = LazyLock::new(|| select("WHERE dir = ?1 AND name = ?2"));
        let ask = || {
            let mut statement = self.connection().prepare_cached(&SQL)?;
            statement.query_row((dir, name.as_bytes()), accepted).optional()
        };
        self.wrap(ask())
    }

    /// The same of the directory with this id.
    pub fn accepted_directory(&self, id: i64) -> Result<Option<AcceptedRow>, JournalError> {
        static SQL: LazyLock<String> = LazyLock::new(|| select("WHERE id = ?1"));
        let ask = || self.connection().prepare_cached(&SQL)?.query_row([id], accepted).optional();
        self.wrap(ask())
    }

    /// Names in the directory `dir` that are no longer as their copies: whatever is accepted of them
    /// but that names came and went.
    pub fn superseded(&self, dir: i64) -> Result<HashSet<Vec<u8>>, JournalError> {
        let ask = || {
            let sql = format!("SELECT name FROM {TABLE} WHERE dir = ?1 AND {WHAT} <> {}", AcceptedAs::Names.number());
            self.connection().prepare_cached(&sql)?.query_map([dir], |row| row.get(0))?.collect()
        };
        self.wrap(ask())
    }

    /// Up to `limit` entries after the key `(dir, name)`, in key order, that verification looks at.
    pub fn accepted_page(&self, after: (i64, &[u8]), limit: u32) -> Result<Vec<AcceptedRow>, JournalError> {
        let ask = || {
            let sql = select(&format!(
                "WHERE (dir, name) > (?1, ?2) AND {WHAT} <> {} ORDER BY dir, name LIMIT ?3",
                AcceptedAs::Names.number()
            ));
            self.connection().prepare_cached(&sql)?.query_map((after.0, after.1, limit), accepted)?.collect()
        };
        self.wrap(ask())
    }

    /// The path of the directory `id`; `None` where the row of one above it is missing, as after a
    /// crash between two commits.
    pub fn known_path_of(&self, id: i64) -> Result<Option<RelPath>, JournalError> {
        let path = self.path_of(id)?;
        let mut at = id;
        for _ in 0..path.names().count() {
            let Some(row) = self.directory(at)? else { return Ok(None) };
            at = row.dir;
        }
        Ok((at == 0).then_some(path))
    }
}

fn select(rest: &str) -> String {
    select_from(&format!(", {WHAT}"), TABLE, rest)
}

fn accepted(row: &rusqlite::Row<'_>) -> Result<AcceptedRow, rusqlite::Error> {
    let number: i64 = row.get(width())?;
    let what = AcceptedAs::ALL.into_iter().find(|what| what.number() == number);
    let unknown = || rusqlite::Error::FromSqlConversionFailure(width(), Type::Integer, "unknown acceptance".into());
    Ok(AcceptedRow { what: what.ok_or_else(unknown)?, row: decode(row)? })
}

/// True when anything is accepted: a commit then has to look after it.
pub(super) fn any(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.prepare_cached(&format!("SELECT EXISTS(SELECT 1 FROM {TABLE})"))?.query_row([], |row| row.get(0))
}

/// Carries out `learned`.
pub(super) fn put(transaction: &Transaction<'_>, learned: &Acceptance) -> Result<(), rusqlite::Error> {
    match learned {
        Acceptance::Taken(accepted) => {
            let mut statement = insertion_into(transaction, TABLE, &[WHAT])?;
            bind(&mut statement, &accepted.row, State::Done)?;
            statement.raw_bind_parameter(width() + 1, accepted.what.number())?;
            statement.raw_execute().map(drop)
        }
        Acceptance::Dropped { dir, name } => drop_at(transaction, *dir, name),
    }
}

/// Forgets what was accepted of `name` in `dir` and below it.
pub(super) fn drop_at(transaction: &Transaction<'_>, dir: i64, name: &[u8]) -> Result<(), rusqlite::Error> {
    if !any(transaction)? {
        return Ok(());
    }
    let sql = format!(
        "WITH RECURSIVE below(id) AS (
           SELECT id FROM item WHERE dir = ?1 AND name = ?2 AND id IS NOT NULL
           UNION SELECT id FROM {TABLE} WHERE dir = ?1 AND name = ?2 AND id IS NOT NULL
           UNION SELECT item.id FROM item JOIN below ON item.dir = below.id WHERE item.id IS NOT NULL
           UNION SELECT {TABLE}.id FROM {TABLE} JOIN below ON {TABLE}.dir = below.id WHERE {TABLE}.id IS NOT NULL)
         DELETE FROM {TABLE} WHERE dir IN below OR dir = ?1 AND name = ?2"
    );
    transaction.prepare_cached(&sql)?.execute((dir, name)).map(drop)
}

/// A copy has made `row`: what was accepted under its name ends, unless it is of the very same state. What was
/// accepted in a directory of its own id is from here on in the copied one.
pub(super) fn supersede(transaction: &Transaction<'_>, row: &Row) -> Result<(), rusqlite::Error> {
    if let Some(id) = row.id {
        let other = format!("SELECT id FROM {TABLE} WHERE dir = ?1 AND name = ?2 AND id <> ?3");
        let other: Option<i64> =
            transaction.prepare_cached(&other)?.query_row((row.dir, &row.name, id), |found| found.get(0)).optional()?;
        if let Some(other) = other {
            transaction
                .prepare_cached(&format!("UPDATE OR REPLACE {TABLE} SET dir = ?1 WHERE dir = ?2"))?
                .execute((id, other))?;
            transaction
                .prepare_cached(&format!("DELETE FROM {TABLE} WHERE dir = ?1 AND name = ?2"))?
                .execute((row.dir, &row.name))?;
        }
    }
    let sql = format!(
        "DELETE FROM {TABLE} WHERE dir = ?1 AND name = ?2 AND (dst_ino, dst_ctime, dst_ctime_ns) <> (?3, ?4, ?5)"
    );
    let state = (row.dst_ino.cast_signed(), row.dst_ctime.sec, row.dst_ctime.nsec);
    transaction.prepare_cached(&sql)?.execute((row.dir, &row.name, state.0, state.1, state.2)).map(drop)
}

/// Stamps accepted rows like those of `item`: key, inode and ctime must be as recorded.
pub(super) const STAMP: &str = "UPDATE accepted SET verified = ?1 WHERE dir = ?2 AND name = ?3 \
     AND dst_ino = ?4 AND dst_ctime = ?5 AND dst_ctime_ns = ?6";
