//! That a thread cannot be started, as data.

/// What could not be started, in the words of whoever tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoThread {
    /// One thread.
    One(String),
    /// A pool: not even its first thread.
    Pool(String),
}
