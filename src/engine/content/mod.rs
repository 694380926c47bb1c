//! Bytes: buffers, digests, and reading back from the medium.

pub mod buffer;
pub mod digest;
pub(crate) mod lent;
pub mod medium;
pub(crate) mod read_ahead;
pub mod reflink;
pub mod reread;
pub mod way;
