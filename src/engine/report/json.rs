//! The report as JSON, schema version 1.

use super::data::{Report, Totals};
use crate::base::json::exact;
use crate::engine::events::problem::Problem;
use serde_json::{Map, Value, json};

/// The version of the schema in `docs/report.md`.
pub(super) const VERSION: u32 = 1;

/// The whole report.
#[must_use]
pub fn json(report: &Report) -> Value {
    json!({
        "version": VERSION,
        "tool": concat!("persistcp ", env!("CARGO_PKG_VERSION")),
        "plan": report.plan,
        "source": report.source,
        "root": report.root,
        "started": report.started,
        "ended": report.ended,
        "outcome": report.outcome.word(),
        "reason": report.reason,
        "totals": totals(&report.totals),
        "targets": report.targets.iter().map(|t| {
            let mut value = totals(&t.totals);
            value.insert("name".into(), json!(t.name));
            value.insert("to".into(), json!(t.to));
            value.insert("need".into(), json!(t.need));
            value
        }).collect::<Vec<_>>(),
        "medium": report.medium,
        "problem_count": report.problem_count,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        "notes": report.notes,
        "absent": report.absent,
        "fixups": report.fixups,
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

fn problem(problem: &Problem) -> Value {
    let mut value = json!({
        "path": problem.path.to_string(),
        "target": problem.target,
        "kind": problem.kind,
        "message": problem.message,
        "count": problem.count,
    });
    let parts = [
        ("path_bytes", exact(&problem.path)),
        ("attribute", problem.attribute.clone()),
        ("expected", problem.expected.clone()),
        ("found", problem.found.clone()),
    ];
    for (key, part) in parts {
        if let Some(part) = part {
            value[key] = json!(part);
        }
    }
    value
}
