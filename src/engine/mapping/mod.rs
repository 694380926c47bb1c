//! What goes where, in numbers and without patterns.

pub mod directory;
pub mod explicit;
pub mod given;
pub mod ids;
pub(crate) mod index;
pub mod layout;
pub mod mode;
pub mod model;
pub mod renumber;
pub mod trees;
