//! What a run reports and is told: problems, notes, refusals, losses, counters, the stop flag, the
//! rate limit.

pub mod counters;
pub mod detail;
pub mod finding;
pub mod journal_error;
pub mod kind;
pub mod no_thread;
pub mod note;
pub mod operation;
pub mod outcome;
pub mod problem;
pub mod rate_limit;
pub mod refusal;
pub mod stop;
pub mod unpreserved;
pub mod value;
pub mod words;
