//! What is never replaced silently: what no run of this plan recorded, and what somebody has
//! changed since one did.

use super::context::CopyContext;
use super::entry::TargetName;
use super::options::History;
use crate::base::path::RelPath;
use crate::engine::compare::differences::changed;
use crate::engine::events::detail::{Advice, Detail};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::problem::Problem;
use crate::engine::events::value::Appearance;
use crate::engine::journal::Row;
use crate::sys::Errno;
use crate::sys::stat::{Kind, Stat};
use std::sync::Arc;

/// What to do with a name.
#[derive(Debug)]
pub(super) enum Judgement {
    /// Nothing: an earlier run finished it, and neither side has changed since.
    Finished(Box<Row>, Stat),
    /// Copy it, replacing this if there is anything.
    Copy(Option<Stat>),
    /// Keep what is there; a problem says why.
    Kept,
}

/// Decides between what the target has and what the source has.
pub(super) struct Precedence {
    cx: Arc<CopyContext>,
}

impl Precedence {
    pub(super) fn new(cx: &Arc<CopyContext>) -> Self {
        Self { cx: Arc::clone(cx) }
    }

    /// Whether something unrecorded may be replaced; notes it if so.
    pub(super) fn is_replaceable(&self, at: TargetName<'_>, there: &Stat, source: Option<&Stat>) -> bool {
        let History { first, interrupted, restarted, began, .. } = self.cx.history(at.target);
        let bare = at.above.disk.bare;
        let newer = restarted && source.is_none_or(|source| there.mtime > source.mtime)
            || self.cx.options.newer_kept && source.is_none_or(|source| there.mtime >= source.mtime);
        // What an earlier run failed to replace is still what it found.
        let before = !bare && began.is_some_and(|began| there.ctime < began);
        // What came after an interrupted run, and was not left by it, is somebody else's.
        let first = before || first && (!interrupted || bare);
        let replaceable = self.cx.options.overwrite || first && !newer;
        if replaceable {
            self.cx.run.problems.note(Note::UnrecordedReplaced(at.path(), there.into()));
        }
        replaceable
    }

    /// The same for a directory that is to be made.
    pub(super) fn may_replace_unrecorded(&self, at: TargetName<'_>, there: &Stat) -> bool {
        let replaceable = self.is_replaceable(at, there, None);
        if !replaceable {
            let mut problem =
                Problem::differs(at.path(), ProblemKind::ChangedTarget, Kind::Directory, Appearance::from(there));
            problem.detail = Detail::Unrecorded;
            self.cx.problem(at.target, problem);
        }
        replaceable
    }

    /// Reports what somebody has changed; with `--overwrite` it is replaced.
    pub(super) fn keep_changed(&self, at: TargetName<'_>, row: &Row, there: &Stat) -> Judgement {
        let path = at.path();
        if self.cx.options.overwrite {
            // A directory with content stays, and is a problem.
            if there.kind != Kind::Directory {
                self.cx.run.problems.note(Note::ChangedReplaced(path, there.into()));
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

/// It was copied and has been removed since.
pub(super) fn gone(path: RelPath) -> Problem {
    Problem::new(path, ProblemKind::Missing, Detail::Gone).told_by_row()
}

/// Somebody changed something other than the content.
pub(crate) fn altered(mut problem: Problem) -> Problem {
    problem.advice = Some(Advice::Repair);
    problem.told_by_row()
}
