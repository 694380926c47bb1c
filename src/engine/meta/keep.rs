//! What of the metadata is kept, and whose numbers owners get.

use crate::engine::events::unpreserved::{Unpreserved, UnpreservedSet};
use crate::engine::mapping::model::IdKind;
use crate::engine::mapping::renumber::{Number, Renumbering};
use crate::sys::stat::Stat;
use std::sync::Arc;

/// What of the metadata is kept at all.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Owner and group.
    pub owner: Owners,
    /// Access times.
    pub atime: bool,
}

/// What to do with owners and groups.
#[derive(Clone, Debug)]
pub enum Owners {
    /// They are left to the file system.
    Left,
    /// The backup's numbers stay.
    Kept,
    /// The backup's names stay: numbers become the target's.
    Renumbered(Arc<Renumbering>),
}

impl Owners {
    /// True unless they are left to the file system.
    #[must_use]
    pub fn are_kept(&self) -> bool {
        !matches!(self, Self::Left)
    }

    /// Owner and group on the target for an inode of the backup with `stat`.
    pub(super) fn of(&self, stat: &Stat, lost: &mut UnpreservedSet) -> Option<(u32, u32)> {
        match self {
            Self::Left => None,
            Self::Kept => Some((stat.uid, stat.gid)),
            Self::Renumbered(renumbering) => Some((
                own_number(renumbering, IdKind::User, stat.uid, lost),
                own_number(renumbering, IdKind::Group, stat.gid, lost),
            )),
        }
    }
}

/// The number that the backup's `id` has on the target.
pub(super) fn own_number(renumbering: &Renumbering, kind: IdKind, id: u32, lost: &mut UnpreservedSet) -> u32 {
    match renumbering.of(kind, id) {
        Number::Good(id) => id,
        Number::Foreign(id) => {
            lost.insert(Unpreserved::Name);
            id
        }
    }
}
