//! Checks that the plan's fixups hold.

use super::context::CheckContext;
use super::row::CheckRow;
use crate::engine::events::problem::{Problem, Problems};
use crate::engine::events::value::PropertyValue;
use crate::engine::fixup;
use crate::sys::errno_words;

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    const ID: &str = "fixup";
    let problems = Problems::default();
    let means = fixup::FixupContext {
        plan: &context.tree.plan,
        owners: true,
        repair: false,
        journal: None,
        problems: &problems,
    };
    fixup::check(means);
    let (found, ..) = problems.take();
    let is_home = |path: &crate::base::path::RelPath| context.homes.iter().any(|home| home.stored == *path);
    let mut rows: Vec<CheckRow> = found
        .into_iter()
        // A home has a more specific row.
        .filter(|problem| !is_home(&problem.path))
        .map(|problem| CheckRow::fail(ID, &problem.path, words(&problem)).run(context.run_plan(" --repair")))
        .collect();
    for fixup in context.tree.plan.fixups.iter().filter(|fixup| !is_home(&fixup.path) || fixup.recursive) {
        if !rows.iter().any(|row| row.path.strip_prefix(&fixup.path).is_some()) {
            rows.push(CheckRow::pass(ID, &fixup.path, "holds"));
        }
    }
    rows
}

fn words(problem: &Problem) -> String {
    match (problem.errno, &problem.expected, &problem.found) {
        (Some(errno), ..) => format!("fixup: {}", errno_words(errno)),
        (None, Some(PropertyValue::OwnerAndMode(uid, gid, mode)), Some(PropertyValue::OwnerAndMode(u, g, m))) => {
            format!("expected {uid}:{gid} {mode:04o}, found {u}:{g} {m:04o}")
        }
        (None, ..) => "fixup did not hold".into(),
    }
}
