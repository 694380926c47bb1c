//! What the writer is told.

use super::confirm::Confirmed;
use super::epoch::seal::Durable;
use super::removals::DurablyRemoved;
use super::row::Row;
use super::run_kind::RunKind;
use super::seen::{Fixed, Seen};
use crate::base::path::RelPath;
use crate::engine::events::outcome::Outcome;
use crate::engine::events::problem::Problem;
use crate::engine::events::words::Words;
use crossbeam_channel::Sender;

/// Work of the writer's thread.
#[derive(Debug)]
pub(super) enum WriterMessage {
    Commit(Durable),
    Verified { at: i64, seen: Vec<Seen> },
    Confirmed(Confirmed),
    Bad(Vec<Seen>),
    AcceptedBad(Vec<Seen>),
    IndexInodes(bool),
    Replacing(Vec<Row>),
    NotReplaced { dir: i64, name: Vec<u8> },
    Fixed(Vec<Fixed>),
    BadChunks { dir: i64, name: Vec<u8>, indices: Vec<u64> },
    Meta(&'static str, String),
    Volume(i64, String),
    Forget(RelPath),
    Removed(DurablyRemoved),
    RunStarted { kind: RunKind, started: String, tool: String },
    Copying { command: Option<String>, expected: u64 },
    Copied { at: String },
    Problems(Vec<Problem>, Words),
    RunEnded { ended: String, outcome: Outcome, report: String },
    Flush(Sender<()>),
}

impl WriterMessage {
    /// True if a finished row may not be verified afterwards.
    pub(super) const fn may_unverify(&self) -> bool {
        matches!(
            self,
            Self::Commit(_)
                | Self::Bad(_)
                | Self::AcceptedBad(_)
                | Self::Replacing(_)
                | Self::NotReplaced { .. }
                | Self::Forget(_)
                | Self::Removed(_)
        )
    }
}
