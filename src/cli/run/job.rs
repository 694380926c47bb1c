//! What the command line means.

use super::progress::Style;
use crate::engine::run::Options;
use crate::plan::Overrides;
use std::path::PathBuf;

/// What the user asked for.
#[derive(Debug)]
pub(super) struct Job {
    /// The plan file.
    pub(super) file: PathBuf,
    /// What the command line overrides in the plan.
    pub(super) overrides: Overrides,
    /// Only report what would be done.
    pub(super) dry_run: bool,
    /// What to do, and how.
    pub(super) options: Options,
    /// Where the JSON report goes.
    pub(super) report: Option<PathBuf>,
    /// How progress is shown.
    pub(super) progress: Style,
    /// Colors in errors of the plan.
    pub(super) color: bool,
    /// Print the resolved plan first.
    pub(super) verbose: bool,
    /// Print nothing when all is well.
    pub(super) quiet: bool,
}
