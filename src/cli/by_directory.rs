//! Problems of a target in use: what its owner changed or made there must not hide damage.

use crate::base::human::count;
use crate::base::path::RelPath;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Directories that are named.
const NAMED: usize = 10;

/// The same problems: first what nobody meant, then what use explains.
pub(super) fn by_weight(problems: &[Problem]) -> Vec<&Problem> {
    let mut all: Vec<&Problem> = problems.iter().collect();
    all.sort_by_key(|problem| match problem.kind {
        ProblemKind::Stale => 1,
        ProblemKind::ChangedTarget => 2,
        ProblemKind::Extra => 3,
        _ => 0,
    });
    all
}

/// Counts by directory, the fullest first, what was changed and made on the target since it was copied.
pub(super) fn use_of_target(out: &mut String, problems: &[&Problem]) -> std::fmt::Result {
    let kinds = [
        (ProblemKind::ChangedTarget, "changed on the target since it was copied"),
        (ProblemKind::Extra, "on the target, and no run's"),
    ];
    for (kind, words) in kinds {
        let mut directories: BTreeMap<RelPath, u64> = BTreeMap::new();
        for problem in problems.iter().filter(|problem| problem.kind == kind) {
            *directories.entry(problem.path.parent().unwrap_or_default()).or_default() += problem.count;
        }
        let mut directories: Vec<_> = directories.into_iter().collect();
        directories.sort_by_key(|(_, entries)| std::cmp::Reverse(*entries));
        if !directories.is_empty() {
            writeln!(out, "  {words}, by directory:")?;
        }
        for (path, entries) in directories.iter().take(NAMED) {
            writeln!(out, "  {:>9} {path}", count(*entries))?;
        }
        if directories.len() > NAMED {
            writeln!(out, "            … and {} more directories", count((directories.len() - NAMED) as u64))?;
        }
    }
    Ok(())
}
