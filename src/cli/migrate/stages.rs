//! What the stages of a run share, and each stage.

use super::{Job, Mode};
use crate::base::clock::Moment;
use crate::base::exit::Exit;
use crate::base::path::RelPath;
use crate::base::{clock, human, shell};
use crate::engine::against::Comparison;
use crate::engine::content::medium::Medium;
use crate::engine::content::medium::WorstMedium;
use crate::engine::copy::{Engine, History, Options, Parts};
use crate::engine::events::counters::Counters;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::{Problem, Problems};
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::events::stop::{Reason, Stop};
use crate::engine::groups::Groups;
use crate::engine::journal::epoch::{Epochs, FileSystems, Surroundings};
use crate::engine::journal::{Declared, Journal, JournalError, Reader, RunKind, Writer};
use crate::engine::mapping::model::{Drift, Entry, EntryKind, Mapping, Presence, Target};
use crate::engine::meta::{Keep, Owners};
use crate::engine::preflight::{Allow, Size};
use crate::engine::report::Report;
use crate::engine::verify::{Depth, Mend, Scope, Verifier};
use crate::engine::{completeness, disk_full, fixup, leftovers, preflight, report, undeclared, verify};
use crate::plan::id_conflict_words;
use crate::sys::root::Root;
use crate::sys::stat::{Kind, stat_fd};
use rustix::fs::OFlags;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What all stages of one run share.
pub(super) struct Run {
    pub(super) plan: Arc<Mapping>,
    pub(super) counters: Arc<Counters>,
    pub(super) problems: Arc<Problems>,
    pub(super) stop: Stop,
    /// Copying and reading back share one limit.
    rate_limit: RateLimit,
    started: Moment,
    clock: Instant,
    /// Names of the targets by the journal's numbers: the plan's, then those that it no longer has.
    pub(super) names: Vec<String>,
    /// Owners get the target's numbers: by this run's wish or an earlier one's.
    pub(super) remap_ids: bool,
    /// Which names are links of one another.
    pub(super) groups: Arc<Groups>,
    /// Something may be on the target that an interrupted run left.
    leftovers: bool,
    /// For each target, whether an earlier run had anything to copy there.
    pub(super) known: Vec<bool>,
}

impl Run {
    pub(super) fn new(resolved: Mapping, job: &Job, stop: Stop) -> Self {
        let run = Self {
            counters: Arc::new(Counters::new(resolved.targets.len())),
            plan: Arc::new(resolved),
            problems: Arc::new(Problems::default()),
            rate_limit: RateLimit::new(stop.clone(), job.bwlimit),
            stop,
            started: clock::now(),
            clock: Instant::now(),
            names: Vec::new(),
            remap_ids: job.allow.remap_ids,
            groups: Arc::default(),
            leftovers: false,
            known: Vec::new(),
        };
        run.declared_problems();
        run.plan.left_out().iter().for_each(|left_out| run.problems.note(left_out.words()));
        run
    }

    /// Entries that cannot be copied as they are declared, and damaged id maps.
    fn declared_problems(&self) {
        for target in &self.plan.targets {
            for entry in &target.entries {
                entry.link_note().into_iter().for_each(|note| self.problems.note(note));
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

    /// Entries of which the patterns leave nothing.
    pub(super) fn look_at_patterns(&self, source: &Root) {
        for problem in preflight::left_out(&self.plan, source) {
            self.problems.add(problem);
        }
    }

    pub(super) fn expect(&self, size: &Size) {
        let (entries, bytes) = size.sums();
        self.counters.expected_entries.store(entries, Relaxed);
        self.counters.expected_bytes.store(bytes, Relaxed);
    }

    /// A journal that cannot be read ends the run.
    pub(super) fn heed(&self, done: Result<(), JournalError>) {
        if let Err(error) = done {
            verify::stop_on(&error, &self.stop);
        }
    }

    pub(super) fn target_names(&self) -> Vec<String> {
        self.plan.targets.iter().map(|target| target.name.clone()).collect()
    }

    /// Records the plan before anything is copied.
    pub(super) fn declare(&mut self, journal: &Journal) -> Result<(), JournalError> {
        let targets = self.target_names();
        let entries = self.plan.targets.iter().flat_map(|t| t.entries.iter().map(move |e| (t, e)));
        let source = Root::open(&self.plan.source).ok();
        // Sockets are not copied, wherever they are.
        let is_socket = |entry: &Entry| {
            let found = source.as_ref().and_then(|source| source.open_in(&entry.src, OFlags::PATH).ok());
            entry.kind != EntryKind::Directory
                && found.and_then(|fd| stat_fd(fd).ok()).is_some_and(|stat| stat.kind == Kind::Socket)
        };
        let declared = |(t, e): (&Target, &Entry)| Declared {
            target: t.name.clone(),
            src: e.src.clone(),
            dst: e.dst.clone(),
            need: e.need,
            present: e.presence != Presence::Absent && !is_socket(e),
        };
        let entries: Vec<Declared> = entries.map(declared).collect();
        self.leftovers = journal.expect_leftovers()?;
        self.names = journal.declare(&targets, &entries)?;
        Ok(())
    }

    /// Removes what interrupted runs left, if the last one has not said that there is nothing.
    pub(super) fn clear_leftovers(&mut self, journal: &Journal, writer: &Writer) {
        if self.leftovers && !self.stop.is_set() {
            match leftovers::clear(&self.plan, journal, &writer.handle(), &self.problems, &self.stop) {
                Ok(all_gone) => self.leftovers = !all_gone,
                Err(error) => verify::stop_on(&error, &self.stop),
            }
        }
    }

    /// The device number that each target lies on, or why that cannot be told.
    pub(super) fn devices(&self) -> Vec<Result<u64, String>> {
        self.plan.targets.iter().map(|target| preflight::device(&self.plan, target)).collect()
    }

    /// What is not mounted any more has lost nothing: instead of a problem for each entry
    /// the run ends. `before` is from its beginning.
    pub(super) fn heed_mounts(&self, before: &[Result<u64, String>]) {
        for ((target, before), now) in self.plan.targets.iter().zip(before).zip(self.devices()) {
            let Ok(before) = before else { continue };
            let why = match now {
                Ok(now) if now == *before => continue,
                Ok(_) => String::new(),
                Err(why) => format!(" ({why})"),
            };
            self.stop.set(Reason::Fatal(format!(
                "the target {}{} is not mounted any more, or something else is mounted over it{why}; \
                 mount it as before, then run the same command again",
                self.plan.root.display(),
                target.to
            )));
        }
    }

    /// Tells the next run whether it has to look for leftovers of this one: a failed
    /// operation on the target may have left a temporary name.
    pub(super) fn settle_leftovers(&self, writer: &Writer) {
        if !self.leftovers && !self.stop.is_set() && !self.problems.has(ProblemKind::Io) {
            writer.handle().no_leftovers();
        }
    }

    pub(super) fn undeclared(&self, journal: &Journal, writer: &Writer) {
        if !self.stop.is_set() {
            self.heed(undeclared::report(&self.plan, journal, &writer.handle(), &self.problems));
        }
    }

    pub(super) fn clear_unfinished(&self, journal: &Journal, writer: &Writer) {
        if !self.stop.is_set() {
            self.heed(leftovers::clear_unfinished(&self.plan, journal, &writer.handle(), &self.problems));
        }
    }

    /// Reports what the rows do not: a copy that is not whole.
    pub(super) fn incomplete(&self, journal: &Journal) {
        self.heed(completeness::report(&self.plan, &self.names, journal, &self.problems));
    }

    /// Reports that nothing was verified, where nothing else says why.
    pub(super) fn nothing(&self, journal: &Journal) {
        if !self.stop.is_set() {
            self.heed(completeness::nothing(journal, &self.problems));
        }
    }

    /// The threads that copy are there: from here on the run copies, and what it cannot copy or keep is recorded.
    fn begin_copy(&self, journal: &Journal, writer: &Writer) {
        if self.stop.is_set() {
            return;
        }
        let past = journal.past();
        if past.began.is_none() && !past.ended {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            writer.handle().meta("began", format!("{}.{:09}", now.as_secs(), now.subsec_nanos()));
        }
        writer.handle().copying(shell::this_command(), self.counters.expected_entries.load(Relaxed));
        let handle = writer.handle();
        self.problems.begin_record(move |problems| handle.problems(problems));
    }

    /// The copy has come to its end, unless the run was stopped. What verification finds,
    /// every later one finds again.
    pub(super) fn end_copy(&self, journal: &Journal, writer: &Writer) {
        if !self.stop.is_set() {
            self.problems.record_waiting();
            writer.handle().flush();
            self.heed(completeness::entries(journal, &self.problems));
        }
        self.problems.end_record();
        if !self.stop.is_set() {
            writer.handle().copied(clock::now().rfc3339());
        }
    }

    pub(super) fn announce(&self, kind: RunKind, writer: &Writer) {
        let handle = writer.handle();
        handle.meta("plan", self.plan.name.clone());
        // A plan that verifies alone need not name one.
        if !self.plan.source.as_os_str().is_empty() {
            handle.meta("source", self.plan.source.to_string_lossy().into_owned());
        }
        handle.meta("root", self.plan.root.to_string_lossy().into_owned());
        handle.run_started(kind, self.started.rfc3339(), concat!("persistcp ", env!("CARGO_PKG_VERSION")).into());
    }

    /// Rows do not hold access times: what an earlier run finished without them is
    /// not told from what has them, so a later wish for them is said to be unmet.
    pub(super) fn keep_atimes(&self, job: &Job, journal: &Journal, writer: &Writer) -> Result<(), JournalError> {
        let kept = !journal.resumed() || journal.reader()?.meta("atime")?.as_deref() == Some("kept");
        writer.handle().meta("atime", if job.atime && kept { "kept" } else { "not kept" }.into());
        if job.atime && !kept {
            let message = "entries that earlier runs finished without --atime are left as they are; \
                           --restart copies them again";
            self.problems.add(Problem::new(RelPath::root(), ProblemKind::Atime, message));
        }
        Ok(())
    }

    /// Records that owners get the target's numbers, and says so where only an earlier run was asked to.
    pub(super) fn keep_ids(&self, job: &Job, writer: &Writer) {
        if self.remap_ids && !job.allow.no_owner {
            writer.handle().remaps_ids();
        }
        if self.remap_ids && !job.allow.remap_ids && !self.plan.drift.is_empty() {
            let note =
                "owners get the target's numbers, as an earlier run with --remap-ids began; --restart begins anew";
            self.problems.note(note.into());
        }
    }

    /// Copies, and returns when the last epoch is sealed. Gives the fixups that
    /// the copy has put on something.
    pub(super) fn copy(
        &self,
        job: &Job,
        source: Arc<Root>,
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
            writer: writer.handle(),
            counters: Arc::clone(&self.counters),
            problems: Arc::clone(&self.problems),
            stop: self.stop.clone(),
            rate_limit: self.rate_limit.clone(),
            groups: Arc::clone(&self.groups),
            options: Options {
                keep: Keep { owner: self.owners(job), atime: job.atime },
                cross_mounts: job.allow.cross_mounts,
                overwrite: job.allow.overwrite,
                histories: self.histories(job, journal),
                threads: job.threads,
                open_files: job.open_files,
            },
        });
        let copied =
            engine.map_err(|e| e.to_string()).and_then(|engine| engine.run(|| self.begin_copy(journal, writer)));
        epochs.finish(&self.stop);
        copied.unwrap_or_else(|error| {
            self.stop.set(Reason::Fatal(error));
            Vec::new()
        })
    }

    fn histories(&self, job: &Job, journal: &Journal) -> Vec<History> {
        let past = journal.past();
        let history = |known: &bool| History {
            first: !known || !past.ended,
            began: past.began,
            interrupted: past.interrupted,
            restarted: job.allow.restart || past.restarted,
        };
        self.known.iter().map(history).collect()
    }

    fn owners(&self, job: &Job) -> Owners {
        match job.allow {
            Allow { no_owner: true, .. } => Owners::Left,
            _ if self.remap_ids => Owners::Renumbered(Arc::new(self.plan.renumbering.clone())),
            _ => Owners::Kept,
        }
    }

    /// Verifies what the journal lists; differences go to `problems`.
    pub(super) fn verify(
        &self,
        job: &Job,
        journal: &Journal,
        writer: &Writer,
        (depth, scope): (Depth, Scope),
        problems: &Arc<Problems>,
    ) -> Option<Medium> {
        let mend = match (job.mode, scope) {
            (Mode::Repair, Scope::All) if job.allow.overwrite => Mend::Everything,
            (Mode::Repair, Scope::All) => Mend::Attributes,
            _ => Mend::Damage,
        };
        let verifier = Verifier { mend, ..self.verifier(job, journal, writer, (depth, scope), problems)? };
        self.heed(verifier.run(journal));
        let left_out = verifier.left_out.into_inner();
        if left_out > 0 {
            problems.note(format!(
                "{} entries were verified before and have not changed since; --since left them out",
                human::count(left_out)
            ));
        }
        verifier.medium.get()
    }

    /// Compares the target with the backup itself.
    pub(super) fn compare(&self, job: &Job, journal: &Journal, writer: &Writer, depth: Depth) -> Option<Medium> {
        let verifier = self.verifier(job, journal, writer, (depth, Scope::All), &self.problems)?;
        let source = match Root::open(&self.plan.source) {
            Ok(source) => Arc::new(source),
            Err(errno) => {
                let (source, words) = (self.plan.source.display(), crate::sys::errno_words(errno));
                self.stop.set(Reason::Fatal(format!("the source {source} cannot be opened: {words}")));
                return None;
            }
        };
        self.look_at_patterns(&source);
        let owners = !job.allow.no_owner;
        let groups = Groups::of(&self.plan, &source, job.means(), job.allow.cross_mounts, owners);
        let groups = groups.unwrap_or_else(|contradictions| {
            // A run would be refused for them.
            for words in contradictions {
                self.problems.add(Problem::new(RelPath::root(), ProblemKind::Fixup, words));
            }
            Groups::default()
        });
        let comparison = Comparison {
            groups: &groups,
            verifier: &verifier,
            source: &source,
            keep: Keep { owner: self.owners(job), atime: false },
            cross_mounts: job.allow.cross_mounts,
            means: job.means(),
        };
        self.heed(comparison.run(journal));
        verifier.medium.get()
    }

    fn verifier(
        &self,
        job: &Job,
        journal: &Journal,
        writer: &Writer,
        (depth, scope): (Depth, Scope),
        problems: &Arc<Problems>,
    ) -> Option<Verifier> {
        let owned = journal.declared().map_err(|error| verify::stop_on(&error, &self.stop)).ok()?;
        Some(Verifier {
            plan: Arc::clone(&self.plan),
            targets: self.names.clone(),
            owned: owned.into_iter().map(|entry| entry.dst).collect(),
            state: Some(journal.directory_id().map_err(|error| verify::stop_on(&error, &self.stop)).ok()?),
            depth,
            scope,
            mend: Mend::Damage,
            left_out: AtomicU64::default(),
            threads: job.threads,
            counters: Arc::clone(&self.counters),
            problems: Arc::clone(problems),
            stop: self.stop.clone(),
            rate_limit: self.rate_limit.clone(),
            journal: writer.handle(),
            medium: WorstMedium::default(),
            readers: Mutex::default(),
        })
    }

    /// Applies the fixups, and records what they changed once that is durable.
    pub(super) fn fix_up(
        &self,
        job: &Job,
        journal: &Journal,
        writer: &Writer,
        by_copy: &[bool],
        file_systems: &FileSystems,
    ) -> Vec<fixup::Outcome> {
        writer.handle().flush();
        let reader = match journal.reader() {
            Ok(reader) => reader,
            Err(error) => {
                verify::stop_on(&error, &self.stop);
                return Vec::new();
            }
        };
        let applied = fixup::apply(self.fixup_means(job, &reader), by_copy);
        self.sync(file_systems);
        if !self.stop.is_set() {
            writer.handle().fixed(applied.fixed);
            writer.handle().meta(fixup::FIXED, applied.paths);
        }
        applied.outcomes
    }

    pub(super) fn check_fixups(&self, job: &Job, journal: &Journal) {
        match journal.reader() {
            Ok(reader) => fixup::check(self.fixup_means(job, &reader)),
            Err(error) => verify::stop_on(&error, &self.stop),
        }
    }

    fn fixup_means<'a>(&'a self, job: &Job, reader: &'a Reader) -> fixup::Means<'a> {
        fixup::Means {
            plan: &self.plan,
            owners: !job.allow.no_owner,
            repair: job.mode == Mode::Repair,
            journal: Some(reader),
            problems: &self.problems,
        }
    }

    /// Makes the fixups durable.
    fn sync(&self, file_systems: &FileSystems) {
        if let Err(errno) = file_systems.sync_all() {
            let words = crate::sys::errno_words(errno);
            self.stop.set(Reason::Fatal(format!("the fixups could not be made durable (syncfs: {words})")));
        }
    }

    /// How much room is missing, when that is why the run stopped.
    pub(super) fn shortage(&self, job: &Job, journal: &Journal, writer: &Writer) -> Option<String> {
        let Some(Reason::Full(_, full)) = self.stop.reason() else { return None };
        writer.handle().flush();
        disk_full::words(&self.plan, full, journal, job.means(), job.allow.cross_mounts)
    }

    pub(super) fn report(&self, job: &Job, medium: Option<Medium>, fixups: Vec<fixup::Outcome>) -> Report {
        let (problems, problem_count, mut notes) = self.problems.take();
        notes.extend(self.plan.id_conflicts.iter().map(id_conflict_words));
        notes.extend(self.plan.id_notes.iter().cloned());
        let remapped = self.remap_ids;
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
            ids: self.plan.drift.iter().map(|drift| Drift { remapped, ..drift.clone() }).collect(),
            resume: (outcome == Exit::Interrupted).then(shell::this_command),
        }
    }
}
