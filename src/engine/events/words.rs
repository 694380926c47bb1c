//! Sentences for the two formats that keep them: the report, and the journal's `problem` table.
//! The engine makes none; its caller passes in how the data is put into words.

use super::note::Note;
use super::problem::Problem;
use super::stop::Cause;
use super::value::PropertyValue;
use crate::sys::errno_name;

/// How the engine's data is put into words.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// What is wrong with a path, and what helps.
    pub problem: fn(&Problem) -> String,
    /// What is worth knowing.
    pub note: fn(&Note) -> String,
    /// What was expected, or what was found.
    pub value: fn(&PropertyValue) -> String,
    /// Why a run ended early or did not start.
    pub cause: fn(&Cause) -> String,
}

impl Default for Words {
    /// For callers that read the data: only names.
    fn default() -> Self {
        Self {
            problem: plain_problem,
            value: plain_value,
            note: |note| format!("{note:?}"),
            cause: |cause| format!("{cause:?}"),
        }
    }
}

fn plain_problem(problem: &Problem) -> String {
    let op = problem.op.as_ref().map(|op| op.word().to_string());
    let parts = [Some(problem.kind.word()), op, problem.errno.map(errno_name)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn plain_value(value: &PropertyValue) -> String {
    match value {
        PropertyValue::Plain(text) => text.clone(),
        value => format!("{value:?}"),
    }
}
