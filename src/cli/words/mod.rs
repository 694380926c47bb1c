//! The engine's data in words for a person.

mod operation;
pub(super) mod problem;
pub(super) mod stop;

use crate::engine::events::words::Words;

/// As the command line says it, in the report and the journal as well.
pub(super) const WORDS: Words = Words { problem: problem::message, reason: stop::reason };
