//! The copy, and what comes before and after it.

use super::observer::Phase;
use super::shared::SharedRun;
use crate::base::clock;
use crate::base::path::RelPath;
use crate::engine::content::reflink::Reflink;
use crate::engine::context::RunContext;
use crate::engine::copy::{self, CopyOutcome, Engine, Parts};
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::no_thread::NoThread;
use crate::engine::events::note::Note;
use crate::engine::events::problem::Problem;
use crate::engine::events::refusal::{Destination, Refusal};
use crate::engine::events::stop::StopReason;
use crate::engine::groups::Groups;
use crate::engine::journal::epoch::FileSystems;
use crate::engine::journal::{Epochs, JournalError, RunKind, Surroundings};
use crate::engine::judge::History;
use crate::engine::meta::Keep;
use crate::engine::stale::{self, Settling};
use crate::engine::{completeness, leftovers, preflight};
use crate::sys::filesystem::may_chown;
use crate::sys::root::Root;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a run that copies needs beyond what all runs share.
pub(super) struct Copying {
    pub(super) source: Arc<Root>,
    /// Which names are links of one another.
    pub(super) groups: Arc<Groups>,
    /// For each target, whether an earlier run had anything to copy there.
    pub(super) known: Vec<bool>,
    /// Something is in its place already, or the source is the live system.
    pub(super) in_place: bool,
    /// An interrupted run may have left something on the target.
    pub(super) leftovers: bool,
    /// The device number of each target at the beginning, or why that could not be told.
    pub(super) devices: Vec<Result<u64, Refusal>>,
    pub(super) file_systems: Arc<FileSystems>,
}

impl Copying {
    pub(super) fn announce(&self, run: &SharedRun<'_>) {
        // A repair only reads at first: stopped before the copy, it leaves no copy unfinished.
        run.announce(if run.options.task.is_repair() { RunKind::Verify } else { RunKind::Copy });
        run.context.heed(keep_atimes(run));
        keep_ids(run);
        if !may_chown() {
            // The kernel hides them from everybody but root, so they cannot be named.
            run.context.problems.note(Note::TrustedUnseen);
        }
    }

    /// Removes what interrupted runs left, unless the last one recorded that it left nothing.
    pub(super) fn clear_leftovers(&mut self, run: &SharedRun<'_>) {
        if self.leftovers && !run.context.stop.is_set() {
            let cleared = run.context.heed(leftovers::clear(&run.context));
            self.leftovers = cleared.is_none_or(|all_gone| !all_gone);
        }
    }

    /// Records whether the next run must look for leftovers of this one: a failed operation on the
    /// target may have left a temporary name.
    pub(super) fn settle_leftovers(&self, run: &SharedRun<'_>) {
        if !self.leftovers && !run.is_stopped() && !run.context.problems.has(ProblemKind::Io) {
            run.context.writer.no_leftovers();
        }
    }

    /// A target that is no longer mounted has lost nothing: the run ends, instead of reporting a problem
    /// for each entry.
    pub(super) fn heed_mounts(&self, run: &SharedRun<'_>) {
        let mapping = &run.context.mapping;
        for ((target, before), now) in mapping.targets.iter().zip(&self.devices).zip(preflight::devices(mapping)) {
            let Ok(before) = before else { continue };
            let why = match now {
                Ok(now) if now == *before => continue,
                Ok(_) => None,
                Err(why) => Some(Box::new(why)),
            };
            let target = Destination { root: mapping.root.clone(), path: target.to.clone() };
            run.context.stop.set(StopReason::TargetGone(target, why));
        }
    }

    /// Copies, and returns when the last epoch is sealed.
    pub(super) fn copy(&self, run: &SharedRun<'_>) -> CopyOutcome {
        run.enter(Phase::Copy);
        let context = &run.context;
        let epochs = Epochs::start(Surroundings {
            file_systems: Arc::clone(&self.file_systems),
            journal: context.writer.clone(),
            counters: Arc::clone(&context.counters),
            problems: Arc::clone(&context.problems),
            stop: context.stop.clone(),
        });
        let epochs = match epochs {
            Ok(epochs) => epochs,
            Err(error) => {
                context.stop.set(StopReason::NoThread(NoThread::One(error.to_string())));
                return CopyOutcome::default();
            }
        };
        let engine = Engine::new(Parts {
            context: context.clone(),
            source: Arc::clone(&self.source),
            file_systems: Arc::clone(&self.file_systems),
            submit: epochs.submit(),
            groups: Arc::clone(&self.groups),
            options: self.options(run),
        });
        let copied = match engine {
            Ok(engine) => engine.run(|| begin(run, self.in_place)).map_err(StopReason::NoThread),
            Err(error) => Err(StopReason::Journal(error, None)),
        };
        // After the copy, which has reported more precisely what it could not read itself.
        for problem in self.groups.problems() {
            context.problems.add(problem);
        }
        epochs.finish(&context.stop);
        copied.unwrap_or_else(|reason| {
            context.stop.set(reason);
            CopyOutcome::default()
        })
    }

    /// Reports what the source no longer has, or removes it, when everything else is copied and verified.
    pub(super) fn settle_stale(&self, run: &SharedRun<'_>) {
        if !run.is_stopped() {
            let settling = Settling {
                run: &run.context,
                source: &self.source,
                file_systems: &self.file_systems,
                words: run.options.words,
                delete: run.options.allow.delete,
            };
            run.context.heed(stale::settle(&settling));
        }
    }

    fn options(&self, run: &SharedRun<'_>) -> copy::CopyOptions {
        let options = run.options;
        copy::CopyOptions {
            keep: Keep { owner: run.owners(), atime: options.atime },
            cross_mounts: options.allow.cross_mounts,
            overwrite: options.allow.overwrite,
            newer_kept: options.allow.newer_kept,
            delete: options.allow.delete,
            histories: History::each(run.context.journal.past(), &self.known, options.allow.restart),
            large_io: options.large_io,
            // What was damaged gets blocks of its own: those of the source may be the damaged ones.
            reflink: if options.task.is_repair() { Reflink::Never } else { options.allow.reflink },
            threads: options.threads,
            late: options.late,
            open_files: options.open_files,
        }
    }

    /// The copy is complete, unless the run was stopped. Every later verification finds again what
    /// this one finds.
    pub(super) fn end(&self, run: &SharedRun<'_>) {
        run.undeclared();
        let RunContext { journal, writer, problems, stop, .. } = &run.context;
        if !stop.is_set() {
            run.context.heed(leftovers::clear_unfinished(&run.context));
        }
        if !stop.is_set() {
            problems.record_waiting();
            writer.flush();
            run.context.heed(completeness::entries(journal, problems));
        }
        problems.end_record();
        if !stop.is_set() {
            writer.copied(clock::now().rfc3339());
        }
    }
}

/// The threads have started: from here on the run copies, and records what it cannot copy or keep.
fn begin(run: &SharedRun<'_>, is_in_place: bool) {
    let RunContext { journal, writer, counters, problems, stop, .. } = &run.context;
    if stop.is_set() {
        return;
    }
    let past = journal.past();
    if past.began.is_none() && !past.ended {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        if is_in_place {
            writer.finds_in_place();
        }
        writer.meta("began", format!("{}.{:09}", now.as_secs(), now.subsec_nanos()));
        // It must be there for a kill right after the first directory is made.
        writer.flush();
    }
    writer.copying(run.options.command.clone(), counters.expected_entries.load(Relaxed));
    let (handle, words) = (writer.clone(), run.options.words);
    problems.begin_record(move |problems| handle.problems(problems, words));
}

/// Rows do not hold access times, so entries finished without them cannot be told from others: if
/// they are wanted later, that is reported as not done.
fn keep_atimes(run: &SharedRun<'_>) -> Result<(), JournalError> {
    let RunContext { journal, writer, problems, .. } = &run.context;
    let wanted = run.options.atime;
    let kept = !journal.resumed() || journal.reader()?.meta("atime")?.as_deref() == Some("kept");
    writer.meta("atime", if wanted && kept { "kept" } else { "not kept" }.into());
    if wanted && !kept {
        problems.add(Problem::new(RelPath::root(), ProblemKind::Atime, Detail::AtimesLeft));
    }
    Ok(())
}

/// Records that owners get the target's numbers, and notes it if only an earlier run asked for that.
fn keep_ids(run: &SharedRun<'_>) {
    let allow = &run.options.allow;
    if run.remap_ids && !allow.no_owner {
        run.context.writer.remaps_ids();
    }
    if run.remap_ids && !allow.remap_ids && !run.context.mapping.drift.is_empty() {
        run.context.problems.note(Note::RemapsAsBegun);
    }
}
