//! What the journal knows of entries that the source no longer has.

use super::item::{decode, select};
use super::reader::Reader;
use super::row::Row;
use crate::base::path::RelPath;
use crate::engine::events::detail::StaleCause;
use crate::engine::events::journal_error::JournalError;
use crate::engine::events::kind::ProblemKind;

/// An entry that the last copying run did not find in the source.
#[derive(Clone, Debug)]
pub struct StaleRecord {
    /// Below the root.
    pub path: RelPath,
    /// Name of the plan's target.
    pub target: String,
    /// How it left the source.
    pub cause: StaleCause,
}

impl Reader {
    /// Up to `limit` such records of the last run that copied, after `after`, by path.
    pub fn stale_page(&self, after: Option<&StaleRecord>, limit: u32) -> Result<Vec<StaleRecord>, JournalError> {
        let ask = || {
            let mut statement = self.connection().prepare_cached(
                "SELECT path, target, attribute FROM problem WHERE (path, attribute) > (?1, ?2) AND kind = ?3 \
                 AND run = (SELECT max(id) FROM run WHERE kind = 'copy') ORDER BY path, attribute LIMIT ?4",
            )?;
            let path = after.map(|record| record.path.as_bytes()).unwrap_or_default();
            let attribute = after.and_then(|record| record.cause.attribute()).unwrap_or_default();
            let record = |row: &rusqlite::Row<'_>| {
                let attribute: String = row.get(2)?;
                Ok(StaleRecord {
                    path: RelPath::new(&row.get::<_, Vec<u8>>(0)?).unwrap_or_default(),
                    target: row.get(1)?,
                    cause: StaleCause::of_attribute(Some(attribute.as_str()).filter(|text| !text.is_empty())),
                })
            };
            statement.query_map((path, attribute, ProblemKind::Stale.word(), limit), record)?.collect()
        };
        self.wrap(ask())
    }

    /// True when a copying run found that the source no longer has `path`, or a directory above it.
    pub fn is_stale(&self, path: &RelPath) -> Result<bool, JournalError> {
        let ask = || {
            let mut statement = self.connection().prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM problem WHERE path = ?1 AND kind = ?2 AND attribute <> ?3)",
            )?;
            let kind = ProblemKind::Stale.word();
            // The source still has an emptied directory itself.
            let mut but = StaleCause::Emptied.attribute().unwrap_or_default();
            let mut at = Some(path.clone());
            while let Some(path) = at.filter(|path| !path.is_root()) {
                if statement.query_row((path.as_bytes(), &kind, but), |row| row.get(0))? {
                    return Ok(true);
                }
                (at, but) = (path.parent(), "-");
            }
            Ok(false)
        };
        self.wrap(ask())
    }

    /// True when an earlier run found the directory `path` emptied.
    pub fn was_emptied(&self, path: &RelPath) -> Result<bool, JournalError> {
        let ask = || {
            let mut statement = self.connection().prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM problem WHERE path = ?1 AND kind = ?2 AND attribute = ?3)",
            )?;
            let attribute = StaleCause::Emptied.attribute();
            statement.query_row((path.as_bytes(), ProblemKind::Stale.word(), attribute), |row| row.get(0))
        };
        self.wrap(ask())
    }

    /// How many rows there are at and below `row`.
    pub fn entries_at(&self, row: &Row) -> Result<u64, JournalError> {
        let Some(id) = row.id else { return Ok(1) };
        let ask = || {
            let mut statement = self.connection().prepare_cached(
                "WITH RECURSIVE below(id) AS (
                   SELECT ?1 UNION ALL
                   SELECT item.id FROM item JOIN below ON item.dir = below.id WHERE item.id IS NOT NULL)
                 SELECT 1 + count(*) FROM item WHERE dir IN below",
            )?;
            statement.query_row([id], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
        };
        self.wrap(ask())
    }

    /// Up to `limit` rows of the directory `dir` after the name `after`, whatever their state.
    pub fn rows_in(&self, dir: i64, after: &[u8], limit: u32) -> Result<Vec<Row>, JournalError> {
        let ask = || {
            let sql = select("WHERE dir = ?1 AND name > ?2 ORDER BY name LIMIT ?3");
            self.connection().prepare_cached(&sql)?.query_map((dir, after, limit), decode)?.collect()
        };
        self.wrap(ask())
    }
}
