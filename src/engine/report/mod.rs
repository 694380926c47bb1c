//! What a run says when it is over: one structure, shown as text and as JSON.

mod json;
mod past;

pub use json::json;
pub use past::from_json;

use super::content::medium::Medium;
use super::events::counters::{Counters, Tally};
use super::events::problem::Problem;
use super::fixup;
use super::mapping::model::{Drift, Mapping, Need, Presence};
use crate::base::exit::Exit;
use crate::base::path::is_unprintable;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The result of a run. `docs/report.md` is its documentation.
#[derive(Debug)]
pub struct Report {
    /// Name of the plan.
    pub plan: String,
    /// The backup tree.
    pub source: String,
    /// What stands before every destination.
    pub root: String,
    /// When the run began, RFC 3339.
    pub started: String,
    /// When it ended.
    pub ended: String,
    /// How it ended.
    pub outcome: Exit,
    /// Why it ended early or refused, for people.
    pub reason: Vec<String>,
    /// The sum of the targets.
    pub totals: Totals,
    /// Each target.
    pub targets: Vec<TargetReport>,
    /// How the medium was read; `None` when nothing was.
    pub medium: Option<Medium>,
    /// The problems that were kept.
    pub problems: Vec<Problem>,
    /// All problems.
    pub problem_count: u64,
    /// Worth knowing, but no failures.
    pub notes: Vec<String>,
    /// Declared entries that the backup does not have.
    pub absent: Vec<Absent>,
    /// What the fixups did.
    pub fixups: Vec<fixup::Outcome>,
    /// Names whose number differs.
    pub ids: Vec<Drift>,
    /// The command that goes on, when the run ended early.
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
    /// Data bytes that this run wrote.
    pub copied_bytes: u64,
    /// Bytes of unfinished large files that an earlier run had copied.
    pub reused_bytes: u64,
    /// Entries that an earlier run had finished.
    pub skipped: u64,
    /// Their apparent bytes.
    pub skipped_bytes: u64,
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

impl Totals {
    fn read(tally: &Tally, seconds: f64) -> Self {
        let get = |count: &AtomicU64| count.load(Relaxed);
        let mut totals = Self {
            entries: 0,
            files: get(&tally.files),
            directories: get(&tally.directories),
            symlinks: get(&tally.symlinks),
            hardlinks: get(&tally.hardlinks),
            special: get(&tally.special),
            sockets: get(&tally.sockets),
            excluded: get(&tally.excluded),
            bytes: get(&tally.bytes),
            allocated_bytes: get(&tally.allocated),
            copied: get(&tally.copied),
            copied_bytes: get(&tally.copied_bytes),
            reused_bytes: get(&tally.reused_bytes),
            skipped: get(&tally.skipped),
            skipped_bytes: get(&tally.skipped_bytes),
            verified: get(&tally.verified),
            verified_bytes: get(&tally.verified_bytes),
            problems: 0,
            seconds,
        };
        totals.entries = totals.files + totals.directories + totals.symlinks + totals.special + totals.sockets;
        totals
    }

    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.entries, other.entries),
            (&mut self.files, other.files),
            (&mut self.directories, other.directories),
            (&mut self.symlinks, other.symlinks),
            (&mut self.hardlinks, other.hardlinks),
            (&mut self.special, other.special),
            (&mut self.sockets, other.sockets),
            (&mut self.excluded, other.excluded),
            (&mut self.bytes, other.bytes),
            (&mut self.allocated_bytes, other.allocated_bytes),
            (&mut self.copied, other.copied),
            (&mut self.copied_bytes, other.copied_bytes),
            (&mut self.reused_bytes, other.reused_bytes),
            (&mut self.skipped, other.skipped),
            (&mut self.skipped_bytes, other.skipped_bytes),
            (&mut self.verified, other.verified),
            (&mut self.verified_bytes, other.verified_bytes),
        ];
        pairs.into_iter().for_each(|(sum, n)| *sum += n);
    }
}

/// The counts of `plan`'s targets and their sum.
#[must_use]
pub fn totals(plan: &Mapping, counters: &Counters, problems: &[Problem], seconds: f64) -> (Totals, Vec<TargetReport>) {
    let count = |problems: &mut dyn Iterator<Item = &Problem>| problems.map(|p| p.count).sum();
    let mut sum = Totals { seconds, problems: count(&mut problems.iter()), ..Totals::default() };
    let mut targets = Vec::new();
    for (target, tally) in plan.targets.iter().zip(&counters.targets) {
        let mut totals = Totals::read(tally, seconds);
        totals.problems = count(&mut problems.iter().filter(|p| p.target == target.name));
        sum.add(&totals);
        let (name, to) = (target.name.clone(), target.to.to_string());
        targets.push(TargetReport { name, need: target.need, to, totals });
    }
    (sum, targets)
}

/// The entries of `plan` that the backup does not have.
#[must_use]
pub fn absent(plan: &Mapping) -> Vec<Absent> {
    let entries = plan.targets.iter().flat_map(|t| &t.entries);
    entries
        .filter(|e| e.presence == Presence::Absent)
        .map(|e| Absent { path: e.src.to_string(), need: e.need })
        .collect()
}

/// JSON text for a terminal or a file: what is unprintable in its strings is written as escapes.
pub fn json_text(value: &serde_json::Value) -> String {
    let text = format!("{value:#}\n");
    // JSON escapes all of it that lies below U+0020; the rest can only stand in strings, and has four digits.
    let escape = |c: char| if is_hidden(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    if text.contains(is_hidden) { text.chars().map(escape).collect() } else { text }
}

fn is_hidden(c: char) -> bool {
    c != '\n' && is_unprintable(c)
}
