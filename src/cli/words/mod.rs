//! The engine's data in words for a person.

pub(super) mod amount;
pub(super) mod journal;
pub(super) mod note;
mod operation;
pub(super) mod preflight;
pub(super) mod problem;
mod stale;
pub(super) mod stop;
pub(super) mod unpreserved;
pub(super) mod value;

use crate::engine::events::words::Words;

/// The command line's words, which the report and the journal use as well.
pub(super) const WORDS: Words =
    Words { problem: problem::message, value: value::words, note: note::words, cause: stop::cause };
