//! What a run tells and is told: problems, losses, counters, the stop flag, the rate limit.

pub mod counters;
pub mod kind;
pub mod loss;
pub mod pace;
pub mod problem;
pub mod stop;
