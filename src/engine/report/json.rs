//! The report as JSON, schema version 2.

use super::data::{Report, Totals};
use crate::base::json::exact;
use crate::base::path::RelPath;
use crate::engine::events::finding::{TargetUse, UseClass, UseCounts, UseFinding};
use crate::engine::events::problem::Problem;
use crate::engine::events::words::Words;
use crate::sys::errno_name;
use serde_json::{Map, Value, json};

/// The version of the schema in `docs/report.md`.
pub(super) const VERSION: u32 = 2;

/// The whole report, in these `words`.
#[must_use]
pub fn json(report: &Report, words: &Words) -> Value {
    json!({
        "version": VERSION,
        "tool": concat!("persistcp ", env!("CARGO_PKG_VERSION")),
        "plan": report.plan,
        "source": report.source,
        "root": report.root,
        "started": report.started,
        "ended": report.ended,
        "outcome": report.outcome.word(),
        "reason": report.reason.iter().map(words.cause).collect::<Vec<_>>(),
        "totals": totals(&report.totals),
        "targets": report.targets.iter().map(|t| {
            let mut value = totals(&t.totals);
            value.insert("name".into(), json!(t.name));
            value.insert("to".into(), json!(t.to));
            value.insert("need".into(), json!(t.need));
            value
        }).collect::<Vec<_>>(),
        "medium": report.medium,
        "large_files": report.large_files,
        "problem_count": report.problem_count,
        "problems": report.problems.iter().map(|one| problem(one, words)).collect::<Vec<_>>(),
        "in_use": in_use(&report.in_use, words),
        "notes": report.notes.iter().map(words.note).collect::<Vec<_>>(),
        "absent": report.absent,
        "fixups": report.fixups.iter().map(|f| json!({
            "path": f.path,
            "result": f.result,
            "changed": f.changed,
            "now": (words.value)(&f.now),
        })).collect::<Vec<_>>(),
        "ids": report.ids,
        "resume": report.resume,
    })
}

fn totals(totals: &Totals) -> Map<String, Value> {
    match serde_json::to_value(totals) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn in_use(in_use: &TargetUse, words: &Words) -> Value {
    let counts = |counts: &UseCounts| {
        let named = UseClass::ALL.iter().zip(counts).map(|(class, count)| (class.word().to_string(), json!(count)));
        named.collect::<Map<_, _>>()
    };
    let placed = |path: &RelPath, mut value: Map<String, Value>| {
        value.insert("path".into(), json!(path.to_string()));
        value.extend(exact(path).map(|bytes| ("path_bytes".into(), json!(bytes))));
        value
    };
    let entry = |entry: &UseFinding| {
        let Value::Object(mut value) =
            json!({ "class": entry.class.word(), "target": entry.target, "count": entry.count })
        else {
            return Map::new();
        };
        value.extend(entry.found.map(|found| ("found".into(), json!((words.value)(&found.into())))));
        placed(&entry.path, value)
    };
    let mut value = counts(&in_use.counts);
    value.insert("accepted".into(), json!(in_use.accepted));
    let directories = in_use.directories.iter().map(|(path, of)| placed(path, counts(of)));
    value.insert("directories".into(), directories.collect::<Vec<_>>().into());
    value.insert("entries".into(), in_use.entries.iter().map(entry).collect::<Vec<_>>().into());
    Value::Object(value)
}

fn problem(problem: &Problem, words: &Words) -> Value {
    let mut value = json!({
        "path": problem.path.to_string(),
        "target": problem.target,
        "kind": problem.kind,
        "message": (words.problem)(problem),
        "count": problem.count,
    });
    let parts = [
        ("path_bytes", exact(&problem.path)),
        ("attribute", problem.attribute.clone()),
        ("op", problem.op.as_ref().map(|op| op.word().to_string())),
        ("errno", problem.errno.map(errno_name)),
        ("expected", problem.expected.as_ref().map(words.value)),
        ("found", problem.found.as_ref().map(words.value)),
    ];
    for (key, part) in parts {
        if let Some(part) = part {
            value[key] = json!(part);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::RelPath;
    use crate::engine::events::kind::ProblemKind;
    use crate::engine::events::operation::Operation;
    use crate::sys::Errno;

    #[test]
    fn a_failed_call_names_what_was_tried_and_the_answer() {
        let failed = Problem::failed(RelPath::root(), ProblemKind::Io, Operation::Write, Errno::NOSPC);
        let value = problem(&failed, &Words::default());
        assert_eq!((&value["op"], &value["errno"]), (&json!("write"), &json!("ENOSPC")));
        let differs = Problem::differs(RelPath::root(), ProblemKind::Mode, "0600".to_string(), "0644".to_string());
        let other = problem(&differs, &Words::default());
        assert_eq!((other.get("op"), other.get("errno")), (None, None));
    }
}
