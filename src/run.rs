//! One migration from top to bottom.

use crate::cli::{fail, print};
use crate::clock::{self, Moment};
use crate::copy::{Engine, Options, Parts};
use crate::durable::{Epochs, FileSystems, Surroundings};
use crate::exit::Exit;
use crate::journal::{Declared, Journal, Writer};
use crate::meta::Keep;
use crate::plan::resolved::{Presence, Resolved};
use crate::plan::{self, Overrides, Plan, ResolveError};
use crate::preflight::{self, Allow, Cleared};
use crate::problem::{Problem, ProblemKind, Problems};
use crate::progress::counters::Counters;
use crate::progress::{Phase, Progress, Style};
use crate::report::{self, Report, human};
use crate::stop::{Reason, Stop};
use crate::sys::filesystem::may_chown;
use crate::verify::{self, Depth, Verifier, WorstMedium};
use crate::{extras, fixup, shell, shortage};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What the user asked for.
#[derive(Debug)]
pub struct Job {
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
    /// Keep access times.
    pub atime: bool,
    /// Threads of the pools.
    pub threads: usize,
    /// The limit of open files.
    pub open_files: u64,
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

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Copy, make durable, verify, fix up.
    Migrate,
    /// Say what would be copied.
    DryRun,
    /// Verify what the journal lists.
    VerifyOnly,
}

/// What verification after the copy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyDepth {
    /// Content and metadata.
    Content,
    /// Metadata.
    Metadata,
    /// Nothing.
    None,
}

/// Reads and resolves a plan; an error comes with its exit status.
pub fn resolve(file: &Path, overrides: &Overrides, color: bool) -> Result<Resolved, (String, Exit)> {
    let plan = Plan::read(file).map_err(|errors| (errors.render(color), Exit::Usage))?;
    plan.resolve(overrides).map_err(|error| match error {
        ResolveError::Plan(errors) => (errors.render(color), Exit::Usage),
        ResolveError::IdMap(_) => (error.to_string(), Exit::Usage),
        ResolveError::Source { .. } => (format!("refused: {error}"), Exit::Refused),
    })
}

/// Does the job.
#[must_use]
pub fn start(job: Job) -> Exit {
    let resolved = match resolve(&job.file, &job.overrides, job.color) {
        Ok(resolved) => resolved,
        Err((message, Exit::Refused)) => return refuse(&job, None, vec![message]),
        Err((message, exit)) => return fail(&message, exit),
    };
    if job.verbose {
        print(&plan::table(&resolved));
    }
    let name = resolved.name.clone();
    match job.mode {
        Mode::VerifyOnly => verify_only(&job, resolved),
        Mode::DryRun | Mode::Migrate => match preflight::check(resolved, &job.allow, job.threads) {
            Err(refusals) => refuse(&job, Some(name), refusals),
            Ok(cleared) if job.mode == Mode::DryRun => print(&dry_run(&cleared)),
            Ok(cleared) => migrate(&job, cleared),
        },
    }
}

fn migrate(job: &Job, cleared: Cleared) -> Exit {
    let (resolved, source, surveys, location) = cleared.into_parts();
    let mut run = Run::new(resolved);
    let journal = match Journal::open(location, job.allow.restart) {
        Ok(journal) => Arc::new(journal),
        Err(error) => return fail(&error.to_string(), Exit::Refused),
    };
    let progress = Progress::start(job.progress, &run.counters);
    run.expect(&surveys);
    watch_signals(&run.stop);
    let started = run.declare(&journal).and_then(|()| Writer::start(&journal, run.stop.clone()));
    let writer = match started {
        Ok(writer) => writer,
        Err(error) => return fail(&error.to_string(), Exit::Interrupted),
    };
    run.announce(&writer);
    if !may_chown() {
        // The kernel hides them from everybody else, so none of them can be named.
        run.problems.note("only root sees trusted.* attributes: if the source has any, they were not copied".into());
    }

    progress.phase(Phase::Copy);
    let file_systems = Arc::new(FileSystems::default());
    let by_copy = run.copy(job, source, &journal, &writer, &file_systems);
    run.extras(&journal, &writer);
    run.clear_unfinished(&journal, &writer);

    let medium = if run.stop.is_set() || job.verify == VerifyDepth::None {
        None
    } else {
        progress.phase(Phase::Verify);
        let depth = if job.verify == VerifyDepth::Content { Depth::Content } else { Depth::Metadata };
        run.verify(job, &journal, &writer, depth, true)
    };

    let mut fixups = Vec::new();
    if !run.stop.is_set() {
        fixups = fixup::apply(&run.plan, !job.allow.no_owner, &by_copy, &run.problems);
        run.sync(&file_systems);
    }
    let shortage = run.shortage(job, &journal, &writer);
    progress.finish();
    let mut report = run.report(job, medium, fixups);
    report.reason.extend(shortage);
    finish(job, run, writer, report)
}

fn verify_only(job: &Job, resolved: Resolved) -> Exit {
    let location = match preflight::journal_of(&resolved, &job.allow) {
        Ok(location) => location,
        Err(refusals) => return refuse(job, Some(resolved.name), refusals),
    };
    let missing = || {
        format!(
            "there is no journal of this plan at {}; run the plan first, or name its place with --state",
            location.database().display()
        )
    };
    match location.exists() {
        Ok(true) => {}
        Ok(false) => return refuse(job, Some(resolved.name.clone()), vec![missing()]),
        Err(error) => return refuse(job, Some(resolved.name.clone()), vec![error.to_string()]),
    }
    let mut run = Run::new(resolved);
    let opened = Journal::open(location.clone(), false).and_then(|journal| {
        run.declare(&journal)?;
        Writer::start(&journal, run.stop.clone()).map(|writer| (journal, writer))
    });
    let (journal, writer) = match opened {
        Ok(opened) => opened,
        Err(error) => return refuse(job, Some(run.plan.name.clone()), vec![error.to_string()]),
    };
    watch_signals(&run.stop);
    run.announce(&writer);
    let progress = Progress::start(job.progress, &run.counters);
    progress.phase(Phase::Verify);
    let depth = if job.verify == VerifyDepth::Metadata { Depth::Metadata } else { Depth::Content };
    run.extras(&journal, &writer);
    let medium = run.verify(job, &journal, &writer, depth, false);
    if !run.stop.is_set() {
        fixup::check(&run.plan, !job.allow.no_owner, &run.problems);
    }
    progress.finish();
    let report = run.report(job, medium, Vec::new());
    finish(job, run, writer, report)
}

/// What all stages of one run share.
struct Run {
    plan: Arc<Resolved>,
    counters: Arc<Counters>,
    problems: Arc<Problems>,
    stop: Stop,
    started: Moment,
    clock: Instant,
    /// Names of the targets by the journal's numbers: the plan's, then those that it no longer has.
    names: Vec<String>,
}

impl Run {
    fn new(resolved: Resolved) -> Self {
        let run = Self {
            counters: Arc::new(Counters::new(resolved.targets.len())),
            plan: Arc::new(resolved),
            problems: Arc::new(Problems::default()),
            stop: Stop::default(),
            started: clock::now(),
            clock: Instant::now(),
            names: Vec::new(),
        };
        run.declared_problems();
        run
    }

    /// Entries that cannot be copied as they are declared, and damaged id maps.
    fn declared_problems(&self) {
        for target in &self.plan.targets {
            for entry in &target.entries {
                let (kind, message) = match &entry.presence {
                    Presence::Present | Presence::Absent => continue,
                    Presence::WrongKind { found } => {
                        (ProblemKind::Type, format!("{found} in the backup, not what the plan declares; not copied"))
                    }
                    Presence::Unreadable { why } => (ProblemKind::Unreadable, format!("open the entry: {why}")),
                };
                let problem = Problem::new(entry.dst.clone(), kind, message);
                self.problems.add(problem.in_target(&target.name));
            }
        }
        for warning in &self.plan.id_warnings {
            let problem = Problem::new(Default::default(), ProblemKind::IdMap, warning.clone());
            self.problems.add(problem.about(warning.as_bytes()));
        }
    }

    fn expect(&self, surveys: &[crate::survey::Survey]) {
        self.counters.expected_bytes.store(surveys.iter().map(|s| s.bytes.min(s.allocated)).sum(), Relaxed);
        self.counters.expected_entries.store(surveys.iter().map(|s| s.entries).sum(), Relaxed);
    }

    /// Records the plan before anything is copied.
    fn declare(&mut self, journal: &Journal) -> Result<(), crate::journal::JournalError> {
        let targets: Vec<String> = self.plan.targets.iter().map(|t| t.name.clone()).collect();
        let entries = self.plan.targets.iter().flat_map(|t| t.entries.iter().map(move |e| (t, e)));
        let entries: Vec<Declared> =
            entries.map(|(t, e)| Declared { target: t.name.clone(), src: e.src.clone(), dst: e.dst.clone() }).collect();
        self.names = journal.declare(&targets, &entries)?;
        Ok(())
    }

    fn extras(&self, journal: &Journal, writer: &Writer) {
        if !self.stop.is_set()
            && let Err(error) = extras::report(&self.plan, journal, &writer.handle(), &self.problems)
        {
            verify::stop_on(&error, &self.stop);
        }
    }

    fn clear_unfinished(&self, journal: &Journal, writer: &Writer) {
        if !self.stop.is_set()
            && let Err(error) = extras::clear_unfinished(&self.plan, journal, &writer.handle(), &self.problems)
        {
            verify::stop_on(&error, &self.stop);
        }
    }

    fn announce(&self, writer: &Writer) {
        let handle = writer.handle();
        handle.meta("plan", self.plan.name.clone());
        handle.meta("source", self.plan.source.to_string_lossy().into_owned());
        handle.meta("root", self.plan.root.to_string_lossy().into_owned());
        handle.run_started(self.started.rfc3339(), concat!("persistcp ", env!("CARGO_PKG_VERSION")).into());
    }

    /// Copies, and returns when the last epoch is sealed. Gives the fixups that
    /// the copy has put on something.
    fn copy(
        &self,
        job: &Job,
        source: crate::sys::root::Root,
        journal: &Arc<Journal>,
        writer: &Writer,
        file_systems: &Arc<FileSystems>,
    ) -> Vec<bool> {
        let epochs = Epochs::start(Surroundings {
            file_systems: Arc::clone(file_systems),
            journal: writer.handle(),
            counters: Arc::clone(&self.counters),
            problems: Arc::clone(&self.problems),
            stop: self.stop.clone(),
        });
        let epochs = match epochs {
            Ok(epochs) => epochs,
            Err(error) => {
                self.stop.set(Reason::Fatal(format!("cannot start a thread: {error}")));
                return Vec::new();
            }
        };
        let engine = Engine::new(Parts {
            plan: Arc::clone(&self.plan),
            source,
            journal: Arc::clone(journal),
            file_systems: Arc::clone(file_systems),
            submit: epochs.submit(),
            counters: Arc::clone(&self.counters),
            problems: Arc::clone(&self.problems),
            stop: self.stop.clone(),
            options: Options {
                keep: Keep { owner: !job.allow.no_owner, atime: job.atime },
                cross_mounts: job.allow.cross_mounts,
                threads: job.threads,
                open_files: job.open_files,
            },
        });
        let copied = engine.map_err(|e| e.to_string()).and_then(Engine::run);
        epochs.finish(&self.stop);
        copied.unwrap_or_else(|error| {
            self.stop.set(Reason::Fatal(error));
            Vec::new()
        })
    }

    fn verify(
        &self,
        job: &Job,
        journal: &Journal,
        writer: &Writer,
        depth: Depth,
        unverified_only: bool,
    ) -> Option<verify::Medium> {
        let verifier = Verifier {
            root: self.plan.root.clone(),
            targets: self.names.clone(),
            depth,
            unverified_only,
            threads: job.threads,
            counters: Arc::clone(&self.counters),
            problems: Arc::clone(&self.problems),
            stop: self.stop.clone(),
            journal: writer.handle(),
            medium: WorstMedium::default(),
            readers: Mutex::default(),
        };
        if let Err(error) = verifier.run(journal) {
            verify::stop_on(&error, &self.stop);
        }
        verifier.medium.get()
    }

    /// Makes the fixups durable.
    fn sync(&self, file_systems: &FileSystems) {
        if let Err(errno) = file_systems.sync_all() {
            let words = crate::sys::errno_words(errno);
            self.stop.set(Reason::Fatal(format!("the fixups could not be made durable (syncfs: {words})")));
        }
    }

    /// How much room is missing, when that is why the run stopped.
    fn shortage(&self, job: &Job, journal: &Journal, writer: &Writer) -> Option<String> {
        let Some(Reason::Full(_, full)) = self.stop.reason() else { return None };
        writer.handle().flush();
        shortage::words(&self.plan, full, journal, job.threads, job.allow.cross_mounts)
    }

    fn report(&self, job: &Job, medium: Option<verify::Medium>, fixups: Vec<fixup::Outcome>) -> Report {
        let (problems, problem_count, notes) = self.problems.take();
        let (totals, targets) =
            report::totals(&self.plan, &self.counters, &problems, self.clock.elapsed().as_secs_f64());
        let (outcome, reason) = match self.stop.reason() {
            Some(Reason::Signal) => (Exit::Interrupted, vec!["a signal asked to stop".to_string()]),
            Some(Reason::Fatal(why) | Reason::Full(why, _)) => (Exit::Interrupted, vec![why]),
            None if problem_count > 0 => (Exit::Problems, Vec::new()),
            None => (Exit::Ok, Vec::new()),
        };
        Report {
            plan: self.plan.name.clone(),
            source: self.plan.source.to_string_lossy().into_owned(),
            root: self.plan.root.to_string_lossy().into_owned(),
            started: self.started.rfc3339(),
            ended: clock::now().rfc3339(),
            outcome,
            reason,
            totals,
            targets,
            medium,
            problems,
            problem_count,
            notes,
            absent: if job.mode == Mode::VerifyOnly { Vec::new() } else { report::absent(&self.plan) },
            fixups,
            ids: self.plan.drift.clone(),
            resume: (outcome == Exit::Interrupted).then(shell::this_command),
        }
    }
}

/// Records the report, ends the journal, and tells.
fn finish(job: &Job, run: Run, writer: Writer, mut report: Report) -> Exit {
    let json = report::json(&report);
    writer.handle().run_ended(report.ended.clone(), report.outcome.word(), json.to_string());
    if let Err(error) = writer.finish() {
        report.outcome = Exit::Interrupted;
        if !report.reason.contains(&error.to_string()) {
            report.reason.push(error.to_string());
        }
        report.resume.get_or_insert_with(shell::this_command);
    }
    drop(run);
    tell(job, &report)
}

fn tell(job: &Job, report: &Report) -> Exit {
    if let Some(file) = &job.report
        && let Err(error) = std::fs::write(file, format!("{:#}\n", report::json(report)))
    {
        fail(&format!("{}: cannot write the report: {error}", file.display()), report.outcome);
        return report.outcome.max(Exit::Problems);
    }
    if !(job.quiet && report.outcome == Exit::Ok) {
        print(&report::text(report));
    }
    report.outcome
}

fn refuse(job: &Job, plan: Option<String>, reasons: Vec<String>) -> Exit {
    for reason in &reasons {
        fail(reason, Exit::Refused);
    }
    let now = clock::now().rfc3339();
    let path = |path: &Option<PathBuf>| path.as_ref().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    let report = Report {
        plan: plan.unwrap_or_else(|| job.file.display().to_string()),
        source: path(&job.overrides.source),
        root: path(&job.overrides.root),
        started: now.clone(),
        ended: now,
        outcome: Exit::Refused,
        reason: reasons,
        totals: report::Totals::default(),
        targets: Vec::new(),
        medium: None,
        problems: Vec::new(),
        problem_count: 0,
        notes: Vec::new(),
        absent: Vec::new(),
        fixups: Vec::new(),
        ids: Vec::new(),
        resume: None,
    };
    if let Some(file) = &job.report
        && let Err(error) = std::fs::write(file, format!("{:#}\n", report::json(&report)))
    {
        fail(&format!("{}: cannot write the report: {error}", file.display()), Exit::Refused);
    }
    fail("refused, nothing was written", Exit::Refused)
}

fn dry_run(cleared: &Cleared) -> String {
    let mut out = plan::table(cleared.plan());
    out.push_str("\nwould copy:\n");
    for (target, survey) in cleared.plan().targets.iter().zip(cleared.surveys()) {
        out.push_str(&format!(
            "  {:<10} {:>9} entries, {:>9} files, {} ({} allocated)\n",
            target.name,
            human::count(survey.entries),
            human::count(survey.files),
            human::bytes(survey.bytes),
            human::bytes(survey.allocated)
        ));
    }
    out.push_str("dry run: nothing was written\n");
    out
}

/// The first signal ends the run after its epoch; the second ends it at once,
/// which is as safe as a power cut.
fn watch_signals(stop: &Stop) {
    let stop = stop.clone();
    let handler = move || {
        if stop.set(Reason::Signal) {
            fail("stopping after the current epoch; once more to stop at once", Exit::Interrupted);
        } else {
            std::process::exit(Exit::Interrupted as i32);
        }
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        fail(&format!("signals cannot be caught ({error}); an interrupted run can be resumed all the same"), Exit::Ok);
    }
}
