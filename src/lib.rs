//! persistcp: a fast, faithful, verified, resumable copier for moving a Linux
//! system's state to a new disk.

pub mod path;
pub mod sys;
