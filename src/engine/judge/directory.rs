//! What becomes of a name that is a directory in the source, and of an existing directory's
//! attributes: what somebody has set there since is kept and reported. Times alone also move when
//! names come and go, which is no change of anybody's.

use super::accepted::{accepted, accepted_attributes};
use super::decision::{JudgedName, NameDecision};
use super::history::Policy;
use super::leaf::is_lifted;
use super::other_volume::{from_elsewhere, is_from_elsewhere};
use super::others::{Incoming, altered, changed_since, removed, unrecorded};
use crate::engine::compare::differences::{CheckedDir, differences};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Row, RowChange, State};
use crate::engine::volume::Volume;
use crate::sys::stat::{Kind, Stat, Time};
use crate::sys::{Errno, effective_ids};

/// What the source has under a directory's name.
#[derive(Clone, Copy)]
pub(crate) struct DirInSource<'a> {
    /// Its modification time; `None` for a directory that the source does not have.
    pub(crate) mtime: Option<Time>,
    /// The file system that it is on.
    pub(crate) volume: Option<&'a Volume>,
}

/// Whether a directory is made or entered where `there` is what the target has, and `recorded`
/// what an earlier run did. `Enter` for a directory that is there.
pub(crate) fn judge_directory(
    policy: &Policy<'_>,
    at: &dyn JudgedName,
    recorded: Option<&Row>,
    there: Option<&Stat>,
    brought: DirInSource<'_>,
) -> NameDecision {
    let finished = recorded.filter(|row| row.state == State::Done);
    // In a directory with another time the source may have something newer.
    let may_be_newer = |row: &Row| row.wanted.mtime.is_some_and(|recorded| Some(recorded) != brought.mtime);
    match (there, finished) {
        (Some(there), Some(row))
            if !policy.overwrite
                && there.kind == Kind::Directory
                && row.standing(there, at.disk()) != RowChange::AsRecorded
                && at.accepted().is_some_and(|accepted| accepted.replaces(row)) =>
        {
            // One that its owner made after the copied one was removed.
            if may_be_newer(row) { changed_since(policy, at, row, there) } else { NameDecision::Keep(Vec::new()) }
        }
        (Some(there), _) if there.kind == Kind::Directory => NameDecision::Enter,
        (None, Some(row)) => {
            let accepted = if policy.overwrite || may_be_newer(row) { None } else { accepted(policy, at, None) };
            accepted.unwrap_or_else(|| NameDecision::keep(removed(at)))
        }
        (None, None) => NameDecision::copy(None),
        // The source has turned this file into a directory, unless that is another source.
        (Some(there), Some(row)) if row.standing(there, at.disk()) == RowChange::AsRecorded => {
            match brought.volume.filter(|volume| !policy.overwrite && is_from_elsewhere(row, volume, || None)) {
                Some(volume) => NameDecision::keep(from_elsewhere(at.path(), volume, Incoming::Directory, Some(there))),
                None => NameDecision::copy(None),
            }
        }
        (Some(there), Some(row)) => changed_since(policy, at, row, there),
        // An unfinished file, whose source is a directory by now.
        (Some(there), None) if recorded.is_some_and(|row| row.id.is_none() && row.dst_ino == there.ino) => {
            NameDecision::copy(None)
        }
        (Some(there), None) => unrecorded(policy, at, there, Incoming::Directory),
    }
}

/// How an existing directory of the target is to be left.
#[derive(Debug)]
pub(crate) enum DirAttributes {
    /// With the metadata of the source and the plan.
    AsWanted,
    /// The same, except for its times: names were added or removed.
    Moved,
    /// With what somebody else has set on it, which these report; none if it was accepted.
    Altered(Vec<Problem>),
}

/// Compares a directory with the stat `there` with its row.
pub(crate) fn judge_attributes(
    policy: &Policy<'_>,
    at: &dyn JudgedName,
    prior: Option<&Row>,
    there: &Stat,
) -> Result<DirAttributes, Errno> {
    let Some(row) = prior.filter(|row| row.state == State::Done) else { return Ok(DirAttributes::AsWanted) };
    let (interrupted, disk) = (policy.history.interrupted, at.disk());
    // An interrupted run had closed it in order to fill it.
    if interrupted && is_as_created(there) {
        return Ok(DirAttributes::AsWanted);
    }
    let standing = row.standing(there, disk);
    // Untouched since: its times do not come from other people's names.
    let untouched = row.is_untouched(there, disk);
    let left = row.source.is_some() && row.wanted.mtime.is_none();
    let moved = row.wanted.mtime.is_some_and(|mtime| mtime != there.mtime);
    let moved = !interrupted && !untouched && (left || moved);
    if standing != RowChange::AsRecorded {
        let parent = at.open()?;
        let place = CheckedDir::on(&parent, disk);
        let mut differs = differences(&place, &at.path(), at.name(), row, there);
        differs.retain(|problem| problem.kind != ProblemKind::Mtime && !(interrupted && is_lifted(row, problem)));
        if !differs.is_empty() {
            let accepted = accepted_attributes(at, there)?;
            let found = accepted.unwrap_or_else(|| differs.into_iter().map(altered).collect());
            return Ok(DirAttributes::Altered(found));
        }
    }
    Ok(if moved { DirAttributes::Moved } else { DirAttributes::AsWanted })
}

/// True for an inode of this user that is closed to the bits `to`.
pub(crate) fn is_closed(uid: u32, mode: u32, to: u32) -> bool {
    uid == effective_ids().0 && mode & to == 0
}

/// True for a directory as it is created: ours, and closed to all others.
pub(crate) fn is_as_created(stat: &Stat) -> bool {
    is_closed(stat.uid, stat.mode, 0o077)
}
