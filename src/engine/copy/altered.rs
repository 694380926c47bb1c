//! Directories of earlier runs whose attributes somebody has changed since: those changes
//! are kept and reported. Times alone also move when names come and go, which is no change
//! of anybody's.

use super::directories::Directories;
use super::entry::TargetName;
use super::node::DirNode;
use super::takeover::JudgedEntry;
use crate::engine::compare::differences::{CheckedDir, differences};
use crate::engine::events::operation::Operation;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{AcceptedAs, Row};
use crate::engine::judge::{
    DirAttributes, DirInSource, JudgedName, NameDecision, found, judge_attributes, judge_directory,
};
use crate::engine::meta::{Attributes, Keep, Owners, Wanted, mark};
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Stat, stat_fd};
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
    /// Has the attributes of the directory `opened`, found under `name`, judged. `None` when that
    /// fails: a problem was reported, and the directory is not entered.
    pub(super) fn judge(
        &self,
        at: TargetName<'_>,
        opened: &TargetDir,
        stat: &Stat,
        prior: Option<&Row>,
    ) -> Option<DirJudgement> {
        let target = prior.map_or(at.target, |row| row.target);
        let failed = |operation, errno| self.cx.target_failed(target, at.path(), operation, errno);
        let attributes = self.cx.records.with_reader(|reader| {
            judge_attributes(&self.cx.policy(target), &JudgedEntry { cx: &self.cx, at, reader }, prior, stat)
        });
        let (altered, row) = match (attributes, prior) {
            (Ok(DirAttributes::Altered(altered)), Some(row)) => (altered, row),
            (Ok(DirAttributes::Moved), _) => return Some(DirJudgement::Moved),
            (Ok(_), _) => return Some(DirJudgement::AsWanted),
            (Err(errno), _) => {
                failed(Operation::OpenParent, errno);
                return None;
            }
        };
        let (attributes, unread) = Attributes::read(Holder::file(opened), stat);
        if let Some(unread) = unread.first() {
            failed(unread.operation.clone(), unread.errno);
            return None;
        }
        altered.into_iter().for_each(|problem| self.cx.problem(target, problem));
        let keep = Keep { owner: if row.wanted.owner.is_some() { Owners::Kept } else { Owners::Left }, atime: false };
        Some(DirJudgement::Altered(Box::new(Wanted { mtime: None, ..Wanted::from_source(stat, attributes, &keep) })))
    }

    /// True where names came or went in a directory that looks like `stat` by somebody else's doing, and no acceptance
    /// has taken note of that.
    pub(super) fn has_unexplained_names(
        &self,
        at: TargetName<'_>,
        prior: Option<&Row>,
        stat: &Stat,
        moved: bool,
    ) -> bool {
        let was_so = prior.is_some_and(|row| row.source.is_some() && row.wanted.mtime.is_none());
        if !moved && !was_so {
            return false;
        }
        let accepted = self.cx.records.with_reader(|reader| JudgedEntry { cx: &self.cx, at, reader }.accepted());
        let names = accepted.filter(|accepted| accepted.what == AcceptedAs::Names);
        names.is_none_or(|names| (names.row.dst_ino, names.row.dst_ctime) != (stat.ino, stat.ctime))
    }

    /// Whether a directory may be made or entered under `name`, where an earlier run may have
    /// recorded something or something else may exist; a problem says why not.
    pub(super) fn may_enter(&self, at: TargetName<'_>, recorded: Option<&Row>, brought: DirInSource<'_>) -> bool {
        let TargetName { above, name, target } = at;
        let there = match above.open().and_then(|dir| found(dir.stat_at(name))) {
            Ok(there) => there,
            Err(errno) => {
                self.cx.target_failed(target, at.path(), Operation::Stat, errno);
                return false;
            }
        };
        let decision = self.cx.records.with_reader(|reader| {
            let judged = JudgedEntry { cx: &self.cx, at, reader };
            judge_directory(&self.cx.policy(target), &judged, recorded, there.as_ref(), brought)
        });
        match decision {
            NameDecision::Enter => true,
            NameDecision::Copy(note, _) => {
                note.into_iter().for_each(|note| self.cx.run.problems.note(note));
                true
            }
            NameDecision::Keep(problems) => {
                self.cx.keep(target, problems);
                false
            }
            NameDecision::Failed(operation, errno) => {
                self.cx.target_failed(target, at.path(), operation, errno);
                false
            }
            NameDecision::Ending | NameDecision::Finished(_) => false,
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
