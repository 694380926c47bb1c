//! The whole table.

use super::record::KnownPath;
use super::{elsewhere, home, system};

/// Every record: what is state first, then what is left out.
pub(crate) fn all() -> impl Iterator<Item = &'static KnownPath> {
    system::SYSTEM.iter().chain(home::HOME).chain(elsewhere::SIGNS).chain(elsewhere::LEAVE)
}
