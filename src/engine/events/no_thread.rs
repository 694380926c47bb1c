//! That a thread cannot be started, as data.

/// What could not be started, as text from the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoThread {
    /// One thread.
    One(String),
    /// A pool: not even its first thread.
    Pool(String),
}
