//! What the command line means.

use super::progress::Style;
use crate::engine::run::Options;
use crate::plan::Overrides;
use std::path::{Path, PathBuf};

/// What the user asked for.
#[derive(Debug)]
pub(super) struct Job {
    /// What is copied where.
    pub(super) subject: JobSubject,
    /// Only report what would be done.
    pub(super) dry_run: bool,
    /// What to do, and how.
    pub(super) options: Options,
    /// The number of threads is the user's.
    pub(super) threads_asked: bool,
    /// Where the JSON report goes.
    pub(super) report: Option<PathBuf>,
    /// How progress is shown.
    pub(super) progress: Style,
    /// Colors in errors of the plan.
    pub(super) color: bool,
    /// Print what goes where first.
    pub(super) verbose: bool,
    /// Print nothing when all is well.
    pub(super) quiet: bool,
}

/// Where it is said what is copied where.
#[derive(Debug)]
pub(super) enum JobSubject {
    /// In a plan.
    Plan {
        /// The plan file.
        file: PathBuf,
        /// What the command line overrides in the plan.
        overrides: Overrides,
    },
    /// On the command line.
    Trees(TreesSubject),
}

/// Trees named on the command line.
#[derive(Debug)]
pub(super) struct TreesSubject {
    /// In the order of the command line.
    pub(super) sources: Vec<PathBuf>,
    /// Where they go.
    pub(super) destination: PathBuf,
    /// Patterns of what is left out.
    pub(super) exclude: Vec<String>,
    /// The directory of the journal, if the user named one.
    pub(super) state: Option<PathBuf>,
}

impl JobSubject {
    /// What names the job before its plan is read.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Plan { file, .. } => file.display().to_string(),
            Self::Trees(trees) => trees.destination.display().to_string(),
        }
    }

    /// Source and root as they were typed; empty if they were not.
    pub(super) fn typed(&self) -> (String, String) {
        let text = |path: Option<&Path>| path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        match self {
            Self::Plan { overrides, .. } => (text(overrides.source.as_deref()), text(overrides.root.as_deref())),
            Self::Trees(trees) => (text(trees.sources.first().map(PathBuf::as_path)), text(Some(&trees.destination))),
        }
    }
}
