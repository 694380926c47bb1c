//! What the owner of the target has in the place of what was copied, and `--accept` took into the manifest: a run
//! keeps it, and says only what has happened to it since.

use super::decision::{JudgedName, NameDecision};
use super::history::Policy;
use crate::engine::compare::differences::{CheckedDir, changed, differences, has_same_content, without_moved_times};
use crate::engine::content::medium::ReadError;
use crate::engine::events::detail::{Advice, Detail};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{AcceptedAs, AcceptedRow, Row, RowChange, State};
use crate::sys::Errno;
use crate::sys::stat::{Kind, Stat};

/// What becomes of a name that is `there`; `None` where nothing that was accepted decides that.
pub(super) fn accepted(policy: &Policy<'_>, at: &dyn JudgedName, there: Option<&Stat>) -> Option<NameDecision> {
    let AcceptedRow { what, row } = at.accepted()?;
    Some(match (what, there) {
        (AcceptedAs::Removed, None) => NameDecision::Keep(Vec::new()),
        (AcceptedAs::Content, None) => {
            NameDecision::keep(of_accepted(at, ProblemKind::Missing, Detail::AcceptedRemoved))
        }
        (AcceptedAs::Content, Some(there)) if row.still_damaged(there, at.disk()) => {
            let damaged = of_accepted(at, ProblemKind::Content, Detail::AcceptedDamaged);
            NameDecision::keep(damaged.advising(Advice::RestoreOwn))
        }
        (AcceptedAs::Content, Some(there)) => since_accepted(policy, at, &row, there),
        (AcceptedAs::Removed, Some(_)) | (AcceptedAs::Names, _) => return None,
    })
}

/// What `row`, that of a directory, tells of attributes that are not those of the copy; `None` if nothing was
/// accepted.
pub(super) fn accepted_attributes(at: &dyn JudgedName, there: &Stat) -> Result<Option<Vec<Problem>>, Errno> {
    match at.accepted() {
        Some(AcceptedRow { what: AcceptedAs::Content, row }) if row.kind() == there.kind => {
            let above = at.open()?;
            let checked = CheckedDir::on(&above, at.disk());
            let mut found = differences(&checked, &at.path(), at.name(), &row, there);
            found.retain(|problem| problem.kind != ProblemKind::Mtime);
            Ok(Some(found.into_iter().map(altered_again).collect()))
        }
        _ => Ok(None),
    }
}

fn since_accepted(policy: &Policy<'_>, at: &dyn JudgedName, row: &Row, there: &Stat) -> NameDecision {
    let other = || {
        let mut problem = changed(&at.path(), row, there);
        problem.detail = Detail::ChangedSinceAccepted;
        NameDecision::keep(problem)
    };
    match row.standing(there, at.disk()) {
        RowChange::AsRecorded if row.state != State::Bad => return NameDecision::Keep(Vec::new()),
        RowChange::Changed => return other(),
        RowChange::AsRecorded | RowChange::Touched => {}
    }
    let target = match at.open() {
        Ok(target) => target,
        Err(errno) => return NameDecision::Failed(Operation::OpenParent, errno),
    };
    let checked = CheckedDir::on(&target, at.disk());
    if matches!(there.kind, Kind::CharDevice | Kind::BlockDevice) && there.rdev != row.rdev {
        return other();
    }
    match has_same_content(&checked, at.name(), row, policy.rate_limit) {
        Ok(true) => {}
        Ok(false) => return other(),
        Err(ReadError::Stopped) => return NameDecision::Ending,
        Err(ReadError::Failed(operation, errno)) => return NameDecision::Failed(operation, errno),
    }
    let mut found = differences(&checked, &at.path(), at.name(), row, there);
    without_moved_times(&mut found, RowChange::Touched, row);
    NameDecision::Keep(found.into_iter().map(altered_again).collect())
}

fn of_accepted(at: &dyn JudgedName, kind: ProblemKind, detail: Detail) -> Problem {
    Problem::new(at.path(), kind, detail).told_by_row()
}

fn altered_again(problem: Problem) -> Problem {
    problem.advising(Advice::AcceptAgain).told_by_row()
}
