//! Compares what a row was made with and what the source and the plan ask for now. Another plan,
//! other numbers or another source since then show up here, and nowhere else.

use crate::base::path::RelPath;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::Row;
use crate::engine::meta::{self, Actual, Wanted};
use crate::sys::stat::Stat;

/// How much is known of what is wanted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownWanted {
    /// Owner and mode: what a stat says, overridden by the plan.
    Stat,
    /// That, and the ACLs.
    Acls,
    /// Everything.
    All,
}

/// True when `row` was made with what is wanted now, as far as that is known, except for flags
/// that the target's file system does not know.
pub(crate) fn is_wanted(row: &Row, now: &Wanted, known: KnownWanted) -> bool {
    let then = &row.wanted;
    let stat = (now.owner, now.mode) == (then.owner, then.mode);
    stat && match known {
        KnownWanted::Stat => true,
        KnownWanted::Acls => now.xattrs.iter().zip(&then.xattrs).all(|(now, then)| now.same_acls(then)),
        KnownWanted::All => {
            let given_up = then.lost.contains(Unpreserved::Flags) && then.flags.difference(now.flags).is_empty();
            (now.mtime, now.project) == (then.mtime, then.project)
                && now.xattrs == then.xattrs
                && (now.flags == then.flags || given_up)
        }
    }
}

/// True when the directory with the stat `found`, which is as `row` left it, has everything that
/// is wanted, except for what its file system cannot hold.
pub(crate) fn has_wanted(row: &Row, path: &RelPath, now: &Wanted, found: &Stat) -> bool {
    let then = &row.wanted;
    let mut now = now.clone();
    now.give_up(then);
    let actual = Actual { stat: found, xattrs: row.xattrs(), flags: Some(then.flags), project: Some(then.project) };
    // The comparison ignores additional flags, but one that the source no longer has must go.
    then.flags == now.flags && meta::compare(path, &now, actual).iter().all(|problem| problem.is_known(then.lost))
}
