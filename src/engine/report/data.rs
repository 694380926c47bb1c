//! The result of a run as data.

use crate::base::clock;
use crate::engine::content::medium::Medium;
use crate::engine::content::way::LargeFiles;
use crate::engine::events::finding::TargetUse;
use crate::engine::events::note::Note;
use crate::engine::events::outcome::Outcome;
use crate::engine::events::problem::Problem;
use crate::engine::events::stop::Cause;
use crate::engine::fixup;
use crate::engine::mapping::model::{Drift, Need};
use serde::{Deserialize, Serialize};

/// The result of a run. `docs/report.md` is its documentation.
#[derive(Debug)]
pub struct Report {
    /// Name of the plan.
    pub plan: String,
    /// The backup tree.
    pub source: String,
    /// Prefix of every destination.
    pub root: String,
    /// When the run began, RFC 3339.
    pub started: String,
    /// When it ended.
    pub ended: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended early or refused.
    pub reason: Vec<Cause>,
    /// The sum of the targets.
    pub totals: Totals,
    /// Each target.
    pub targets: Vec<TargetReport>,
    /// How the medium was read; `None` when nothing was.
    pub medium: Option<Medium>,
    /// How large files were copied, for each source and target device.
    pub large_files: Vec<LargeFiles>,
    /// The problems that were kept.
    pub problems: Vec<Problem>,
    /// All problems.
    pub problem_count: u64,
    /// What the target's owner did there since it was copied.
    pub in_use: TargetUse,
    /// Worth knowing, but no failures.
    pub notes: Vec<Note>,
    /// Declared entries that the backup does not have.
    pub absent: Vec<Absent>,
    /// What the fixups did.
    pub fixups: Vec<fixup::FixupOutcome>,
    /// Names whose number differs.
    pub ids: Vec<Drift>,
    /// The command that resumes the run, if it ended early.
    pub resume: Option<String>,
}

/// Counts of a target or of the whole run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Totals {
    /// Entries of every type that the plan covers.
    pub entries: u64,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symlinks.
    pub symlinks: u64,
    /// Names that share an inode with an earlier one.
    pub hardlinks: u64,
    /// FIFOs and device nodes.
    pub special: u64,
    /// Sockets, not copied.
    pub sockets: u64,
    /// Names left out by a pattern.
    pub excluded: u64,
    /// Apparent bytes.
    pub bytes: u64,
    /// Allocated bytes in the source.
    pub allocated_bytes: u64,
    /// Entries that this run wrote.
    pub copied: u64,
    /// Data bytes that this run brought: written, or shared.
    pub copied_bytes: u64,
    /// Of these, bytes whose blocks the copies share with their sources.
    pub shared_bytes: u64,
    /// Bytes of unfinished large files that an earlier run had copied.
    pub reused_bytes: u64,
    /// Entries that an earlier run had finished.
    pub skipped: u64,
    /// Their apparent bytes.
    pub skipped_bytes: u64,
    /// Entries that were in their place already, as the source's path leads there.
    pub in_place: u64,
    /// Entries that were kept as they were accepted on the target.
    pub accepted: u64,
    /// Entries that were copied and the source no longer has.
    pub stale: u64,
    /// Entries that this run removed because of that.
    pub deleted: u64,
    /// Their apparent bytes.
    pub deleted_bytes: u64,
    /// Entries that this run verified.
    pub verified: u64,
    /// Bytes that it read back.
    pub verified_bytes: u64,
    /// Problems.
    pub problems: u64,
    /// Wall-clock seconds; of the whole run, in a target as well.
    pub seconds: f64,
}

/// One target.
#[derive(Debug)]
pub struct TargetReport {
    /// Its name.
    pub name: String,
    /// Its default need.
    pub need: Need,
    /// Its destination below the root.
    pub to: String,
    /// Its counts.
    pub totals: Totals,
}

/// A declared entry that is not in the backup.
#[derive(Debug, Deserialize, Serialize)]
pub struct Absent {
    /// Inside the source.
    pub path: String,
    /// How much it is needed.
    pub need: Need,
}

impl Report {
    /// The report of a run that was refused for `reasons`.
    #[must_use]
    pub fn refused(plan: String, source: String, root: String, reasons: Vec<String>) -> Self {
        let now = clock::now().rfc3339();
        Self {
            plan,
            source,
            root,
            started: now.clone(),
            ended: now,
            outcome: Outcome::Refused,
            reason: reasons.into_iter().map(Cause::Told).collect(),
            totals: Totals::default(),
            targets: Vec::new(),
            medium: None,
            large_files: Vec::new(),
            problems: Vec::new(),
            problem_count: 0,
            in_use: TargetUse::default(),
            notes: Vec::new(),
            absent: Vec::new(),
            fixups: Vec::new(),
            ids: Vec::new(),
            resume: None,
        }
    }
}
