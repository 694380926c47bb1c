//! What the writer is told.

use super::epoch::seal::Durable;
use super::row::{Row, Standing};
use crate::base::path::RelPath;
use crate::engine::events::problem::Problem;
use crate::sys::stat::{Stat, Time};
use crossbeam_channel::Sender;

/// What a run does to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// It writes: a migration or a repair.
    Copy,
    /// It only looks.
    Verify,
}

impl RunKind {
    /// As the journal stores it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Verify => "verify",
        }
    }
}

/// An entry that was looked at, and the inode number and ctime that it had before: as
/// long as those stand, nothing of it has changed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The directory's id.
    pub dir: i64,
    /// The name in it.
    pub name: Vec<u8>,
    /// On the target.
    pub ino: u64,
    /// On the target.
    pub ctime: Time,
}

/// A row whose inode has got another owner or mode after it was recorded.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// The key, and the inode as it is by now.
    pub seen: Seen,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Twelve bits.
    pub mode: u32,
}

impl Fixed {
    /// `row`, whose inode looked like `before` and looks like `now`. The ctime of one that
    /// somebody had changed stays the recorded one: it is all that tells of the change.
    #[must_use]
    pub fn new(row: &Row, before: Standing, now: &Stat) -> Self {
        let ctime = if before == Standing::AsRecorded { now.ctime } else { row.dst_ctime };
        let seen = Seen { dir: row.dir, name: row.name.clone(), ino: now.ino, ctime };
        Self { seen, owner: (now.uid, now.gid), mode: now.mode }
    }
}

/// Work of the writer's thread.
#[derive(Debug)]
pub(super) enum Message {
    Commit(Durable),
    Verified { at: i64, seen: Vec<Seen> },
    Bad(Vec<Seen>),
    Replacing(Vec<Row>),
    NotReplaced { dir: i64, name: Vec<u8> },
    Fixed(Vec<Fixed>),
    BadChunks { dir: i64, name: Vec<u8>, indices: Vec<u64> },
    Meta(&'static str, String),
    Volume(i64, String),
    Forget(RelPath),
    RunStarted { kind: RunKind, started: String, tool: String },
    Copying { command: Option<String>, expected: u64 },
    Copied { at: String },
    Problems(Vec<(String, Problem)>),
    RunEnded { ended: String, outcome: &'static str, report: String },
    Flush(Sender<()>),
}
