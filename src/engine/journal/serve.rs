//! The writer's thread at work: each message is a transaction.

use super::accepted;
use super::by_inode;
use super::confirm::{Ascertained, Confirmed};
use super::epoch::seal::Durable;
use super::forget::forget;
use super::item::{BAD, DONE, insert, insertion, is_finished};
use super::log::Log;
use super::message::WriterMessage;
use super::record::{Chunk, Record};
use super::removals;
use super::row::Row;
use super::run_kind::RunKind;
use super::seen::{Fixed, Seen};
use super::state::State;
use super::verified::AllVerified;
use crate::engine::events::operation::Operation;
use crate::engine::events::outcome::Outcome;
use crate::engine::events::problem::Problem;
use crate::engine::events::words::Words;
use crate::sys::errno_name;
use crate::sys::stat::Kind;
use crossbeam_channel::Receiver;
use rusqlite::{Connection, params};

/// Does what it is told until all handles are gone.
pub(super) fn serve(
    connection: &mut Connection,
    receiver: &Receiver<WriterMessage>,
    log: &mut Log,
) -> Result<(), rusqlite::Error> {
    let (mut run, mut all_verified) = (None, AllVerified::default());
    while let Ok(message) = receiver.recv() {
        let asks = matches!(message, WriterMessage::Flush(_));
        if message.may_unverify() {
            all_verified.before_change(connection)?;
        }
        match message {
            WriterMessage::Commit(durable) => commit(connection, durable)?,
            WriterMessage::Verified { at, seen } => verified(connection, at, &seen)?,
            WriterMessage::Confirmed(confirmed) => self::confirmed(connection, &confirmed)?,
            WriterMessage::Bad(seen) => bad(connection, &seen)?,
            WriterMessage::IndexInodes(true) => by_inode::index(connection)?,
            WriterMessage::IndexInodes(false) => by_inode::drop_index(connection)?,
            WriterMessage::AcceptedBad(seen) => {
                let transaction = connection.transaction()?;
                seen.iter().try_for_each(|seen| accepted::mark_bad(&transaction, seen))?;
                transaction.commit()?;
            }
            WriterMessage::Fixed(all) => fixed(connection, &all)?,
            WriterMessage::Replacing(rows) => replacing(connection, rows)?,
            WriterMessage::NotReplaced { dir, name } => not_replaced(connection, dir, &name)?,
            WriterMessage::BadChunks { dir, name, indices } => {
                let transaction = connection.transaction()?;
                for index in indices {
                    let key = (dir, &name, index.cast_signed());
                    transaction.execute("DELETE FROM chunk WHERE dir = ?1 AND name = ?2 AND idx = ?3", key)?;
                }
                transaction.commit()?;
            }
            WriterMessage::Meta(key, value) => {
                connection.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)", (key, value))?;
            }
            WriterMessage::Volume(id, key) => {
                connection.execute("INSERT OR IGNORE INTO volume(id, key) VALUES(?1, ?2)", (id, key))?;
            }
            WriterMessage::Forget(dst) => forget(connection, &dst)?,
            WriterMessage::Removed(removed) => removals::forget(connection, &removed)?,
            // The caller may have given up.
            WriterMessage::Flush(done) => drop(done.send(())),
            WriterMessage::RunStarted { kind, started, tool } => {
                by_inode::drop_index(connection)?;
                let values = (kind.word(), started, tool);
                connection.execute("INSERT INTO run(kind, started, tool) VALUES(?1, ?2, ?3)", values)?;
                let id = connection.last_insert_rowid();
                (run, all_verified) = (Some(id), AllVerified::begin(connection, id)?);
            }
            WriterMessage::Copying { command, expected } => {
                let values = (RunKind::Copy.word(), command, expected.cast_signed(), run);
                connection.execute("UPDATE run SET kind = ?1, command = ?2, expected = ?3 WHERE id = ?4", values)?;
            }
            WriterMessage::Copied { at } => {
                let transaction = connection.transaction()?;
                transaction.execute("UPDATE run SET copied = ?1 WHERE id = ?2", (at, run))?;
                transaction.execute("DELETE FROM problem WHERE run <> ?1", [run])?;
                transaction.commit()?;
            }
            WriterMessage::Problems(problems, words) => keep(connection, &problems, &words, run)?,
            WriterMessage::RunEnded { ended, outcome, report } => {
                connection.execute(
                    "UPDATE run SET ended = ?1, outcome = ?2, report = ?3 WHERE id = ?4",
                    (ended, outcome.word(), report, run),
                )?;
                if outcome != Outcome::Stopped {
                    all_verified.end(connection)?;
                }
            }
        }
        if !asks {
            log.fold_if_long(connection)?;
        }
    }
    log.end(connection)
}

fn keep(
    connection: &mut Connection,
    problems: &[Problem],
    words: &Words,
    run: Option<i64>,
) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(
            "INSERT OR REPLACE INTO problem(path, kind, attribute, target, message, expected, found, lost, run, op, errno) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        for problem in problems {
            statement.execute(params![
                problem.path.as_bytes(),
                problem.kind.word(),
                problem.attribute.as_deref().unwrap_or_default(),
                problem.target,
                (words.problem)(problem),
                problem.expected.as_ref().map(words.value),
                problem.found.as_ref().map(words.value),
                problem.unpreserved().map_or(0, crate::engine::events::unpreserved::Unpreserved::bit),
                run,
                problem.op.as_ref().map(Operation::word),
                problem.errno.map(errno_name),
            ])?;
        }
    }
    transaction.commit()
}

/// Stamps rows whose entries are as recorded. Rows of entries that have changed since, or were
/// bad, are only changed by [`confirmed`].
fn verified(connection: &mut Connection, at: i64, seen: &[Seen]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(&format!(
            "UPDATE item SET verified = ?1 WHERE dir = ?2 AND name = ?3 AND state = {DONE} \
             AND dst_ino = ?4 AND dst_ctime = ?5 AND dst_ctime_ns = ?6"
        ))?;
        for Seen { dir, name, ino, ctime } in seen {
            statement.execute((at, dir, name, ino.cast_signed(), ctime.sec, ctime.nsec))?;
        }
        if accepted::any(&transaction)? {
            let mut statement = transaction.prepare_cached(accepted::STAMP)?;
            for Seen { dir, name, ino, ctime } in seen {
                statement.execute((at, dir, name, ino.cast_signed(), ctime.sec, ctime.nsec))?;
            }
        }
    }
    transaction.commit()
}

fn confirmed(connection: &mut Connection, confirmed: &Confirmed) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(&format!(
            "UPDATE item SET verified = ?1, state = {DONE}, dst_ino = ?2, dst_ctime = ?3, dst_ctime_ns = ?4 \
             WHERE dir = ?5 AND name = ?6 AND {}",
            is_finished()
        ))?;
        for (at, found) in confirmed.found() {
            match found {
                Ascertained::Whole(Seen { dir, name, ino, ctime }) => {
                    statement.execute((at, ino.cast_signed(), ctime.sec, ctime.nsec, dir, name))?;
                }
                Ascertained::Accepted(learned) => accepted::put(&transaction, learned)?,
            }
        }
    }
    transaction.commit()
}

/// An unfinished entry was never called done; an unfinished large file keeps its chunks.
fn bad(connection: &mut Connection, seen: &[Seen]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(&format!(
            "UPDATE item SET verified = NULL, state = {BAD}, dst_ino = ?1, dst_ctime = ?2, dst_ctime_ns = ?3 \
             WHERE dir = ?4 AND name = ?5 AND {}",
            is_finished()
        ))?;
        for Seen { dir, name, ino, ctime } in seen {
            statement.execute((ino.cast_signed(), ctime.sec, ctime.nsec, dir, name))?;
        }
    }
    transaction.commit()
}

/// The renames follow at once: a power cut that undid this, but not them, would leave rows that
/// describe other inodes.
fn replacing(connection: &mut Connection, rows: Vec<Row>) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS temp.replaced AS SELECT * FROM main.item WHERE 0; DELETE FROM temp.replaced",
    )?;
    let transaction = connection.transaction()?;
    {
        let mut keep = transaction
            .prepare_cached("INSERT INTO temp.replaced SELECT * FROM main.item WHERE dir = ?1 AND name = ?2")?;
        for row in &rows {
            keep.execute((row.dir, &row.name))?;
        }
        let mut statement = insertion(&transaction)?;
        for row in &rows {
            insert(&mut statement, row, State::Replacing)?;
        }
    }
    transaction.commit()?;
    connection.pragma_update(None, "synchronous", "normal")
}

/// The row of what is still there comes back: the new one is about an inode that never got there.
fn not_replaced(connection: &mut Connection, dir: i64, name: &[u8]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    transaction.execute(
        &format!("DELETE FROM item WHERE dir = ?1 AND name = ?2 AND state = {}", State::Replacing.number()),
        (dir, name),
    )?;
    transaction.execute("DELETE FROM chunk WHERE dir = ?1 AND name = ?2", (dir, name))?;
    transaction
        .execute("INSERT OR IGNORE INTO item SELECT * FROM temp.replaced WHERE dir = ?1 AND name = ?2", (dir, name))?;
    transaction.commit()
}

fn fixed(connection: &mut Connection, all: &[Fixed]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(
            "UPDATE item SET uid = iif(uid IS NULL, NULL, ?1), gid = iif(gid IS NULL, NULL, ?2), mode = ?3, \
             dst_ctime = ?4, dst_ctime_ns = ?5 WHERE dir = ?6 AND name = ?7 AND dst_ino = ?8",
        )?;
        for Fixed { seen: Seen { dir, name, ino, ctime }, owner, mode } in all {
            statement.execute((owner.0, owner.1, mode, ctime.sec, ctime.nsec, dir, name, ino.cast_signed()))?;
        }
    }
    transaction.commit()
}

fn commit(connection: &mut Connection, durable: Durable) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut statement = insertion(&transaction)?;
        let mut chunk =
            transaction.prepare_cached("INSERT OR REPLACE INTO chunk(dir, name, idx, value) VALUES(?1, ?2, ?3, ?4)")?;
        let mut drop_chunks = transaction.prepare_cached("DELETE FROM chunk WHERE dir = ?1 AND name = ?2")?;
        let any_accepted = accepted::any(&transaction)?;
        for record in durable.records() {
            match record {
                Record::Row(row) => {
                    if any_accepted && row.state == State::Done {
                        accepted::supersede(&transaction, row)?;
                    }
                    insert(&mut statement, row, row.state)?;
                    // What had this name before had other chunks.
                    if row.kind() == Kind::File && !row.has_chunks() {
                        drop_chunks.execute((row.dir, &row.name))?;
                    }
                }
                Record::Chunk(Chunk { dir, name, index, value }) => {
                    chunk.execute((dir, name, index.cast_signed(), value))?;
                }
            }
        }
    }
    transaction.commit()
}
