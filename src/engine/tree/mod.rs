//! Walking trees by directory descriptor within a budget of open files.

pub mod budget;
pub mod descriptors;
pub mod latency;
pub(crate) mod linked;
pub mod node;
pub mod pool;
pub(crate) mod scheduler;
pub mod temporary;
pub mod walk;
