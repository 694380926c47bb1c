//! A report read back from its JSON, as the journal keeps it.

use super::data::{Absent, Report, TargetReport, Totals};
use super::json::VERSION;
use crate::base::path::RelPath;
use crate::engine::content::medium::Medium;
use crate::engine::content::way::LargeFiles;
use crate::engine::events::detail::Detail;
use crate::engine::events::finding::{TargetUse, UseClass, UseFinding};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::outcome::Outcome;
use crate::engine::events::problem::Problem;
use crate::engine::events::stop::Cause;
use crate::engine::events::value::PropertyValue;
use crate::engine::fixup::{FixupOutcome, Settled};
use crate::engine::mapping::model::{Drift, Need};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Stored {
    version: u32,
    plan: String,
    source: String,
    root: String,
    started: String,
    ended: String,
    outcome: String,
    reason: Vec<String>,
    totals: Totals,
    targets: Vec<StoredTarget>,
    medium: Option<Medium>,
    /// Reports of versions that had only one way do not have it.
    #[serde(default)]
    large_files: Vec<LargeFiles>,
    problem_count: u64,
    problems: Vec<StoredProblem>,
    /// Reports of releases that counted it as problems do not have it.
    #[serde(default)]
    in_use: StoredUse,
    notes: Vec<String>,
    absent: Vec<Absent>,
    fixups: Vec<StoredFixup>,
    ids: Vec<Drift>,
    resume: Option<String>,
}

#[derive(Deserialize)]
struct StoredTarget {
    name: String,
    to: String,
    need: Need,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Deserialize)]
struct StoredFixup {
    path: String,
    result: Settled,
    changed: u64,
    now: String,
}

#[derive(Default, Deserialize)]
struct StoredUse {
    #[serde(flatten)]
    counts: StoredCounts,
    accepted: u64,
    directories: Vec<StoredDirectory>,
    entries: Vec<StoredFinding>,
}

#[derive(Default, Deserialize)]
struct StoredCounts {
    changed: u64,
    removed: u64,
    new: u64,
}

#[derive(Deserialize)]
struct StoredDirectory {
    path: String,
    #[serde(flatten)]
    counts: StoredCounts,
}

#[derive(Deserialize)]
struct StoredFinding {
    path: String,
    target: String,
    class: UseClass,
    count: u64,
}

#[derive(Deserialize)]
struct StoredProblem {
    path: String,
    target: String,
    kind: ProblemKind,
    attribute: Option<String>,
    message: String,
    count: u64,
}

/// The report in `value`; `None` for one of a later version. Version 1 has neither `op` nor `errno`.
#[must_use]
pub fn from_json(value: Value) -> Option<Report> {
    let stored: Stored = serde_json::from_value(value).ok()?;
    if !(1..=VERSION).contains(&stored.version) {
        return None;
    }
    Some(Report {
        outcome: Outcome::from_word(&stored.outcome)?,
        plan: stored.plan,
        source: stored.source,
        root: stored.root,
        started: stored.started,
        ended: stored.ended,
        reason: stored.reason.into_iter().map(Cause::Told).collect(),
        totals: stored.totals,
        targets: stored.targets.into_iter().map(target).collect(),
        medium: stored.medium,
        large_files: stored.large_files,
        problem_count: stored.problem_count,
        problems: stored.problems.into_iter().map(problem).collect(),
        in_use: in_use(stored.in_use),
        notes: stored.notes.into_iter().map(Note::Told).collect(),
        absent: stored.absent,
        fixups: stored.fixups.into_iter().map(fixup).collect(),
        ids: stored.ids,
        resume: stored.resume,
    })
}

fn target(stored: StoredTarget) -> TargetReport {
    TargetReport { name: stored.name, need: stored.need, to: stored.to, totals: stored.totals }
}

fn fixup(stored: StoredFixup) -> FixupOutcome {
    let StoredFixup { path, result, changed, now } = stored;
    FixupOutcome { path, result, changed, now: PropertyValue::Plain(now) }
}

fn in_use(stored: StoredUse) -> TargetUse {
    let counts = |StoredCounts { changed, removed, new }| [changed, removed, new];
    let directory = |stored: StoredDirectory| (RelPath::shown(&stored.path), counts(stored.counts));
    let entry = |stored: StoredFinding| {
        let StoredFinding { path, target, class, count } = stored;
        UseFinding { path: RelPath::shown(&path), target, class, count, found: None }
    };
    TargetUse {
        counts: counts(stored.counts),
        accepted: stored.accepted,
        directories: stored.directories.into_iter().map(directory).collect(),
        entries: stored.entries.into_iter().map(entry).collect(),
    }
}

fn problem(stored: StoredProblem) -> Problem {
    // Shown as it was before: what was escaped stays escaped.
    let path = RelPath::shown(&stored.path);
    let problem = Problem::new(path, stored.kind, Detail::Told(stored.message));
    let mut problem = problem.in_target(&stored.target).counting(stored.count);
    problem.attribute = stored.attribute;
    problem
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(version: u32, problem: &Value) -> Value {
        json!({
            "version": version, "plan": "p", "source": "/s", "root": "/r", "started": "", "ended": "", "outcome": "problems",
            "reason": [], "totals": {}, "targets": [], "medium": null, "problem_count": 1, "problems": [problem],
            "notes": [], "absent": [], "fixups": [], "ids": [], "resume": null,
        })
    }

    #[test]
    fn a_report_of_version_1_is_read_as_it_was_written() {
        let old =
            json!({"path": "/a", "target": "t", "kind": "io", "message": "write: No space left on device", "count": 1});
        let read = from_json(report(1, &old)).expect("version 1 is known");
        assert_eq!(read.problems[0].detail, Detail::Told("write: No space left on device".into()));
        assert!(from_json(report(VERSION + 1, &old)).is_none());
    }
}
