//! Queries of the journal.

use super::accepted;
use super::connect::ConnectionGuard;
use super::error;
use super::item::{DONE, OPEN, PARTIAL, decode, is_finished, is_immutable, is_linked, select};
use super::member::Member;
use super::row::Row;
use super::state::State;
use super::verified;
use crate::base::path::{Name, RelPath};
use crate::engine::content::digest::ChunkValue;
use crate::engine::events::journal_error::JournalError;
use crate::engine::events::outcome::Outcome;
use crate::engine::events::unpreserved::Unpreserved;
use rusqlite::{Connection, OptionalExtension};
use std::path::PathBuf;
use std::sync::LazyLock;

/// A read-only connection; one for each thread that asks.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
    /// Ends after the connection.
    _held: ConnectionGuard,
}

impl Reader {
    pub(super) fn new(connection: Connection, path: PathBuf, held: ConnectionGuard) -> Self {
        Self { connection, path, _held: held }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn wrap<T>(&self, result: Result<T, rusqlite::Error>) -> Result<T, JournalError> {
        result.map_err(|source| error::database_of(&self.path, &source, &self.connection))
    }

    /// Until [`Self::let_go`] all queries see one state of the journal, and none of them takes a
    /// lock of its own.
    pub fn hold(&self) -> Result<(), JournalError> {
        self.wrap(self.connection.execute_batch("BEGIN"))
    }

    /// Ends [`Self::hold`].
    pub fn let_go(&self) -> Result<(), JournalError> {
        self.wrap(self.connection.execute_batch("COMMIT"))
    }

    /// The entries and bytes with data that the last copying run counted, if its copy was
    /// complete.
    pub fn last_totals(&self) -> Result<Option<(u64, u64)>, JournalError> {
        let ask = || {
            let sql = "SELECT outcome, report ->> '$.totals.entries', report ->> '$.totals.bytes', \
                       report ->> '$.totals.allocated_bytes' FROM run \
                       WHERE kind = 'copy' AND report ->> '$.totals.entries' > 0 ORDER BY id DESC LIMIT 1";
            let totals = |row: &rusqlite::Row<'_>| {
                let counts = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?.min(row.get(3)?));
                Ok((row.get::<_, String>(0)?, counts.0.cast_unsigned(), counts.1.cast_unsigned()))
            };
            self.connection.query_row(sql, [], totals).optional()
        };
        let last = self.wrap(ask())?;
        Ok(last
            .filter(|(outcome, ..)| matches!(Outcome::from_word(outcome), Some(Outcome::Done | Outcome::Problems)))
            .map(|(_, entries, bytes)| (entries, bytes)))
    }

    /// The row of `name` in the directory `dir`.
    pub fn find(&self, dir: i64, name: &Name) -> Result<Option<Row>, JournalError> {
        static SQL: LazyLock<String> = LazyLock::new(|| select("WHERE dir = ?1 AND name = ?2"));
        let ask = || {
            let mut statement = self.connection.prepare_cached(&SQL)?;
            statement.query_row((dir, name.as_bytes()), decode).optional()
        };
        self.wrap(ask())
    }

    /// The same, if it is finished.
    pub fn find_copied(&self, dir: i64, name: &Name) -> Result<Option<Row>, JournalError> {
        Ok(self.find(dir, name)?.filter(|row| matches!(row.state, State::Done | State::Bad)))
    }

    /// The values of the chunks that the target has of a large file, by index.
    pub fn chunks(&self, dir: i64, name: &[u8]) -> Result<Vec<(u64, ChunkValue)>, JournalError> {
        let ask = || {
            let mut statement = self
                .connection
                .prepare_cached("SELECT idx, value FROM chunk WHERE dir = ?1 AND name = ?2 ORDER BY idx")?;
            statement.query_map((dir, name), |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))?.collect()
        };
        self.wrap(ask())
    }

    /// Up to `limit` directories that no run has finished, and how many there are.
    pub fn open_directories(&self, limit: u32) -> Result<(Vec<Row>, u64), JournalError> {
        let ask = || {
            let sql = select(&format!("WHERE state = {OPEN} ORDER BY dir, name LIMIT ?1"));
            let rows = self.connection.prepare(&sql)?.query_map([limit], decode)?.collect::<Result<_, _>>()?;
            let count = format!("SELECT count(*) FROM item WHERE state = {OPEN}");
            let count: i64 = self.connection.query_row(&count, [], |row| row.get(0))?;
            Ok((rows, count.cast_unsigned()))
        };
        self.wrap(ask())
    }

    /// The large files that no run has finished.
    pub fn partial(&self) -> Result<Vec<Row>, JournalError> {
        let ask = || {
            let mut statement = self.connection.prepare_cached(&select(&format!("WHERE state = {PARTIAL}")))?;
            statement.query_map([], decode)?.collect()
        };
        self.wrap(ask())
    }

    /// The row of a path below the root.
    pub fn find_path(&self, path: &RelPath) -> Result<Option<Row>, JournalError> {
        let mut dir = 0;
        let mut row = None;
        for name in path.names() {
            if let Some(above) = row.take() {
                let Row { id: Some(id), .. } = above else { return Ok(None) };
                dir = id;
            }
            match self.find(dir, &name)? {
                Some(found) => row = Some(found),
                None => return Ok(None),
            }
        }
        Ok(row)
    }

    /// True when a finished row other than an alias is about the inode of `row`: only such a row
    /// has its content verified.
    pub fn vouched_for(&self, row: &Row) -> Result<bool, JournalError> {
        let Some(source) = row.source else { return Ok(false) };
        let ask = || {
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT EXISTS(SELECT 1 FROM item WHERE src_ino = ?1 AND alias = 0 AND {} AND state = {DONE} \
                 AND dst_ino = ?2)",
                is_linked()
            ))?;
            statement.query_row((source.ino.cast_signed(), row.dst_ino.cast_signed()), |row| row.get(0))
        };
        self.wrap(ask())
    }

    /// The same for verification: names of one inode that were verified have one ctime in common, so a row
    /// with another one is about an inode that has lost its name since.
    pub fn verified_with(&self, row: &Row) -> Result<bool, JournalError> {
        let Some(source) = row.source else { return Ok(false) };
        let ask = || {
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT EXISTS(SELECT 1 FROM item WHERE src_ino = ?1 AND alias = 0 AND {} AND state = {DONE} \
                 AND dst_ino = ?2 AND (verified IS NULL OR ?3 OR (dst_ctime, dst_ctime_ns) = (?4, ?5)))",
                is_linked()
            ))?;
            let inode = (source.ino.cast_signed(), row.dst_ino.cast_signed());
            let (new, ctime) = (row.verified.is_none(), row.dst_ctime);
            statement.query_row((inode.0, inode.1, new, ctime.sec, ctime.nsec), |row| row.get(0))
        };
        self.wrap(ask())
    }

    /// Calls `each` with every name that has a row in the directory `dir`, whatever its state.
    pub fn names(&self, dir: i64, mut each: impl FnMut(Name)) -> Result<(), JournalError> {
        let mut ask = || {
            let mut statement = self.connection.prepare_cached("SELECT name FROM item WHERE dir = ?1")?;
            let mut rows = statement.query([dir])?;
            while let Some(row) = rows.next()? {
                // Only damage makes a name invalid.
                Name::new(row.get_ref(0)?.as_blob()?).into_iter().for_each(&mut each);
            }
            Ok(())
        };
        self.wrap(ask())
    }

    /// True when `name` in the directory `dir` has a row, whatever its state, or was accepted.
    pub fn knows(&self, dir: i64, name: &Name) -> Result<bool, JournalError> {
        let ask = || {
            let mut statement = self.connection.prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM item WHERE dir = ?1 AND name = ?2) \
                 OR EXISTS(SELECT 1 FROM accepted WHERE dir = ?1 AND name = ?2)",
            )?;
            statement.query_row((dir, name.as_bytes()), |row| row.get(0))
        };
        self.wrap(ask())
    }

    /// True when `name` in the directory `dir` has a row, whatever its state.
    pub fn is_copied(&self, dir: i64, name: &Name) -> Result<bool, JournalError> {
        let ask = || {
            let sql = "SELECT EXISTS(SELECT 1 FROM item WHERE dir = ?1 AND name = ?2)";
            self.connection.prepare_cached(sql)?.query_row((dir, name.as_bytes()), |row| row.get(0))
        };
        self.wrap(ask())
    }

    /// The finished entries (without aliases) made from a linked inode with the number `ino` for
    /// which `wanted` holds: the number alone may be another file system's, or an older state's. A
    /// copy that replaces a link is not among them.
    pub fn find_linked(&self, ino: u64, wanted: impl Fn(&Row) -> bool) -> Result<Vec<Row>, JournalError> {
        let ask = || {
            let (linked, apart) = (is_linked(), Unpreserved::Apart.bit());
            let mut statement = self.connection.prepare_cached(&select(&format!(
                "WHERE src_ino = ?1 AND alias = 0 AND {linked} AND state = {DONE} AND lost & {apart} = 0"
            )))?;
            let rows = statement.query_map([ino.cast_signed()], decode)?;
            rows.filter(|row| row.as_ref().map_or(true, &wanted)).collect()
        };
        self.wrap(ask())
    }

    /// Calls back, for each inode number, with the names of linked source inodes, whole or bad, that
    /// are several inodes on the target; names that could not be linked are not among them.
    pub fn split_groups(
        &self,
        mut each: impl FnMut(Vec<Member>) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let apart = Unpreserved::Links.bit() | Unpreserved::Apart.bit();
        let linked =
            format!("WHERE {} AND {} AND src_volume IS NOT NULL AND lost & {apart} = 0", is_linked(), is_finished());
        let numbers = format!("SELECT src_ino FROM item {linked} GROUP BY src_ino HAVING count(DISTINCT dst_ino) > 1");
        let mut statement = self.wrap(self.connection.prepare_cached(&numbers))?;
        let mut numbers = self.wrap(statement.query([]))?;
        while let Some(number) = self.wrap(numbers.next())? {
            let ask = || {
                let ino: i64 = number.get(0)?;
                let sql = select(&format!("{linked} AND src_ino = ?1"));
                let mut statement = self.connection.prepare_cached(&sql)?;
                statement.query_map([ino], decode)?.map(|row| row.map(Member::of)).collect()
            };
            each(self.wrap(ask())?)?;
        }
        Ok(())
    }

    /// Numbers and keys of the source's file systems.
    pub fn volumes(&self) -> Result<Vec<(i64, String)>, JournalError> {
        let ask = || {
            let mut statement = self.connection.prepare_cached("SELECT id, key FROM volume ORDER BY id")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        self.wrap(ask())
    }

    /// The row of the directory with this id.
    pub fn directory(&self, id: i64) -> Result<Option<Row>, JournalError> {
        let ask = || {
            let mut statement = self.connection.prepare_cached(&select("WHERE id = ?1"))?;
            statement.query_row([id], decode).optional()
        };
        match self.wrap(ask())? {
            // One that its owner made.
            None => Ok(self.accepted_directory(id)?.map(|accepted| accepted.row)),
            found => Ok(found),
        }
    }

    /// True when a directory of `target` other than `name` in `dir` was recorded with the inode `ino`.
    pub fn has_other_directory(&self, ino: u64, target: u32, dir: i64, name: &Name) -> Result<bool, JournalError> {
        let ask = || {
            let mut statement = self.connection.prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM item WHERE dst_ino = ?1 AND id IS NOT NULL AND target = ?2 \
                 AND (dir, name) <> (?3, ?4))",
            )?;
            statement.query_row((ino.cast_signed(), target, dir, name.as_bytes()), |row| row.get(0))
        };
        self.wrap(ask())
    }

    /// The path of a directory below the root, from its id.
    pub fn path_of(&self, mut id: i64) -> Result<RelPath, JournalError> {
        let mut names = Vec::new();
        while id != 0 {
            // A cycle or a gap can only be damage; the walk up is bounded by the deepest tree Linux can hold.
            let Some(row) = self.directory(id)? else { break };
            names.push(row.name);
            id = row.dir;
            if names.len() > 1_000_000 {
                break;
            }
        }
        names.reverse();
        Ok(RelPath::new(&names.join(&b'/')).unwrap_or_default())
    }

    /// Up to `limit` rows after the key `(dir, name)`, in key order, that verification looks at:
    /// finished and bad ones.
    pub fn page(&self, after: (i64, &[u8]), unverified_only: bool, limit: u32) -> Result<Vec<Row>, JournalError> {
        let filter = if unverified_only { "AND verified IS NULL" } else { "" };
        let ask = || {
            let finished = is_finished();
            let mut statement = self.connection.prepare_cached(&select(&format!(
                "WHERE (dir, name) > (?1, ?2) AND {finished} {filter} ORDER BY dir, name LIMIT ?3"
            )))?;
            statement.query_map((after.0, after.1, limit), decode)?.collect()
        };
        self.wrap(ask())
    }

    /// Up to `limit` finished rows after the key `(dir, name)` whose inode is to be immutable or
    /// append-only.
    pub fn immutable_page(&self, after: (i64, &[u8]), limit: u32) -> Result<Vec<Row>, JournalError> {
        let ask = || {
            let immutable = is_immutable();
            let mut statement = self.connection.prepare_cached(&select(&format!(
                "WHERE (dir, name) > (?1, ?2) AND state = {DONE} AND {immutable} ORDER BY dir, name LIMIT ?3"
            )))?;
            statement.query_map((after.0, after.1, limit), decode)?.collect()
        };
        self.wrap(ask())
    }

    /// True when the run before this one left no finished row unverified, and this one has changed
    /// none. False says nothing.
    pub fn all_verified(&self) -> Result<bool, JournalError> {
        self.wrap(verified::is_recorded(&self.connection))
    }

    /// Entries and bytes that verification will look at; linked inodes count once.
    pub fn verify_load(&self, unverified_only: bool) -> Result<(u64, u64), JournalError> {
        let filter = if unverified_only { "AND verified IS NULL" } else { "" };
        let ask = || {
            let (entries, bytes) = self.connection.query_row(
                &format!(
                    "SELECT count(*), coalesce(sum(CASE WHEN kind = 'f' AND alias = 0 THEN size ELSE 0 END), 0) \
                     FROM item WHERE {} {filter}",
                    is_finished()
                ),
                [],
                |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned())),
            )?;
            // An accepted entry is looked at in the place of a copied one.
            let more = if unverified_only { accepted::unverified(&self.connection)? } else { (0, 0) };
            Ok((entries + more.0, bytes + more.1))
        };
        self.wrap(ask())
    }

    /// The largest directory id in use.
    ///
    /// A row whose directory was never recorded must not end up in another one.
    pub fn last_id(&self) -> Result<i64, JournalError> {
        let ask = || {
            self.connection.query_row(
                "SELECT max((SELECT coalesce(max(id), 0) FROM item WHERE id IS NOT NULL), \
                 (SELECT coalesce(max(dir), 0) FROM item), \
                 (SELECT coalesce(max(id), 0) FROM accepted WHERE id IS NOT NULL), \
                 (SELECT coalesce(max(dir), 0) FROM accepted))",
                [],
                |row| row.get(0),
            )
        };
        self.wrap(ask())
    }

    /// Names of the targets by number.
    pub fn targets(&self) -> Result<Vec<String>, JournalError> {
        let ask = || {
            let mut statement = self.connection.prepare_cached("SELECT name FROM target ORDER BY id")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        self.wrap(ask())
    }

    /// A value of the `meta` table.
    pub fn meta(&self, key: &str) -> Result<Option<String>, JournalError> {
        let ask =
            || self.connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional();
        self.wrap(ask())
    }
}
