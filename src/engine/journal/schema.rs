//! The database's tables, its version, and the migrations from older ones; `docs/journal.md`
//! explains them.
//!
//! The migrations are our own: no release of `rusqlite_migration` accepts the rusqlite that we
//! use (2.6.0 wants 0.40; 1.0.1 declares no upper bound but does not compile with it), and two
//! SQLite libraries cannot be linked into one program.

use super::item::{DEFINITIONS, PARTIAL, is_immutable, is_linked};
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// "pcpj": tells the journal from any other SQLite file.
pub(super) const APPLICATION_ID: i32 = 0x7063_706a;
/// Raised with every change that an older persistcp could not read.
pub(super) const VERSION: i32 = 5;
/// The oldest version that [`migrate`] brings to [`VERSION`].
pub(super) const OLDEST: i32 = 2;

/// The tables of [`VERSION`].
fn tables() -> String {
    let (linked, immutable) = (is_linked(), is_immutable());
    format!(
        "
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run(
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, outcome TEXT, tool TEXT NOT NULL, report TEXT,
  command TEXT, expected INTEGER, copied TEXT);
CREATE TABLE problem(
  path BLOB NOT NULL, kind TEXT NOT NULL, attribute TEXT NOT NULL, target TEXT NOT NULL,
  message TEXT NOT NULL, expected TEXT, found TEXT, lost INTEGER NOT NULL, run INTEGER NOT NULL,
  op TEXT, errno TEXT,
  PRIMARY KEY(path, kind, attribute)) WITHOUT ROWID;
CREATE TABLE volume(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE target(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE entry(
  dst BLOB PRIMARY KEY, src BLOB NOT NULL, target TEXT NOT NULL, declared INTEGER NOT NULL,
  need TEXT NOT NULL, present INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE item({DEFINITIONS}PRIMARY KEY(dir, name)) WITHOUT ROWID;
CREATE TABLE accepted({DEFINITIONS}what INTEGER NOT NULL, PRIMARY KEY(dir, name)) WITHOUT ROWID;
CREATE TABLE chunk(
  dir INTEGER NOT NULL, name BLOB NOT NULL, idx INTEGER NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY(dir, name, idx)) WITHOUT ROWID;
CREATE UNIQUE INDEX item_id ON item(id) WHERE id IS NOT NULL;
CREATE INDEX accepted_id ON accepted(id) WHERE id IS NOT NULL;
CREATE INDEX item_directory ON item(dst_ino) WHERE id IS NOT NULL;
CREATE INDEX item_link ON item(src_ino, alias) WHERE {linked};
CREATE INDEX item_sticky ON item(dir, name) WHERE {immutable};
CREATE INDEX item_partial ON item(dir, name) WHERE state = {PARTIAL};
CREATE VIEW manifest AS
  WITH RECURSIVE path(id, text) AS (
    SELECT 0, ''
    UNION ALL
    SELECT item.id, path.text || '/' || CAST(item.name AS TEXT)
      FROM item JOIN path ON item.dir = path.id WHERE item.id IS NOT NULL)
  SELECT path.text || '/' || CAST(item.name AS TEXT) AS path, item.kind, item.size,
         printf('%04o', item.mode) AS mode, item.uid, item.gid, item.mtime, item.mtime_ns,
         item.state, item.verified, lower(hex(item.digest)) AS blake3
    FROM item JOIN path ON item.dir = path.id;
"
    )
}

/// Makes the tables of a new journal, in one transaction with its numbers.
pub(super) fn create(connection: &Connection) -> Result<(), rusqlite::Error> {
    let tables = tables();
    connection.execute_batch(&format!(
        "BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; {tables} COMMIT;"
    ))
}

/// Each step brings a journal one version further. A released step is never edited: journals
/// have already gone through it.
const STEPS: [&str; 3] = [
    "
ALTER TABLE run ADD COLUMN kind TEXT NOT NULL DEFAULT 'copy';
UPDATE run SET kind = 'verify' WHERE report ->> '$.totals.entries' = 0 AND outcome <> 'interrupted';
ALTER TABLE run ADD COLUMN command TEXT;
ALTER TABLE run ADD COLUMN expected INTEGER;
ALTER TABLE run ADD COLUMN copied TEXT;
UPDATE run SET copied = ended WHERE kind = 'copy' AND outcome IN ('ok', 'problems');
CREATE TABLE problem(
  path BLOB NOT NULL, kind TEXT NOT NULL, attribute TEXT NOT NULL, target TEXT NOT NULL,
  message TEXT NOT NULL, expected TEXT, found TEXT, lost INTEGER NOT NULL, run INTEGER NOT NULL,
  PRIMARY KEY(path, kind, attribute)) WITHOUT ROWID;
INSERT OR IGNORE INTO problem
  SELECT CAST(substr(value ->> 'path', 2) AS BLOB), value ->> 'kind', coalesce(value ->> 'attribute', ''),
         value ->> 'target', value ->> 'message', NULL, NULL, 0, run.id
    FROM run, json_each(run.report, '$.problems')
   WHERE run.id = (SELECT max(id) FROM run WHERE kind = 'copy')
     AND value ->> 'kind' IN ('unreadable', 'unsupported', 'changed-source', 'mount', 'io');
ALTER TABLE entry ADD COLUMN need TEXT NOT NULL DEFAULT 'required';
ALTER TABLE entry ADD COLUMN present INTEGER NOT NULL DEFAULT 0;
ALTER TABLE item ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
CREATE TABLE volume(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
ALTER TABLE item RENAME COLUMN src_dev TO src_volume;
UPDATE item SET src_volume = NULL;
DROP INDEX item_link;
CREATE INDEX item_link ON item(src_ino, alias) WHERE nlink > 1 AND kind <> 'd';
",
    "
ALTER TABLE problem ADD COLUMN op TEXT;
ALTER TABLE problem ADD COLUMN errno TEXT;
",
    "
CREATE TABLE accepted(
  dir INTEGER NOT NULL, name BLOB NOT NULL, id INTEGER, target INTEGER NOT NULL, state INTEGER NOT NULL,
  kind TEXT NOT NULL, size INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER, gid INTEGER, mtime INTEGER,
  mtime_ns INTEGER, rdev INTEGER NOT NULL, nlink INTEGER NOT NULL, src_volume INTEGER, src_ino INTEGER,
  src_ctime INTEGER, src_ctime_ns INTEGER, dst_ino INTEGER NOT NULL, dst_ctime INTEGER NOT NULL,
  dst_ctime_ns INTEGER NOT NULL, allocated INTEGER NOT NULL, alias INTEGER NOT NULL, algorithm INTEGER,
  digest BLOB, link BLOB, xattrs BLOB, flags INTEGER NOT NULL, given_up INTEGER NOT NULL,
  project INTEGER NOT NULL, lost INTEGER NOT NULL, verified INTEGER,
  what INTEGER NOT NULL,
  PRIMARY KEY(dir, name)) WITHOUT ROWID;
CREATE INDEX accepted_id ON accepted(id) WHERE id IS NOT NULL;
",
];

/// Brings a journal of an older release, from [`OLDEST`] on, to [`VERSION`], in one transaction.
pub(super) fn migrate(connection: &Connection, from: i32) -> Result<(), rusqlite::Error> {
    let done = usize::try_from(from - OLDEST).unwrap_or(STEPS.len()).min(STEPS.len());
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    STEPS[done..].iter().try_for_each(|step| transaction.execute_batch(step))?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

#[cfg(test)]
mod tests;
