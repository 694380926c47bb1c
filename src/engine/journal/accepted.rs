//! What the owner of the target did there since it was copied, and `--accept` took into the manifest.
//!
//! The rows of `item` stay as they are: they tell a run that copies what the source had, and whether
//! it has anything newer. These rows tell verification what is there instead.

use super::item::{BAD, bind, insertion_into, width};
use super::row::Row;
use super::seen::Seen;
use super::state::State;
use rusqlite::{Connection, OptionalExtension, Transaction};

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

    pub(super) fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.number() == number)
    }

    pub(super) const fn number(self) -> i64 {
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

    /// True when it ended the directory of `copied`, and everything in that.
    #[must_use]
    pub fn replaces(&self, copied: &Row) -> bool {
        self.what == AcceptedAs::Removed || self.what == AcceptedAs::Content && self.row.id != copied.id
    }
}

pub(super) const TABLE: &str = "accepted";
pub(super) const WHAT: &str = "what";

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

/// What is accepted and was found damaged: verification reads it again, as a run does what it has just copied.
pub(super) fn is_unverified() -> String {
    format!("{WHAT} = {} AND verified IS NULL", AcceptedAs::Content.number())
}

/// How many of those there are, and their bytes.
pub(super) fn unverified(connection: &Connection) -> Result<(u64, u64), rusqlite::Error> {
    let sql = format!("SELECT count(*), coalesce(sum(size), 0) FROM {TABLE} WHERE {}", is_unverified());
    connection
        .query_row(&sql, [], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned())))
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
            // What was removed has no state of its own.
            let there = accepted.what == AcceptedAs::Content;
            bind(&mut statement, &accepted.row, if there { accepted.row.state } else { State::Done })?;
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
/// accepted in a directory of its own id is from here on in the copied one. A directory that a run has filled and
/// left as its owner has it is recorded as before.
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
        "DELETE FROM {TABLE} WHERE dir = ?1 AND name = ?2 AND (dst_ino, dst_ctime, dst_ctime_ns) <> (?3, ?4, ?5)
           AND NOT (id IS NOT NULL AND id IS ?6 AND EXISTS(
             SELECT 1 FROM item WHERE item.dir = ?1 AND item.name = ?2
                AND (item.dst_ino, item.dst_ctime, item.dst_ctime_ns) = (?3, ?4, ?5)))"
    );
    let state = (row.dst_ino.cast_signed(), row.dst_ctime.sec, row.dst_ctime.nsec);
    transaction.prepare_cached(&sql)?.execute((row.dir, &row.name, state.0, state.1, state.2, row.id)).map(drop)
}

/// Marks an accepted entry as damaged in the state in which it was seen; nothing has the state that was accepted.
pub(super) fn mark_bad(transaction: &Transaction<'_>, seen: &Seen) -> Result<(), rusqlite::Error> {
    let sql = format!(
        "UPDATE {TABLE} SET verified = NULL, state = {BAD}, dst_ino = ?1, dst_ctime = ?2, dst_ctime_ns = ?3 \
         WHERE dir = ?4 AND name = ?5 AND {WHAT} = {}",
        AcceptedAs::Content.number()
    );
    let Seen { dir, name, ino, ctime } = seen;
    transaction.prepare_cached(&sql)?.execute((ino.cast_signed(), ctime.sec, ctime.nsec, dir, name)).map(drop)
}

/// Stamps accepted rows like those of `item`: key, inode and ctime must be as recorded.
pub(super) const STAMP: &str = "UPDATE accepted SET verified = ?1 WHERE dir = ?2 AND name = ?3 \
     AND state = 1 AND dst_ino = ?4 AND dst_ctime = ?5 AND dst_ctime_ns = ?6";
