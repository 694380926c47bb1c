//! Metadata: one place reads it, one applies it, one compares it.

mod acl;
mod apply;
mod compare;
mod keep;
pub(crate) mod mark;
mod read;
mod wanted;
mod xattrs;

pub use apply::{Applied, InodeContext, apply, apply_at_creation};
pub use compare::{Actual, compare};
pub use keep::{Keep, Owners};
pub use read::{Attributes, InodeFlags, Question, UnreadAttribute, narrowed};
pub use wanted::{Rights, Wanted};
pub(crate) use wanted::{SET_ID, lends_rights};
pub use xattrs::Xattrs;
