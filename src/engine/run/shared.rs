//! What all stages of one run share, and its end.

use super::observer::{Observer, Phase};
use super::options::{Options, Task};
use crate::base::clock::{self, Moment};
use crate::engine::content::medium::Medium;
use crate::engine::context::RunContext;
use crate::engine::events::note::Note;
use crate::engine::events::stop::{Cause, Shortage, StopReason};
use crate::engine::journal::{RunKind, Writer};
use crate::engine::mapping::model::Drift;
use crate::engine::meta::Owners;
use crate::engine::report::{Outcome, Report};
use crate::engine::{disk_full, fixup, report, undeclared};
use std::sync::Arc;
use std::time::Instant;

/// One run.
pub(super) struct SharedRun<'a> {
    pub(super) options: &'a Options,
    pub(super) observer: &'a dyn Observer,
    pub(super) context: RunContext,
    pub(super) writer: Writer,
    /// Names of the targets by the journal's numbers: the mapping's, then those no longer in it.
    pub(super) names: Vec<String>,
    /// Owners get the target's numbers: this run or an earlier one asked for that.
    pub(super) remap_ids: bool,
    pub(super) began: Began,
}

/// When a run began.
#[derive(Clone, Copy)]
pub(super) struct Began {
    at: Moment,
    clock: Instant,
}

impl Began {
    pub(super) fn now() -> Self {
        Self { at: clock::now(), clock: Instant::now() }
    }
}

impl SharedRun<'_> {
    pub(super) fn is_stopped(&self) -> bool {
        self.context.stop.is_set()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.observer.entered(phase);
    }

    /// Begins the record of the run.
    pub(super) fn announce(&self, kind: RunKind) {
        let RunContext { mapping, writer, .. } = &self.context;
        writer.meta("plan", mapping.name.clone());
        // A plan that is only verified need not name one.
        if !mapping.source.as_os_str().is_empty() {
            writer.meta("source", mapping.source.to_string_lossy().into_owned());
        }
        writer.meta("root", mapping.root.to_string_lossy().into_owned());
        writer.run_started(kind, self.began.at.rfc3339(), concat!("persistcp ", env!("CARGO_PKG_VERSION")).into());
    }

    pub(super) fn owners(&self) -> Owners {
        if self.options.allow.no_owner {
            Owners::Left
        } else if self.remap_ids {
            Owners::Renumbered(Arc::new(self.context.mapping.renumbering.clone()))
        } else {
            Owners::Kept
        }
    }

    pub(super) fn undeclared(&self) {
        if !self.is_stopped() {
            let RunContext { mapping, journal, writer, problems, .. } = &self.context;
            self.context.heed(undeclared::report(mapping, journal, writer, problems));
        }
    }

    /// How much space is missing, if that is why the run stopped.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        let full = self.context.stop.reason()?.full()?;
        let RunContext { mapping, journal, writer, .. } = &self.context;
        writer.flush();
        disk_full::shortage(mapping, full, journal, self.options.means(), self.options.allow.cross_mounts)
    }

    pub(super) fn report(&self, medium: Option<Medium>, fixups: Vec<fixup::FixupOutcome>) -> Report {
        let RunContext { mapping, counters, problems, in_use, stop, .. } = &self.context;
        let (problems, problem_count, mut notes) = problems.take();
        notes.extend(mapping.id_conflicts.iter().cloned().map(Note::IdConflict));
        notes.extend(mapping.notes.iter().cloned().map(Note::Told));
        let (totals, targets) = report::totals(mapping, counters, &problems, self.began.clock.elapsed().as_secs_f64());
        if totals.shared_bytes > 0 {
            notes.push(Note::BlocksShared(totals.shared_bytes));
        }
        let (outcome, reason) = match stop.reason() {
            Some(reason) => (Outcome::Stopped, vec![Cause::Stopped(reason)]),
            None if problem_count > 0 => (Outcome::Problems, Vec::new()),
            None => (Outcome::Done, Vec::new()),
        };
        let verifies = matches!(self.options.task, Task::Verify(_));
        Report {
            plan: mapping.name.clone(),
            source: mapping.source.to_string_lossy().into_owned(),
            root: mapping.root.to_string_lossy().into_owned(),
            started: self.began.at.rfc3339(),
            ended: clock::now().rfc3339(),
            outcome,
            reason,
            totals,
            targets,
            medium,
            large_files: Vec::new(),
            problems,
            problem_count,
            in_use: in_use.take(),
            notes,
            absent: if verifies { Vec::new() } else { report::absent(mapping) },
            fixups,
            ids: mapping.drift.iter().map(|drift| Drift { remapped: self.remap_ids, ..drift.clone() }).collect(),
            resume: self.options.command.clone().filter(|_| outcome == Outcome::Stopped),
        }
    }

    /// Records the report and ends the journal.
    pub(super) fn end(self, mut report: Report) -> Report {
        self.context.problems.end_record();
        let json = report::json(&report, &self.options.words);
        self.context.writer.run_ended(report.ended.clone(), report.outcome, json.to_string());
        let Self { context, writer, options, .. } = self;
        // The writer ends with its last handle; the lock must be held until then.
        let RunContext { writer: handle, journal, .. } = context;
        drop(handle);
        match writer.finish() {
            Ok(None) => {}
            Ok(Some(why)) => {
                report.notes.push(Note::JournalUnwritable(why));
            }
            Err(error) => {
                report.outcome = Outcome::Stopped;
                let is_said =
                    |cause: &Cause| matches!(cause, Cause::Stopped(StopReason::Journal(said, _)) if *said == error);
                if !report.reason.iter().any(is_said) {
                    report.reason.push(Cause::Journal(error));
                }
                report.resume = report.resume.or_else(|| options.command.clone());
            }
        }
        drop(journal);
        report
    }
}
