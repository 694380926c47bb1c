//! One migration from top to bottom.

mod outcome;
mod repair;
mod stages;

use super::progress::{Phase, Progress, Style};
use super::{fail, print_text};
use crate::base::exit::Exit;
use crate::engine::events::rate_limit::Rate;
use crate::engine::events::stop::Stop;
use crate::engine::journal::epoch::FileSystems;
use crate::engine::journal::{Journal, Location, RunKind, Writer};
use crate::engine::mapping::model::Mapping;
use crate::engine::preflight::{self, Allow, Cleared};
use crate::engine::tree::walk::Means;
use crate::engine::verify::{Depth, Scope};
use crate::nixos::store_db;
use crate::plan::{self, Backup, Overrides, Plan, ResolveError};
use crate::sys::filesystem::may_chown;
use outcome::{Signals, dry_run, finish, refuse};
use repair::Repair;
use stages::Run;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the user asked for.
#[derive(Debug)]
pub(super) struct Job {
    /// The plan file.
    pub file: PathBuf,
    /// What the command line puts over the plan.
    pub overrides: Overrides,
    /// What it allows.
    pub allow: Allow,
    /// What to do.
    pub mode: Mode,
    /// What to verify after the copy.
    pub verify: VerifyDepth,
    /// Which entries verification alone looks at.
    pub scope: Scope,
    /// What it compares the target with.
    pub against: Against,
    /// Keep access times.
    pub atime: bool,
    /// Threads of the pools.
    pub threads: usize,
    /// The limit of open files.
    pub open_files: u64,
    /// How fast bytes may move.
    pub bwlimit: Option<Rate>,
    /// Where the JSON report goes.
    pub report: Option<PathBuf>,
    /// How progress is shown.
    pub progress: Style,
    /// Colors in errors of the plan.
    pub color: bool,
    /// Print the resolved plan first.
    pub verbose: bool,
    /// Print nothing when all is well.
    pub quiet: bool,
}

impl Job {
    /// What a walk that only counts may use.
    fn means(&self) -> Means {
        Means::new(self.open_files, self.threads)
    }
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Copy, make durable, verify, fix up.
    Migrate,
    /// Say what would be copied.
    DryRun,
    /// Verify what the journal lists.
    VerifyOnly,
    /// Verify, then migrate, then tell what that has mended.
    Repair,
}

/// What verification compares the target with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// What the journal recorded.
    Manifest,
    /// The backup itself.
    Source,
}

/// What verification after the copy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VerifyDepth {
    /// Content and metadata.
    Content,
    /// Metadata.
    Metadata,
    /// Nothing.
    None,
}

impl VerifyDepth {
    /// How deep a pass looks that takes place.
    fn depth(self) -> Depth {
        if self == Self::Metadata { Depth::Metadata } else { Depth::Content }
    }
}

/// Reads and resolves a plan; an error comes with its exit status.
pub(super) fn resolve(
    file: &Path,
    overrides: &Overrides,
    backup: Backup,
    color: bool,
) -> Result<Mapping, (String, Exit)> {
    let plan = Plan::read(file).map_err(|errors| (errors.render(color), Exit::Usage))?;
    plan.resolve(overrides, backup).map_err(|error| match error {
        ResolveError::Plan(errors) => (errors.render(color), Exit::Usage),
        ResolveError::IdMap(_) => (error.to_string(), Exit::Usage),
        ResolveError::Source { .. } | ResolveError::Root { .. } => (format!("refused: {error}"), Exit::Refused),
    })
}

/// Does the job.
#[must_use]
pub(super) fn start(job: Job) -> Exit {
    let stop = Stop::default();
    let signals = Signals::watch(&stop);
    // The journal knows what the target shall be: the machine that was moved can
    // verify itself without the backup.
    let backup = match (job.mode, job.against) {
        (Mode::VerifyOnly, Against::Manifest) => Backup::IfThere,
        _ => Backup::Needed,
    };
    let resolved = match resolve(&job.file, &job.overrides, backup, job.color) {
        Ok(resolved) => resolved,
        Err((message, Exit::Refused)) => return refuse(&job, None, vec![message]),
        Err((message, exit)) => return fail(&message, exit),
    };
    if job.verbose {
        print_text(&plan::table(&resolved));
    }
    let name = resolved.name.clone();
    if job.mode == Mode::Repair
        && let Some(refusals) = nothing_to_repair(&job, &resolved)
    {
        return refuse(&job, Some(name), refusals);
    }
    match job.mode {
        Mode::VerifyOnly => verify_only(&job, resolved, stop, &signals),
        Mode::DryRun | Mode::Migrate | Mode::Repair => {
            match preflight::check(resolved, &job.allow, job.means(), job.mode == Mode::DryRun, store_db::look) {
                Err(refusals) => refuse(&job, Some(name), refusals),
                Ok(cleared) if job.mode == Mode::DryRun => dry_run(&job, &cleared),
                Ok(cleared) => migrate(&job, cleared, stop, &signals),
            }
        }
    }
}

fn migrate(job: &Job, cleared: Cleared, stop: Stop, signals: &Signals) -> Exit {
    let notes = cleared.notes().to_vec();
    let (remap_ids, known, groups) = (cleared.remap_ids(), cleared.known().to_vec(), cleared.groups());
    let (resolved, source, size, location) = cleared.into_parts();
    let mut run = Run::new(resolved, job, stop);
    (run.remap_ids, run.known, run.groups) = (remap_ids, known, groups);
    notes.into_iter().for_each(|note| run.problems.note(note));
    run.look_at_patterns(&source);
    signals.expect_writes();
    let journal = match Journal::open(location, job.allow.restart) {
        Ok(journal) => Arc::new(journal),
        Err(error) => return fail(&error.to_string(), Exit::Refused),
    };
    let devices = run.devices();
    let progress = Progress::start(job.progress, &run.counters);
    run.expect(&size);
    let started = run.declare(&journal).and_then(|()| Writer::start(&journal, run.stop.clone()));
    let writer = match started {
        Ok(writer) => writer,
        Err(error) => return fail(&error.to_string(), Exit::Interrupted),
    };
    // A repair only looks at first: stopped by then, it has left no copy unfinished.
    run.announce(if job.mode == Mode::Repair { RunKind::Verify } else { RunKind::Copy }, &writer);
    run.heed(run.keep_atimes(job, &journal, &writer));
    run.keep_ids(job, &writer);
    if !may_chown() {
        // The kernel hides them from everybody else, so none of them can be named.
        run.problems.note("only root sees trusted.* attributes: if the source has any, they were not copied".into());
    }

    run.clear_leftovers(&journal, &writer);
    let mut repair = None;
    if job.mode == Mode::Repair {
        progress.phase(Phase::Verify);
        repair = Some(Repair::find(job, &run, &journal, &writer));
    }

    progress.phase(Phase::Copy);
    let file_systems = Arc::new(FileSystems::default());
    let by_copy = run.copy(job, source, &journal, &writer, &file_systems);
    run.heed_mounts(&devices);
    run.undeclared(&journal, &writer);
    run.clear_unfinished(&journal, &writer);
    run.end_copy(&journal, &writer);

    let medium = if run.stop.is_set() || job.verify == VerifyDepth::None {
        None
    } else {
        progress.phase(Phase::Verify);
        let depth = job.verify.depth();
        let medium = run.verify(job, &journal, &writer, (depth, Scope::Unverified), &run.problems);
        run.heed_mounts(&devices);
        medium
    };

    let mut fixups = Vec::new();
    if !run.stop.is_set() {
        fixups = run.fix_up(job, &journal, &writer, &by_copy, &file_systems);
    }
    if let Some(repair) = repair {
        repair.settle(&run, &journal, &writer);
    }
    run.settle_leftovers(&writer);
    let shortage = run.shortage(job, &journal, &writer);
    progress.finish();
    let mut report = run.report(job, medium, fixups);
    report.reason.extend(shortage);
    finish(job, run, writer, report)
}

fn verify_only(job: &Job, resolved: Mapping, stop: Stop, signals: &Signals) -> Exit {
    let name = resolved.name.clone();
    let location = match preflight::journal_of(&resolved, &job.allow) {
        Ok(location) => location,
        Err(refusals) => return refuse(job, Some(name), refusals),
    };
    match location.exists() {
        Ok(true) => {}
        Ok(false) => return refuse(job, Some(name), vec![unrecorded(&location)]),
        Err(error) => return refuse(job, Some(name), vec![error.to_string()]),
    }
    let mut run = Run::new(resolved, job, stop);
    match location.remapped_ids() {
        Ok(remapped) => run.remap_ids |= remapped,
        Err(error) => return refuse(job, Some(name), vec![error.to_string()]),
    }
    signals.expect_writes();
    let opened = Journal::open_to_verify(location, &run.target_names()).and_then(|(journal, names)| {
        run.names = names;
        Writer::start_to_verify(&journal, run.stop.clone()).map(|writer| (journal, writer))
    });
    let (journal, writer) = match opened {
        Ok(opened) => opened,
        Err(error) => return refuse(job, Some(name), vec![error.to_string()]),
    };
    run.announce(RunKind::Verify, &writer);
    let progress = Progress::start(job.progress, &run.counters);
    progress.phase(Phase::Verify);
    let depth = job.verify.depth();
    run.undeclared(&journal, &writer);
    run.incomplete(&journal);
    let medium = match job.against {
        Against::Manifest => run.verify(job, &journal, &writer, (depth, job.scope), &run.problems),
        Against::Source => run.compare(job, &journal, &writer, depth),
    };
    if !run.stop.is_set() {
        run.check_fixups(job, &journal);
    }
    run.nothing(&journal);
    progress.finish();
    let report = run.report(job, medium, Vec::new());
    finish(job, run, writer, report)
}

/// Why a repair cannot start: what is there is recorded nowhere.
fn nothing_to_repair(job: &Job, resolved: &Mapping) -> Option<preflight::Refusals> {
    match preflight::journal_of(resolved, &job.allow) {
        // A damaged journal is preflight's to report.
        Ok(location) => (!location.exists().unwrap_or(true)).then(|| vec![unrecorded(&location)]),
        Err(refusals) => Some(refusals),
    }
}

fn unrecorded(location: &Location) -> String {
    format!(
        "there is no journal of this plan at {}; run the plan first, or name its place with --state",
        location.database().display()
    )
}
