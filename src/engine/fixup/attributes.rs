//! Owner, group and mode: what an inode has of them, and what the fixups want.

use crate::engine::mapping::explicit::Explicit;
use crate::engine::meta::{SET_ID, lends_rights};
use crate::sys::stat::{Kind, Stat};

/// Owner, group and mode of an inode.
pub(super) type OwnerAndMode = ((u32, u32), u32);

/// What the inode has.
pub(super) const fn has(stat: &Stat) -> OwnerAndMode {
    ((stat.uid, stat.gid), stat.mode)
}

/// What it is to have, according to all fixups together.
pub(super) fn wanted(stat: &Stat, said: Explicit, owners: bool) -> OwnerAndMode {
    let owner =
        if owners { (said.uid.unwrap_or(stat.uid), said.gid.unwrap_or(stat.gid)) } else { (stat.uid, stat.gid) };
    // As while copying: the new owner has not granted these rights.
    let given = owner != (stat.uid, stat.gid) && lends_rights(stat.kind);
    let had = if given { stat.mode & !SET_ID } else { stat.mode };
    let mode = said.mode.filter(|_| stat.kind != Kind::Symlink);
    (owner, mode.map_or(had, |mode| mode.of(had, stat.kind)))
}
