//! What is never replaced silently: what no run of this plan recorded, and what somebody has
//! changed since one did.

use super::decision::{JudgedName, NameDecision};
use super::history::{History, Policy};
use crate::base::path::RelPath;
use crate::engine::compare::differences::changed;
use crate::engine::events::detail::{Advice, Detail};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::problem::Problem;
use crate::engine::events::value::{Appearance, PropertyValue};
use crate::engine::journal::{AcceptedAs, Row};
use crate::sys::Errno;
use crate::sys::stat::{Kind, Stat};

/// What is brought to a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Incoming<'a> {
    /// A directory.
    Directory,
    /// Anything else, with its stat in the source.
    Leaf(&'a Stat),
}

impl From<Incoming<'_>> for PropertyValue {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Directory => Kind::Directory.into(),
            Incoming::Leaf(stat) => Appearance::from(stat).into(),
        }
    }
}

/// True for what the target had before any run of the plan wrote to it.
pub(super) fn was_there_before(history: History, at: &dyn JudgedName, there: &Stat) -> bool {
    // What an earlier run failed to replace is still what it found.
    let before = !at.disk().bare && history.began.is_some_and(|began| there.ctime < began);
    // What came after an interrupted run, and was not left by it, is somebody else's.
    before || history.first && (!history.interrupted || at.disk().bare)
}

/// Judges what no run of this plan has recorded.
pub(super) fn unrecorded(
    policy: &Policy<'_>,
    at: &dyn JudgedName,
    there: &Stat,
    brought: Incoming<'_>,
) -> NameDecision {
    let newer = match brought {
        Incoming::Directory => policy.history.restarted || policy.newer_kept,
        Incoming::Leaf(source) => {
            policy.history.restarted && there.mtime > source.mtime || policy.newer_kept && there.mtime >= source.mtime
        }
    };
    if policy.overwrite || was_there_before(policy.history, at, there) && !newer {
        return NameDecision::copy(Some(Note::UnrecordedReplaced(at.path(), there.into())));
    }
    let mut problem = Problem::differs(at.path(), ProblemKind::ChangedTarget, brought, Appearance::from(there));
    problem.detail = Detail::Unrecorded;
    NameDecision::keep(problem)
}

/// Judges what somebody has changed since `row` was written.
pub(super) fn changed_since(policy: &Policy<'_>, at: &dyn JudgedName, row: &Row, there: &Stat) -> NameDecision {
    if !policy.overwrite {
        return NameDecision::keep(changed(&at.path(), row, there));
    }
    // A directory with content stays, and is a problem.
    let note = (there.kind != Kind::Directory).then(|| Note::ChangedReplaced(at.path(), there.into()));
    NameDecision::copy(note)
}

/// `None` for nothing.
pub(crate) fn found(stat: Result<Stat, Errno>) -> Result<Option<Stat>, Errno> {
    match stat {
        Err(Errno::NOENT) => Ok(None),
        stat => stat.map(Some),
    }
}

/// It was copied and has been removed since.
pub(crate) fn gone(path: RelPath) -> Problem {
    Problem::new(path, ProblemKind::Missing, Detail::Gone).told_by_row()
}

/// The same, or that its removal was accepted and is not undone.
pub(super) fn removed(at: &dyn JudgedName) -> Problem {
    let is_accepted = at.accepted().is_some_and(|accepted| accepted.what == AcceptedAs::Removed);
    let mut gone = gone(at.path());
    if is_accepted {
        gone.detail = Detail::RemovalAccepted;
    }
    gone
}

/// Somebody changed something other than the content.
pub(crate) fn altered(problem: Problem) -> Problem {
    problem.advising(Advice::Repair).told_by_row()
}
