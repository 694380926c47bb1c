//! persistcp: a fast, faithful, verified, resumable copier for moving a Linux
//! system's state to a new disk.

pub mod clock;
pub mod copy;
pub mod digest;
pub mod durable;
pub mod journal;
pub mod meta;
pub mod path;
pub mod plan;
pub mod problem;
pub mod progress;
pub mod stop;
pub mod sys;
