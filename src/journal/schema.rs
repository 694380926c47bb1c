//! The database's tables and version; `docs/journal.md` explains them.

/// "pcpj": tells the journal from any other SQLite file.
pub(super) const APPLICATION_ID: i32 = 0x7063_706a;
/// Raised with every change that an older persistcp could not read.
pub(super) const VERSION: i32 = 2;

pub(super) const CREATE: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run(
  id INTEGER PRIMARY KEY,
  started TEXT NOT NULL, ended TEXT, outcome TEXT, tool TEXT NOT NULL, report TEXT);
CREATE TABLE target(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE entry(
  dst BLOB PRIMARY KEY, src BLOB NOT NULL, target TEXT NOT NULL, declared INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE item(
  dir INTEGER NOT NULL, name BLOB NOT NULL,
  id INTEGER, target INTEGER NOT NULL, state INTEGER NOT NULL, kind TEXT NOT NULL,
  size INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER, gid INTEGER,
  mtime INTEGER, mtime_ns INTEGER, rdev INTEGER NOT NULL, nlink INTEGER NOT NULL,
  src_dev INTEGER, src_ino INTEGER, src_ctime INTEGER, src_ctime_ns INTEGER,
  dst_ino INTEGER NOT NULL, dst_ctime INTEGER NOT NULL, dst_ctime_ns INTEGER NOT NULL,
  allocated INTEGER NOT NULL,
  alias INTEGER NOT NULL, algorithm INTEGER, digest BLOB, link BLOB, xattrs BLOB,
  flags INTEGER NOT NULL, project INTEGER NOT NULL, lost INTEGER NOT NULL,
  verified INTEGER,
  PRIMARY KEY(dir, name)) WITHOUT ROWID;
CREATE TABLE chunk(
  dir INTEGER NOT NULL, name BLOB NOT NULL, idx INTEGER NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY(dir, name, idx)) WITHOUT ROWID;
CREATE UNIQUE INDEX item_id ON item(id) WHERE id IS NOT NULL;
CREATE INDEX item_directory ON item(dst_ino) WHERE id IS NOT NULL;
CREATE INDEX item_link ON item(src_ino, src_dev) WHERE nlink > 1 AND kind <> 'd' AND alias = 0;
CREATE INDEX item_sticky ON item(dir, name) WHERE flags & 48 <> 0;
CREATE INDEX item_partial ON item(dir, name) WHERE state = 4;
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
";

pub(super) const COLUMNS: &str = "dir, name, id, target, state, kind, size, mode, uid, gid, mtime, mtime_ns, rdev, nlink, \
     src_dev, src_ino, src_ctime, src_ctime_ns, dst_ino, dst_ctime, dst_ctime_ns, alias, algorithm, digest, link, \
     xattrs, flags, project, lost, verified, allocated";
