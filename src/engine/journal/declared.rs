//! What earlier versions of the plan declared. It is recorded, on the medium, before the first
//! byte is copied: a later run of an edited plan then knows what was copied where, and a
//! target that a crash left without any row is still known as this plan's.

use super::database::Journal;
use super::error;
use super::location::Location;
use super::past::IN_PLACE;
use super::writer::WriterHandle;
use crate::base::path::RelPath;
use crate::engine::events::journal_error::JournalError;
use crate::engine::mapping::model::Need;
use rusqlite::{Connection, OptionalExtension, Transaction};

/// One entry of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Name of the plan's target.
    pub target: String,
    /// Below the source.
    pub src: RelPath,
    /// Below the root.
    pub dst: RelPath,
    /// How much it is needed.
    pub need: Need,
    /// The backup had it, so that it must have a row.
    pub present: bool,
}

/// The key that records that owners got the target's numbers.
const IDS: &str = "ids";
const REMAPPED: &str = "remapped";

impl WriterHandle {
    /// Records that something is in its place, or may be.
    pub fn finds_in_place(&self) {
        self.meta(IN_PLACE, "found".into());
    }

    /// Records that this run and all later ones of the plan give owners the target's numbers.
    pub fn remaps_ids(&self) {
        self.meta(IDS, REMAPPED.into());
    }
}

impl Location {
    /// True when an earlier run gave owners the target's numbers.
    pub fn remapped_ids(&self) -> Result<bool, JournalError> {
        let Some((connection, _held)) = self.open_read_only()? else { return Ok(false) };
        let asked = connection.query_row("SELECT value FROM meta WHERE key = ?1", [IDS], |row| row.get(0)).optional();
        let value: Option<String> =
            asked.map_err(|source| error::database_of(&self.database(), &source, &connection))?;
        Ok(value.as_deref() == Some(REMAPPED))
    }

    /// Every entry that a run of this plan ever declared; none without a journal.
    pub fn declared(&self) -> Result<Vec<Declared>, JournalError> {
        let Some((connection, _held)) = self.open_read_only()? else { return Ok(Vec::new()) };
        select(&connection, "").map_err(|source| error::database_of(&self.database(), &source, &connection))
    }
}

impl Journal {
    /// Records the plan: the names of its targets and its entries. Rows refer to targets by
    /// number; numbers follow the plan's order, and targets that it no longer has come last.
    /// Returns all names by number.
    pub fn declare(&self, targets: &[String], entries: &[Declared]) -> Result<Vec<String>, JournalError> {
        let mut connection = self.writable()?;
        let work = |connection: &mut Connection| {
            connection.pragma_update(None, "synchronous", "full")?;
            let transaction = connection.transaction()?;
            let names = number_targets(&transaction, targets)?;
            transaction.execute("UPDATE entry SET declared = 0", [])?;
            {
                let mut insert = transaction.prepare(
                    "INSERT OR REPLACE INTO entry(dst, src, target, declared, need, present) \
                         VALUES(?1, ?2, ?3, 1, ?4, ?5)",
                )?;
                for entry in entries {
                    let (dst, src) = (entry.dst.as_bytes(), entry.src.as_bytes());
                    insert.execute((dst, src, &entry.target, entry.need.word(), entry.present))?;
                }
            }
            transaction.commit()?;
            Ok(names)
        };
        work(&mut connection).map_err(|source| error::database_of(&self.path(), &source, &connection))
    }

    /// Records only the order of the plan's targets: verification has not looked for the entries.
    /// Returns all names by number.
    pub fn declare_targets(&self, targets: &[String]) -> Result<Vec<String>, JournalError> {
        let mut connection = self.writable()?;
        let work = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let names = number_targets(&transaction, targets)?;
            transaction.commit()?;
            Ok(names)
        };
        work(&mut connection).map_err(|source| error::database_of(&self.path(), &source, &connection))
    }

    /// The entries that the plan declares.
    pub fn declared(&self) -> Result<Vec<Declared>, JournalError> {
        self.entries("WHERE declared = 1")
    }

    /// The entries of earlier runs that the plan no longer declares.
    pub fn undeclared(&self) -> Result<Vec<Declared>, JournalError> {
        self.entries("WHERE declared = 0")
    }

    fn entries(&self, filter: &str) -> Result<Vec<Declared>, JournalError> {
        let connection = self.asking()?;
        select(&connection, filter).map_err(|source| error::database_of(&self.path(), &source, &connection))
    }
}

fn number_targets(transaction: &Transaction<'_>, targets: &[String]) -> Result<Vec<String>, rusqlite::Error> {
    let mut old: Vec<(i64, String)> = {
        let mut statement = transaction.prepare("SELECT id, name FROM target ORDER BY id")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
    };
    let mut names = targets.to_vec();
    names.extend(old.iter().map(|(_, name)| name.clone()).filter(|name| !targets.contains(name)));
    old.retain(|(id, name)| names.get(usize::try_from(*id).unwrap_or(usize::MAX)) != Some(name));
    if !old.is_empty() {
        let mut cases = String::new();
        for (id, name) in &old {
            let new = names.iter().position(|n| n == name).unwrap_or_default();
            cases.push_str(&format!("WHEN {id} THEN {new} "));
        }
        transaction.execute(&format!("UPDATE item SET target = CASE target {cases}ELSE target END"), [])?;
    }
    transaction.execute("DELETE FROM target", [])?;
    let mut insert = transaction.prepare("INSERT INTO target(id, name) VALUES(?1, ?2)")?;
    for (id, name) in names.iter().enumerate() {
        insert.execute((i64::try_from(id).unwrap_or(i64::MAX), name))?;
    }
    Ok(names)
}

fn select(connection: &Connection, filter: &str) -> Result<Vec<Declared>, rusqlite::Error> {
    let mut statement =
        connection.prepare(&format!("SELECT target, src, dst, need, present FROM entry {filter} ORDER BY dst"))?;
    let path = |bytes: Vec<u8>| RelPath::new(&bytes).unwrap_or_default();
    let need = |word: String| Need::from_word(&word).unwrap_or(Need::Required);
    let rows = statement.query_map([], |row| {
        Ok(Declared {
            target: row.get(0)?,
            src: path(row.get(1)?),
            dst: path(row.get(2)?),
            need: need(row.get(3)?),
            present: row.get(4)?,
        })
    })?;
    rows.collect()
}
