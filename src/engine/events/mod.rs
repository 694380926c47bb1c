//! What a run reports and is told: problems, losses, counters, the stop flag, the rate limit.

pub mod counters;
pub mod detail;
pub mod kind;
pub mod note;
pub mod operation;
pub mod problem;
pub mod rate_limit;
pub mod stop;
pub mod unpreserved;
pub mod value;
pub mod words;
