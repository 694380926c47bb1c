//! What was accepted, as it is looked up.

use super::accepted::{AcceptedAs, AcceptedRow, TABLE, WHAT, any, is_unverified};
use super::item::{decode, select_from, width};
use super::reader::Reader;
use super::row::Row;
use crate::base::path::{Name, RelPath};
use crate::engine::events::journal_error::JournalError;
use rusqlite::OptionalExtension;
use rusqlite::types::Type;
use std::collections::HashSet;
use std::sync::LazyLock;

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

    /// Up to `limit` entries after the key `(dir, name)`, in key order, that verification looks at; those not
    /// known to be whole alone, if so.
    pub fn accepted_page(
        &self,
        after: (i64, &[u8]),
        unverified_only: bool,
        limit: u32,
    ) -> Result<Vec<AcceptedRow>, JournalError> {
        let filter =
            if unverified_only { is_unverified() } else { format!("{WHAT} <> {}", AcceptedAs::Names.number()) };
        let ask = || {
            let sql = select(&format!("WHERE (dir, name) > (?1, ?2) AND {filter} ORDER BY dir, name LIMIT ?3"));
            self.connection().prepare_cached(&sql)?.query_map((after.0, after.1, limit), accepted)?.collect()
        };
        self.wrap(ask())
    }

    /// What was accepted of the path below the root.
    pub fn accepted_at(&self, path: &RelPath) -> Result<Option<AcceptedRow>, JournalError> {
        let (Some(above), Some(last)) = (path.parent(), path.last()) else { return Ok(None) };
        let mut dir = 0;
        for name in above.names() {
            let copied = self.find(dir, &name)?;
            let instead = self.accepted(dir, &name)?.filter(AcceptedRow::is_instead).map(|accepted| accepted.row);
            match instead.or(copied).and_then(|row| row.id) {
                Some(id) => dir = id,
                None => return Ok(None),
            }
        }
        self.accepted(dir, &last)
    }

    /// True when its owner has, or made, something under `name` in the directory `dir` that was accepted.
    pub fn is_accepted_there(&self, dir: i64, name: &[u8]) -> Result<bool, JournalError> {
        let ask = || {
            let sql = format!(
                "SELECT EXISTS(SELECT 1 FROM {TABLE} WHERE dir = ?1 AND name = ?2 AND {WHAT} = {})",
                AcceptedAs::Content.number()
            );
            self.connection().prepare_cached(&sql)?.query_row((dir, name), |row| row.get(0))
        };
        self.wrap(ask())
    }

    /// True when what there is of the copied `row`, at and below it, is its owner's, as that was accepted: such a
    /// copy is not stale.
    pub fn is_owners(&self, row: &Row) -> Result<bool, JournalError> {
        if !self.has_accepted()? {
            return Ok(false);
        }
        let Some(id) = row.id else { return self.is_accepted_there(row.dir, &row.name) };
        let ask = || {
            let (content, names) = (AcceptedAs::Content.number(), AcceptedAs::Names.number());
            let sql = format!(
                "WITH RECURSIVE below(id) AS (
                   SELECT ?1 UNION
                   SELECT item.id FROM item JOIN below ON item.dir = below.id WHERE item.id IS NOT NULL)
                 SELECT EXISTS(SELECT 1 FROM {TABLE} WHERE {WHAT} = {content}
                                  AND (dir IN below OR dir = ?2 AND name = ?3))
                    AND NOT EXISTS(SELECT 1 FROM item WHERE dir IN below AND id IS NULL AND NOT EXISTS(
                          SELECT 1 FROM {TABLE} AS other
                           WHERE other.dir = item.dir AND other.name = item.name AND other.{WHAT} <> {names}))"
            );
            self.connection().prepare_cached(&sql)?.query_row((id, row.dir, &row.name), |row| row.get(0))
        };
        self.wrap(ask())
    }

    /// The ids of copied directories that are gone by their owner's doing, whatever has their names now: few, as
    /// nothing is recorded of the removal of what was in them.
    pub fn removed_directories(&self) -> Result<HashSet<i64>, JournalError> {
        let ask = || {
            let sql = format!(
                "SELECT item.id FROM {TABLE} AS other JOIN item ON item.dir = other.dir AND item.name = other.name
                  WHERE item.id IS NOT NULL
                    AND (other.{WHAT} = {} OR other.{WHAT} = {} AND other.id IS NOT item.id)",
                AcceptedAs::Removed.number(),
                AcceptedAs::Content.number()
            );
            self.connection().prepare_cached(&sql)?.query_map([], |row| row.get(0))?.collect()
        };
        self.wrap(ask())
    }

    /// True when the directory `id` is one of `directories`, or is below one.
    pub fn is_in(&self, id: i64, directories: &HashSet<i64>) -> Result<bool, JournalError> {
        let mut at = id;
        while !directories.contains(&at) {
            match self.directory(at)? {
                Some(row) => at = row.dir,
                None => return Ok(false),
            }
        }
        Ok(true)
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
    let what = AcceptedAs::from_number(number);
    let unknown = || rusqlite::Error::FromSqlConversionFailure(width(), Type::Integer, "unknown acceptance".into());
    Ok(AcceptedRow { what: what.ok_or_else(unknown)?, row: decode(row)? })
}
