//! What goes where, in numbers and without patterns.

pub mod explicit;
pub mod layout;
pub mod mode;
pub mod renumber;
pub mod resolved;
