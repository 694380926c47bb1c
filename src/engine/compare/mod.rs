//! Compares what the journal recorded with what is there.

pub mod differences;
pub(crate) mod links;
pub(crate) mod recorded;
