//! The table `item`: its columns, each named once, and how a row goes in and comes out.

use super::row::Row;
use super::source::SourceId;
use super::state::State;
use crate::engine::content::digest::{Algorithm, Digest};
use crate::engine::events::unpreserved::UnpreservedSet;
use crate::engine::meta::{Rights, Wanted, Xattrs};
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Time};
use rusqlite::types::{FromSql, ToSqlOutput, Type, Value, ValueRef};
use rusqlite::{CachedStatement, Connection};

macro_rules! columns {
    ($($column:ident: $name:literal $definition:literal,)+) => {
        /// A column, in the order of the table and of every statement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Column { $($column),+ }

        impl Column {
            const ALL: &[Self] = &[$(Self::$column),+];

            const fn name(self) -> &'static str {
                match self { $(Self::$column => $name),+ }
            }
        }

        /// The columns in the text of `CREATE TABLE`.
        pub(super) const DEFINITIONS: &str = concat!($($name, " ", $definition, ", "),+);
    };
}

columns! {
    Dir: "dir" "INTEGER NOT NULL",
    Name: "name" "BLOB NOT NULL",
    Id: "id" "INTEGER",
    Target: "target" "INTEGER NOT NULL",
    State: "state" "INTEGER NOT NULL",
    Kind: "kind" "TEXT NOT NULL",
    Size: "size" "INTEGER NOT NULL",
    Mode: "mode" "INTEGER NOT NULL",
    Uid: "uid" "INTEGER",
    Gid: "gid" "INTEGER",
    Mtime: "mtime" "INTEGER",
    MtimeNs: "mtime_ns" "INTEGER",
    Rdev: "rdev" "INTEGER NOT NULL",
    Nlink: "nlink" "INTEGER NOT NULL",
    SrcVolume: "src_volume" "INTEGER",
    SrcIno: "src_ino" "INTEGER",
    SrcCtime: "src_ctime" "INTEGER",
    SrcCtimeNs: "src_ctime_ns" "INTEGER",
    DstIno: "dst_ino" "INTEGER NOT NULL",
    DstCtime: "dst_ctime" "INTEGER NOT NULL",
    DstCtimeNs: "dst_ctime_ns" "INTEGER NOT NULL",
    Allocated: "allocated" "INTEGER NOT NULL",
    Alias: "alias" "INTEGER NOT NULL",
    Algorithm: "algorithm" "INTEGER",
    Digest: "digest" "BLOB",
    Link: "link" "BLOB",
    Xattrs: "xattrs" "BLOB",
    Flags: "flags" "INTEGER NOT NULL",
    GivenUp: "given_up" "INTEGER NOT NULL",
    Project: "project" "INTEGER NOT NULL",
    Lost: "lost" "INTEGER NOT NULL",
    Verified: "verified" "INTEGER",
}

/// The states, for the text of statements.
pub(super) const OPEN: i64 = State::Open.number();
pub(super) const DONE: i64 = State::Done.number();
pub(super) const BAD: i64 = State::Bad.number();
pub(super) const PARTIAL: i64 = State::Partial.number();

/// What verification looks at: entries that a run finished, whether or not they were damaged since.
pub(super) fn is_finished() -> String {
    format!("state IN ({DONE}, {BAD})")
}

/// What the index `item_link` holds: names of inodes that have several.
pub(super) fn is_linked() -> String {
    format!("nlink > 1 AND kind <> '{}'", Kind::Directory.letter())
}

/// What the index `item_sticky` holds.
pub(super) fn is_immutable() -> String {
    format!("flags & {} <> 0", Flags::IMMUTABLE_OR_APPEND.bits())
}

/// `SELECT` of whole rows, for [`decode`]; `rest` is what follows the table.
pub(super) fn select(rest: &str) -> String {
    select_from("", "item", rest)
}

/// The same of a table with these columns, and `more` after them.
pub(super) fn select_from(more: &str, table: &str, rest: &str) -> String {
    let names: Vec<_> = Column::ALL.iter().map(|column| column.name()).collect();
    format!("SELECT {}{more} FROM {table} {rest}", names.join(", "))
}

/// Number of columns that [`decode`] reads.
pub(super) const fn width() -> usize {
    Column::ALL.len()
}

/// The statement that [`insert`] takes.
pub(super) fn insertion(connection: &Connection) -> Result<CachedStatement<'_>, rusqlite::Error> {
    insertion_into(connection, "item", &[])
}

/// The same into a table with these columns and `more`, which are bound after those of [`bind`].
pub(super) fn insertion_into<'c>(
    connection: &'c Connection,
    table: &str,
    more: &[&str],
) -> Result<CachedStatement<'c>, rusqlite::Error> {
    let names: Vec<_> = Column::ALL.iter().map(|column| column.name()).chain(more.iter().copied()).collect();
    let marks = vec!["?"; names.len()];
    connection.prepare_cached(&format!(
        "INSERT OR REPLACE INTO {table}({}) VALUES({})",
        names.join(", "),
        marks.join(", ")
    ))
}

/// Puts `row` into the table, in `state`, over what has its key.
pub(super) fn insert(statement: &mut CachedStatement<'_>, row: &Row, state: State) -> Result<(), rusqlite::Error> {
    bind(statement, row, state)?;
    statement.raw_execute().map(drop)
}

/// Binds the columns of `row`, in `state`.
pub(super) fn bind(statement: &mut CachedStatement<'_>, row: &Row, state: State) -> Result<(), rusqlite::Error> {
    let mut columns = (1..).zip(Column::ALL);
    columns.try_for_each(|(at, column)| statement.raw_bind_parameter(at, encode(row, state, *column)))
}

fn number<T>(value: T) -> ToSqlOutput<'static>
where
    Value: From<T>,
{
    ToSqlOutput::Owned(Value::from(value))
}

fn blob(bytes: Option<&[u8]>) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(bytes.map_or(ValueRef::Null, ValueRef::Blob))
}

fn encode(row: &Row, state: State, column: Column) -> ToSqlOutput<'_> {
    let (wanted, source) = (&row.wanted, row.source);
    match column {
        Column::Dir => number(row.dir),
        Column::Name => blob(Some(&row.name)),
        Column::Id => number(row.id),
        Column::Target => number(row.target),
        Column::State => number(state.number()),
        Column::Kind => ToSqlOutput::Borrowed(ValueRef::Text(row.kind().letter().as_bytes())),
        Column::Size => number(row.size.cast_signed()),
        Column::Mode => number(wanted.mode),
        Column::Uid => number(wanted.owner.map(|owner| owner.0)),
        Column::Gid => number(wanted.owner.map(|owner| owner.1)),
        Column::Mtime => number(wanted.mtime.map(|time| time.sec)),
        Column::MtimeNs => number(wanted.mtime.map(|time| time.nsec)),
        Column::Rdev => number(row.rdev.cast_signed()),
        Column::Nlink => number(row.nlink),
        Column::SrcVolume => number(source.and_then(|source| source.volume)),
        Column::SrcIno => number(source.map(|source| source.ino.cast_signed())),
        Column::SrcCtime => number(source.map(|source| source.ctime.sec)),
        Column::SrcCtimeNs => number(source.map(|source| source.ctime.nsec)),
        Column::DstIno => number(row.dst_ino.cast_signed()),
        Column::DstCtime => number(row.dst_ctime.sec),
        Column::DstCtimeNs => number(row.dst_ctime.nsec),
        Column::Allocated => number(row.allocated.cast_signed()),
        Column::Alias => number(row.alias),
        Column::Algorithm => number(row.digest.map(|digest| algorithm_number(digest.algorithm))),
        Column::Digest => blob(row.digest.as_ref().map(|digest| &digest.bytes[..])),
        Column::Link => blob(row.link.as_deref()),
        Column::Xattrs => number(row.xattrs().map(Xattrs::to_bytes)),
        Column::Flags => number(wanted.flags.bits()),
        Column::GivenUp => number(wanted.given_up.bits()),
        Column::Project => number(wanted.project),
        Column::Lost => number(wanted.lost.bits()),
        Column::Verified => number(row.verified),
    }
}

const fn algorithm_number(algorithm: Algorithm) -> i64 {
    match algorithm {
        Algorithm::Blake3 => 0,
        Algorithm::NonZeroChunks => 1,
    }
}

fn damaged(column: Column, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column as usize, Type::Blob, what.into())
}

/// The name in a row of a statement of [`select`].
pub(super) fn row_name<'row>(row: &'row rusqlite::Row<'_>) -> Result<&'row [u8], rusqlite::Error> {
    row.get_ref(Column::Name as usize)?.as_blob().map_err(|_| damaged(Column::Name, "no name"))
}

/// A row of a statement of [`select`].
pub(super) fn decode(row: &rusqlite::Row<'_>) -> Result<Row, rusqlite::Error> {
    fn get<T: FromSql>(row: &rusqlite::Row<'_>, column: Column) -> Result<T, rusqlite::Error> {
        row.get(column as usize)
    }
    let unsigned = |column| get::<i64>(row, column).map(i64::cast_unsigned);
    let time = |sec, nsec| {
        let (sec, nsec): (Option<i64>, Option<u32>) = (get(row, sec)?, get(row, nsec)?);
        Ok::<_, rusqlite::Error>(sec.zip(nsec).map(|(sec, nsec)| Time { sec, nsec }))
    };
    let letter = row.get_ref(Column::Kind as usize)?.as_str().map_err(|_| damaged(Column::Kind, "no kind"))?;
    let kind = Kind::from_letter(letter).ok_or_else(|| damaged(Column::Kind, "unknown kind"))?;
    let state = State::from_number(get(row, Column::State)?).ok_or_else(|| damaged(Column::State, "unknown state"))?;
    let source = match (get::<Option<i64>>(row, Column::SrcIno)?, time(Column::SrcCtime, Column::SrcCtimeNs)?) {
        (Some(ino), Some(ctime)) => {
            Some(SourceId { volume: get(row, Column::SrcVolume)?, ino: ino.cast_unsigned(), ctime })
        }
        _ => None,
    };
    let digest = match (get::<Option<i64>>(row, Column::Algorithm)?, get::<Option<[u8; 32]>>(row, Column::Digest)?) {
        (None, None) => None,
        (Some(algorithm), Some(bytes)) => {
            let known = [Algorithm::Blake3, Algorithm::NonZeroChunks];
            let algorithm = known.into_iter().find(|known| algorithm_number(*known) == algorithm);
            let algorithm = algorithm.ok_or_else(|| damaged(Column::Algorithm, "unknown digest algorithm"))?;
            Some(Digest { algorithm, bytes })
        }
        _ => return Err(damaged(Column::Digest, "half a digest")),
    };
    let bytes = row.get_ref(Column::Xattrs as usize)?.as_blob_or_null();
    let xattrs = bytes
        .map_err(|_| damaged(Column::Xattrs, "no attributes"))?
        .map(|bytes| Xattrs::from_bytes(bytes).ok_or_else(|| damaged(Column::Xattrs, "damaged attributes")))
        .transpose()?;
    Ok(Row {
        dir: get(row, Column::Dir)?,
        name: get(row, Column::Name)?,
        id: get(row, Column::Id)?,
        target: get(row, Column::Target)?,
        state,
        size: unsigned(Column::Size)?,
        rdev: unsigned(Column::Rdev)?,
        nlink: get(row, Column::Nlink)?,
        source,
        dst_ino: unsigned(Column::DstIno)?,
        dst_ctime: time(Column::DstCtime, Column::DstCtimeNs)?.ok_or_else(|| damaged(Column::DstCtime, "no ctime"))?,
        allocated: unsigned(Column::Allocated)?,
        alias: get(row, Column::Alias)?,
        digest,
        link: get(row, Column::Link)?,
        wanted: Wanted {
            kind,
            mode: get(row, Column::Mode)?,
            owner: get::<Option<u32>>(row, Column::Uid)?.zip(get(row, Column::Gid)?),
            atime: None,
            mtime: time(Column::Mtime, Column::MtimeNs)?,
            xattrs,
            flags: Flags::from_bits_retain(get(row, Column::Flags)?),
            given_up: Flags::from_bits_retain(get(row, Column::GivenUp)?),
            project: get(row, Column::Project)?,
            lost: UnpreservedSet::from_bits(get(row, Column::Lost)?),
            rights: Rights::default(),
        },
        verified: get(row, Column::Verified)?,
    })
}

#[cfg(test)]
mod tests;
