//! Holds what the journal recorded against what stands on the target.

pub mod differences;
pub(crate) mod recorded;
