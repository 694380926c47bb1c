//! Directories of earlier runs whose attributes somebody has changed since: those changes
//! are kept and reported. Times alone also move when names come and go, which is no change
//! of anybody's.

use super::directories::Directories;
use super::entry::TargetName;
use super::guard::is_as_created;
use super::node::DirNode;
use super::precedence::{Judgement, altered, found, gone};
use crate::engine::compare::differences::{CheckedDir, differences};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Row, RowChange, State};
use crate::engine::meta::{Attributes, Keep, Owners, Wanted, mark};
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;

/// How an existing directory of the target is to be left.
#[derive(Debug)]
pub(super) enum DirJudgement {
    /// With the metadata of the source and the plan.
    AsWanted,
    /// The same, except for its times: names were added or removed.
    Moved,
    /// With what somebody else has set on it.
    Altered(Box<Wanted>),
}

impl Directories {
    /// Compares the directory `opened`, found under `name`, with its row. `None` when that
    /// fails: a problem was reported, and the directory is not entered.
    pub(super) fn judge(
        &self,
        at: TargetName<'_>,
        opened: &TargetDir,
        stat: &Stat,
        prior: Option<&Row>,
    ) -> Option<DirJudgement> {
        let TargetName { above, name, .. } = at;
        let Some(row) = prior.filter(|row| row.state == State::Done) else { return Some(DirJudgement::AsWanted) };
        let interrupted = self.cx.history(row.target).interrupted;
        // An interrupted run had closed it in order to fill it.
        if interrupted && is_as_created(stat) {
            return Some(DirJudgement::AsWanted);
        }
        let standing = row.standing(stat, above.disk);
        // Untouched since: its times do not come from other people's names.
        let untouched = row.is_untouched(stat, above.disk);
        let moved =
            !interrupted && !untouched && (row.source.is_some() && row.wanted.mtime.is_none() || moved(row, stat));
        let found = if moved { DirJudgement::Moved } else { DirJudgement::AsWanted };
        if standing == RowChange::AsRecorded {
            return Some(found);
        }
        let path = at.path();
        let parent = match above.open() {
            Ok(parent) => parent,
            Err(errno) => {
                self.cx.target_failed(row.target, path, Operation::OpenParent, errno);
                return None;
            }
        };
        let place = CheckedDir::on(&parent, above.disk);
        let mut differs = differences(&place, &path, name, row, stat);
        differs.retain(|problem| problem.kind != ProblemKind::Mtime);
        if differs.is_empty() {
            return Some(found);
        }
        let (attributes, unread) = Attributes::read(Holder::file(opened), stat);
        if let Some(unread) = unread.first() {
            self.cx.target_failed(row.target, path, unread.operation.clone(), unread.errno);
            return None;
        }
        for problem in differs {
            self.cx.problem(row.target, altered(problem));
        }
        let keep = Keep { owner: if row.wanted.owner.is_some() { Owners::Kept } else { Owners::Left }, atime: false };
        Some(DirJudgement::Altered(Box::new(Wanted { mtime: None, ..Wanted::from_source(stat, attributes, &keep) })))
    }

    /// Whether a directory may be made or entered under `name`, where an earlier run may have
    /// recorded something or something else may exist; a problem says why not.
    pub(super) fn may_enter(&self, at: TargetName<'_>, recorded: Option<&Row>) -> bool {
        let TargetName { above, name, target } = at;
        let there = match above.open().and_then(|dir| found(dir.stat_at(name))) {
            Ok(there) => there,
            Err(errno) => {
                self.cx.target_failed(target, at.path(), Operation::Stat, errno);
                return false;
            }
        };
        let finished = recorded.filter(|row| row.state == State::Done);
        match (there, finished) {
            (Some(there), _) if there.kind == Kind::Directory => true,
            (None, Some(_)) => {
                self.cx.problem(target, gone(at.path()));
                false
            }
            (None, None) => true,
            (Some(there), Some(row)) => {
                // The source has turned this file into a directory.
                row.standing(&there, above.disk) == RowChange::AsRecorded
                    || matches!(self.precedence.keep_changed(at, row, &there), Judgement::Copy(_))
            }
            (Some(there), None) => recorded.is_some() || self.precedence.may_replace_unrecorded(at, &there),
        }
    }

    /// Ends a directory that somebody has altered, keeping what was set.
    pub(super) fn restore_altered(
        &self,
        node: &DirNode,
        found: &Wanted,
        prior: Option<&Row>,
        dir: &TargetDir,
    ) -> Result<(), Errno> {
        if node.is_closed() {
            self.cx.apply_metadata(node, Holder::file(dir), &mut found.clone(), || node.path())?;
            if node.is_marked() {
                mark::remove(Holder::file(dir))?;
            }
            if let Some(prior) = prior {
                self.cx.submit.send(Written::row(prior.clone(), node.file_system));
            }
        }
        Ok(())
    }

    /// Records the current state of a directory in which only names and times have changed;
    /// true when nothing else is left to do.
    pub(super) fn settle_moved(&self, node: &DirNode, wanted: &Wanted, prior: &Row, dir: &TargetDir) -> bool {
        let (Ok(stat), Some(parent), Some(name)) = (stat_fd(dir), &node.parent, &node.name) else { return false };
        let mut row = prior.clone();
        (row.wanted, row.dst_ino, row.dst_ctime) = (wanted.clone(), stat.ino, stat.ctime);
        let Ok(above) = parent.open() else { return false };
        let place = CheckedDir::on(&above, node.disk);
        let differs = differences(&place, &node.path(), name, &row, &stat);
        let same = differs.is_empty() && wanted.lost == prior.wanted.lost && wanted.flags == prior.wanted.flags;
        if same {
            self.cx.submit.send(Written::row(row, node.file_system));
        }
        same
    }
}

fn moved(row: &Row, stat: &Stat) -> bool {
    row.wanted.mtime.is_some_and(|mtime| mtime != stat.mtime)
}
