//! What a run is to do, already built: no flags, and nothing left to parse.

use crate::engine::content::way::LargeIo;
use crate::engine::events::rate_limit::Rate;
use crate::engine::events::words::Words;
use crate::engine::preflight::{Allow, Look};
use crate::engine::tree::descriptors::{threads, usual_threads};
use crate::engine::tree::latency::{LATE_THREADS, is_late};
use crate::engine::tree::walk::WalkOptions;
use crate::engine::verify::{Depth, Since, UsePolicy};
use crate::sys::filesystem::open_files;
use std::path::Path;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Copies what is missing or has changed in the source, and verifies that.
    Copy,
    /// Verifies everything first, copies again what differs, and verifies that. What somebody has removed is brought
    /// back only where use makes problems.
    Repair(UsePolicy),
    /// Only verifies.
    Verify(Against),
}

impl Task {
    /// True for a repair.
    #[must_use]
    pub fn is_repair(self) -> bool {
        matches!(self, Self::Repair(_))
    }
}

/// What a run that only verifies compares the target with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// What the journal recorded; the source is not needed.
    Manifest {
        /// Leave out what was verified since then and has not changed.
        since: Option<Since>,
        /// What becomes of what the owner of the target did there since.
        in_use: UsePolicy,
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
    /// What may be done although it is refused by default.
    pub allow: Allow,
    /// Keep access times.
    pub atime: bool,
    /// Threads of the pools.
    pub threads: usize,
    /// The limit of open files that all threads share.
    pub open_files: u64,
    /// The source's file system answers late (see [`Self::adapt_to`]).
    pub late: bool,
    /// How large files are copied.
    pub large_io: LargeIo,
    /// How fast bytes may move.
    pub rate: Option<Rate>,
    /// What else to look for in the source before anything is written.
    pub look: Look,
    /// How the report and the journal put problems into words.
    pub words: Words,
    /// The command that starts the same run again, for the journal and for the report of a stopped run.
    pub command: Option<String>,
}

impl Default for Options {
    /// Copies with all safety checks and verifies the content, within this process's limits.
    fn default() -> Self {
        let open_files = open_files();
        Self {
            task: Task::Copy,
            verify: Some(Depth::Content),
            allow: Allow::default(),
            atime: false,
            threads: threads(open_files, usual_threads()),
            open_files,
            late: false,
            large_io: LargeIo::Auto,
            rate: None,
            look: |_, _| None,
            words: Words::default(),
            command: None,
        }
    }
}

impl Options {
    /// The limits of a walk that only counts.
    #[must_use]
    pub fn means(&self) -> WalkOptions {
        WalkOptions { late: self.late, ..WalkOptions::new(self.open_files, self.threads) }
    }

    /// Prepares for a `source` whose file system answers late: more calls at a time, in smaller tasks. Threads
    /// that were `asked` for stay.
    pub fn adapt_to(&mut self, source: &Path, asked: bool) {
        self.late = is_late(source);
        if self.late && !asked {
            self.threads = threads(self.open_files, LATE_THREADS);
        }
    }

    /// How deep a verification looks, if there is one.
    pub(super) fn depth(&self) -> Depth {
        self.verify.unwrap_or(Depth::Content)
    }
}
