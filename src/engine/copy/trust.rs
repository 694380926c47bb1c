//! Whether an existing directory may be given its metadata as the source's.
//!
//! Giving an inode its metadata gives it away. Whoever could write in the directory above may
//! have moved another one there, closed and root's, so that it gets the owner and mode that
//! belong to the name.

use super::guard::Guard;
use super::node::DirNode;
use crate::engine::journal::Row;
use crate::engine::judge::is_as_created;
use crate::engine::meta::Wanted;
use crate::sys::dir::{TargetDir, read_batches};
use crate::sys::stat::Stat;

/// True when `wanted` can be applied to the directory `stat`, found in `above`, without giving
/// anybody more than before. `claimed` tells whether another name of this plan has that
/// directory.
pub(super) fn may_apply(
    above: &DirNode,
    stat: &Stat,
    wanted: &Wanted,
    prior: Option<&Row>,
    claimed: impl Fn() -> bool,
) -> bool {
    let Some(owner) = wanted.owner else { return true };
    // A file system without owners cannot give it to anybody.
    if above.disk.bare {
        return true;
    }
    let no_wider = owner == (stat.uid, stat.gid) && wanted.mode & !stat.mode == 0;
    let same = prior.is_some_and(|row| row.dst_ino == stat.ino);
    let harmless = match above.guard {
        Guard::Kept => return true,
        // If whoever may write there gets it, nothing is gained: it was theirs, or readable to them.
        Guard::Owner(uid) => owner.0 == uid && (stat.uid == uid || stat.mode & 0o005 == 0o005),
        // Made by the killed run, and not recorded yet.
        Guard::Until(time) => is_as_created(stat) && stat.btime.is_some_and(|btime| btime > time),
    };
    // Another name's directory may have been closed under that name: what is made in it here
    // would be given away there.
    (same || no_wider || harmless) && !claimed()
}

/// How many directories are looked at before one is taken for more than a skeleton.
const SKELETON: u32 = 1024;

/// True for directories in directories and nothing else, as a first boot without its state
/// leaves behind: whoever gets them gains nothing. `dir` must be closed to everybody but us.
pub(super) fn is_skeleton(dir: &TargetDir) -> bool {
    let mut left = SKELETON;
    dir.stat().is_ok_and(|stat| is_as_created(&stat)) && holds_directories(dir, &mut left)
}

fn holds_directories(dir: &TargetDir, left: &mut u32) -> bool {
    let mut bare = true;
    let read = read_batches(dir, 64, |batch| {
        for entry in batch {
            *left = left.saturating_sub(1);
            let below = if *left > 0 { dir.open_dir(&entry.name).ok() } else { None };
            bare &= below.is_some_and(|below| holds_directories(&below, left));
        }
        bare
    });
    bare && read.is_ok()
}
