//! What is never replaced in silence: what stands on the target and no run of this plan
//! recorded, and what somebody has changed since one did.

use super::context::CopyContext;
use super::entry::TargetName;
use super::options::History;
use crate::base::path::RelPath;
use crate::engine::compare::differences::{changed, seen};
use crate::engine::events::detail::{Advice, Detail};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::journal::Row;
use crate::sys::Errno;
use crate::sys::stat::{Kind, Stat};
use std::sync::Arc;

/// What is to be done with a name.
#[derive(Debug)]
pub(super) enum Judgement {
    /// Nothing: an earlier run finished it as it stands there, and neither side has changed since.
    Finished(Box<Row>, Stat),
    /// It is to be copied, in the place of this if anything stands there.
    Copy(Option<Stat>),
    /// What stands there stays, and a problem says why.
    Kept,
}

/// Decides between what stands on the target and what the source has.
pub(super) struct Precedence {
    cx: Arc<CopyContext>,
}

impl Precedence {
    pub(super) fn new(cx: &Arc<CopyContext>) -> Self {
        Self { cx: Arc::clone(cx) }
    }

    /// Whether what no run has recorded may be replaced; says so if it is.
    pub(super) fn is_replaceable(&self, at: TargetName<'_>, there: &Stat, source: Option<&Stat>) -> bool {
        let History { first, interrupted, restarted, began } = self.cx.history(at.target);
        let bare = at.above.disk.bare;
        let newer = restarted && source.is_none_or(|source| there.mtime > source.mtime);
        // What an earlier run was to replace and could not is still what it found.
        let before = !bare && began.is_some_and(|began| there.ctime < began);
        // What came since a run that was cut off, and is not what that left, is somebody's.
        let first = before || first && (!interrupted || bare);
        let replaceable = self.cx.options.overwrite || first && !newer;
        if replaceable {
            let path = at.path();
            self.cx.run.problems.note(format!("{path}: {} that no run of this plan wrote was replaced", seen(there)));
        }
        replaceable
    }

    /// The same where a directory is to be made.
    pub(super) fn may_replace_unrecorded(&self, at: TargetName<'_>, there: &Stat) -> bool {
        let replaceable = self.is_replaceable(at, there, None);
        if !replaceable {
            let mut problem =
                Problem::differs(at.path(), ProblemKind::ChangedTarget, Kind::Directory.words(), seen(there));
            problem.detail = Detail::Unrecorded;
            self.cx.problem(at.target, problem);
        }
        replaceable
    }

    /// Reports what somebody has changed; `--overwrite` has it replaced.
    pub(super) fn keep_changed(&self, at: TargetName<'_>, row: &Row, there: &Stat) -> Judgement {
        let path = at.path();
        if self.cx.options.overwrite {
            // A directory with content stays, and is a problem.
            if there.kind != Kind::Directory {
                let what = seen(there);
                self.cx
                    .run
                    .problems
                    .note(format!("{path}: {what}, which somebody had changed on the target, was replaced"));
            }
            return Judgement::Copy(Some(*there));
        }
        self.cx.problem(at.above.target, changed(&path, row, there));
        Judgement::Kept
    }
}

/// `None` for nothing.
pub(super) fn found(stat: Result<Stat, Errno>) -> Result<Option<Stat>, Errno> {
    match stat {
        Err(Errno::NOENT) => Ok(None),
        stat => stat.map(Some),
    }
}

/// What was copied and has been removed since.
pub(super) fn gone(path: RelPath) -> Problem {
    Problem::new(path, ProblemKind::Missing, Detail::Gone).told_by_row()
}

/// What somebody has changed beside the content.
pub(crate) fn altered(mut problem: Problem) -> Problem {
    problem.advice = Some(Advice::Repair);
    problem.told_by_row()
}
