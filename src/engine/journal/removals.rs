//! Rows whose entries were removed from the target.
//!
//! A row is forgotten only after a syncfs that followed the removal: a power cut that brought the
//! entry back would leave it without a row, and no later run would know it.

use super::accepted::{self, Acceptance, AcceptedAs, AcceptedRow};
use super::epoch::FileSystems;
use super::item::{DONE, is_linked};
use super::row::Row;
use crate::base::path::RelPath;
use crate::sys::Errno;
use crate::sys::stat::Time;
use rusqlite::{Connection, Transaction};
use std::sync::Arc;

/// An entry that is gone from the target.
#[derive(Clone, Debug)]
pub struct Removed {
    /// Its path below the root.
    pub path: RelPath,
    /// The id of its directory.
    pub dir: i64,
    /// The name in it.
    pub name: Vec<u8>,
    /// Its own id; everything recorded below it is gone as well.
    pub id: Option<i64>,
    /// What became of the other names of its inode.
    pub unlinked: Option<Unlinked>,
    /// Its row, if its owner removed it where it was in use: it stays so.
    pub in_use: Option<Box<Row>>,
}

impl Removed {
    /// The entry of `row`, at `path`.
    #[must_use]
    pub fn of(row: &Row, path: RelPath) -> Self {
        Self { path, dir: row.dir, name: row.name.clone(), id: row.id, unlinked: None, in_use: None }
    }
}

/// An inode that lost one of its names, which moves its ctime.
#[derive(Clone, Copy, Debug)]
pub struct Unlinked {
    /// On the source.
    pub source: u64,
    /// On the target.
    pub ino: u64,
    /// Before.
    pub before: Time,
    /// After.
    pub after: Time,
}

/// A directory that stays, in which a name was removed.
#[derive(Clone, Debug)]
struct LeftDirectory {
    id: i64,
    ino: u64,
    before: Time,
    after: Time,
}

/// Entries that were removed and wait for a syncfs of their file systems.
#[derive(Debug)]
pub struct Removals {
    file_systems: Arc<FileSystems>,
    used: Vec<usize>,
    waiting: DurablyRemoved,
}

/// Entries that are gone from the medium. Only [`Removals::sync`] makes one.
#[derive(Debug, Default)]
pub struct DurablyRemoved {
    removed: Vec<Removed>,
    settled: Vec<LeftDirectory>,
}

/// At most this many wait.
const MOST: usize = 4096;

impl Removals {
    /// None yet. Each file system must be asked for its index before something is removed there.
    #[must_use]
    pub fn new(file_systems: Arc<FileSystems>) -> Self {
        Self { file_systems, used: Vec::new(), waiting: DurablyRemoved::default() }
    }

    /// Adds an entry of the file system `file_system`. True when it is time to sync.
    pub fn add(&mut self, file_system: usize, removed: Removed) -> bool {
        if !self.used.contains(&file_system) {
            self.used.push(file_system);
        }
        self.waiting.removed.push(removed);
        self.waiting.removed.len() >= MOST
    }

    /// The directory `id`, inode `ino`, has lost a name: its ctime moved from `before` to `after`.
    pub fn settle(&mut self, id: i64, ino: u64, before: Time, after: Time) {
        self.waiting.settled.push(LeftDirectory { id, ino, before, after });
    }

    /// Syncs the file systems of all that wait. `None` when nothing does.
    pub fn sync(&mut self) -> Result<Option<DurablyRemoved>, Errno> {
        let (used, waiting) = (std::mem::take(&mut self.used), std::mem::take(&mut self.waiting));
        if waiting.removed.is_empty() {
            return Ok(None);
        }
        self.file_systems.sync(used)?;
        Ok(Some(waiting))
    }
}

/// Forgets the rows of `gone`, with everything recorded below them. A removal where it was in use is accepted: a
/// run from a source that still has it must know of it.
pub(super) fn forget(connection: &mut Connection, gone: &DurablyRemoved) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    for Removed { path, dir, name, id, unlinked, in_use } in &gone.removed {
        // First: the directories' ids are in the rows of `item`.
        accepted::drop_at(&transaction, *dir, name)?;
        if let Some(id) = id {
            // Chunks first: the directories' ids are in the rows of `item`.
            for table in ["chunk", "item"] {
                transaction
                    .prepare_cached(&format!(
                        "WITH RECURSIVE below(id) AS (
                           SELECT ?1 UNION ALL
                           SELECT item.id FROM item JOIN below ON item.dir = below.id WHERE item.id IS NOT NULL)
                         DELETE FROM {table} WHERE dir IN below"
                    ))?
                    .execute([id])?;
            }
        }
        if let Some(row) = in_use {
            let removed = AcceptedRow { what: AcceptedAs::Removed, row: (**row).clone() };
            accepted::put(&transaction, &Acceptance::Taken(Box::new(removed)))?;
        } else {
            for table in ["chunk", "item"] {
                transaction
                    .prepare_cached(&format!("DELETE FROM {table} WHERE dir = ?1 AND name = ?2"))?
                    .execute((dir, name))?;
            }
        }
        transaction.prepare_cached("DELETE FROM problem WHERE path = ?1")?.execute([path.as_bytes()])?;
        if let Some(unlinked) = unlinked {
            settle_links(&transaction, *unlinked)?;
        }
    }
    for LeftDirectory { id, ino, before, after } in &gone.settled {
        let sql = "UPDATE item SET dst_ctime = ?1, dst_ctime_ns = ?2 \
                   WHERE id = ?3 AND dst_ino = ?4 AND dst_ctime = ?5 AND dst_ctime_ns = ?6";
        let values = (after.sec, after.nsec, id, ino.cast_signed(), before.sec, before.nsec);
        transaction.prepare_cached(sql)?.execute(values)?;
    }
    transaction.commit()
}

/// The other names of an inode get its new ctime, and one of them vouches for the content if the
/// name that did is gone.
fn settle_links(transaction: &Transaction<'_>, unlinked: Unlinked) -> Result<(), rusqlite::Error> {
    let Unlinked { source, ino, before, after } = unlinked;
    let (source, ino) = (source.cast_signed(), ino.cast_signed());
    let of_inode = format!("src_ino = ?1 AND dst_ino = ?2 AND {} AND state = {DONE}", is_linked());
    transaction
        .prepare_cached(&format!(
            "UPDATE item SET dst_ctime = ?3, dst_ctime_ns = ?4 WHERE {of_inode} AND dst_ctime = ?5 AND dst_ctime_ns = ?6"
        ))?
        .execute((source, ino, after.sec, after.nsec, before.sec, before.nsec))?;
    transaction
        .prepare_cached(&format!(
            "UPDATE item SET alias = 0 WHERE (dir, name) IN (SELECT dir, name FROM item WHERE {of_inode} LIMIT 1) \
             AND NOT EXISTS (SELECT 1 FROM item WHERE {of_inode} AND alias = 0)"
        ))?
        .execute((source, ino))
        .map(drop)
}
