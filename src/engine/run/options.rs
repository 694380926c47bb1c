//! What a run is to do, with everything built: no flag, no word that is still to be parsed.

use crate::engine::events::rate_limit::Rate;
use crate::engine::events::words::Words;
use crate::engine::preflight::{Allow, Look};
use crate::engine::tree::descriptors::{threads, usual_threads};
use crate::engine::tree::walk::WalkOptions;
use crate::engine::verify::{Depth, Since};
use crate::sys::filesystem::open_files;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Copies what is missing or has changed in the source, and verifies that.
    Copy,
    /// Verifies everything first, copies again what differs, and verifies that.
    Repair,
    /// Verifies alone.
    Verify(Against),
}

/// What a run that only verifies compares the target with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// What the journal recorded; the source is not needed.
    Manifest {
        /// Leave out what was verified since, and has not changed.
        since: Option<Since>,
    },
    /// The source itself.
    Source,
}

/// How a run works.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to do.
    pub task: Task,
    /// How deep verification looks; `None` for no verification after a copy.
    pub verify: Option<Depth>,
    /// What may be done that is refused otherwise.
    pub allow: Allow,
    /// Keep access times.
    pub atime: bool,
    /// Threads of the pools.
    pub threads: usize,
    /// The limit of open files that all threads share.
    pub open_files: u64,
    /// How fast bytes may move.
    pub rate: Option<Rate>,
    /// What else to look for in the source before anything is written.
    pub look: Look,
    /// How the report and the journal say what is wrong.
    pub words: Words,
    /// How the same run is started again, for the journal and for the report of one that was stopped.
    pub command: Option<String>,
}

impl Default for Options {
    /// Copies with all safety and verifies the content, within this process's limits.
    fn default() -> Self {
        let open_files = open_files();
        Self {
            task: Task::Copy,
            verify: Some(Depth::Content),
            allow: Allow::default(),
            atime: false,
            threads: threads(open_files, usual_threads()),
            open_files,
            rate: None,
            look: |_, _| None,
            words: Words::default(),
            command: None,
        }
    }
}

impl Options {
    /// What a walk that only counts may use.
    #[must_use]
    pub fn means(&self) -> WalkOptions {
        WalkOptions::new(self.open_files, self.threads)
    }

    /// How deep a pass looks that takes place.
    pub(super) fn depth(&self) -> Depth {
        self.verify.unwrap_or(Depth::Content)
    }
}
