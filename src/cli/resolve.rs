//! From a plan file to a mapping, and the message if that fails.

use super::exit::Exit;
use crate::engine::mapping::model::Mapping;
use crate::plan::{Backup, Overrides, Plan, ResolveError};
use std::path::Path;

/// Reads and resolves a plan; an error comes with its exit status.
pub(super) fn resolve(
    file: &Path,
    overrides: &Overrides,
    backup: Backup,
    color: bool,
) -> Result<Mapping, (String, Exit)> {
    let plan = Plan::read(file).map_err(|errors| (errors.render(color), Exit::Usage))?;
    plan.resolve(overrides, backup).map_err(|error| failed(&error, color))
}

/// The message and the exit status.
pub(super) fn failed(error: &ResolveError, color: bool) -> (String, Exit) {
    match error {
        ResolveError::Plan(errors) => (errors.render(color), Exit::Usage),
        ResolveError::IdMap(_) => (error.to_string(), Exit::Usage),
        ResolveError::Source { .. } | ResolveError::Root { .. } => (format!("refused: {error}"), Exit::Refused),
    }
}
