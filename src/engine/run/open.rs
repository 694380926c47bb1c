//! From a mapping to a run whose journal is open. Nothing else has been written at that point.

use super::copying::Copying;
use super::observer::Observer;
use super::options::{Against, Options, Task};
use super::refused::Refused;
use super::shared::{Began, SharedRun};
use crate::engine::context::RunContext;
use crate::engine::events::counters::Counters;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::{Problem, Problems};
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::events::refusal::Refusal;
use crate::engine::events::stop::Stop;
use crate::engine::journal::{Declared, Journal, JournalError, Location, Writer};
use crate::engine::mapping::model::{Entry, EntryKind, Mapping, Presence, Target};
use crate::engine::preflight::{self, ClearedParts, Purpose};
use crate::engine::verify::UsePolicy;
use crate::sys::root::Root;
use crate::sys::stat::{Kind, stat_fd};
use rustix::fs::OFlags;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a run does, with what only that needs.
pub(super) enum Work {
    Copy(Copying),
    Verify(Against),
}

/// What a run gathers before there is a journal.
struct Gathered {
    counters: Arc<Counters>,
    problems: Arc<Problems>,
    stop: Stop,
    rate_limit: RateLimit,
    began: Began,
}

impl Gathered {
    /// Begins with what the mapping itself says.
    fn of(mapping: &Mapping, options: &Options, stop: &Stop) -> Self {
        let problems = Arc::new(Problems::default());
        declared_problems(mapping, &problems);
        mapping.left_out().into_iter().for_each(|left_out| problems.note(Note::LeftOut(left_out)));
        Self {
            counters: Arc::new(Counters::new(mapping.targets.len())),
            problems,
            stop: stop.clone(),
            rate_limit: RateLimit::new(stop.clone(), options.rate),
            began: Began::now(),
        }
    }

    /// What all stages share from here on.
    fn context(self, mapping: Mapping, journal: Journal, writer: &Writer) -> RunContext {
        let Self { counters, problems, stop, rate_limit, .. } = self;
        let (mapping, journal) = (Arc::new(mapping), Arc::new(journal));
        let in_use = Arc::default();
        RunContext { mapping, journal, writer: writer.handle(), counters, problems, in_use, stop, rate_limit }
    }
}

pub(super) fn to_copy<'a>(
    mapping: Mapping,
    options: &'a Options,
    observer: &'a dyn Observer,
    stop: &Stop,
) -> Result<(SharedRun<'a>, Work), Refused> {
    if options.task.is_repair() {
        something_to_repair(&mapping, options)?;
    }
    let cleared = preflight::check(mapping, &options.allow, options.means(), Purpose::Copy, options.look);
    let ClearedParts { mapping, source, size, journal, notes, remap_ids, groups, known, in_place } =
        cleared.map_err(Refused::Preflight)?.into_parts();
    let found = Gathered::of(&mapping, options, stop);
    let began = found.began;
    notes.into_iter().for_each(|note| found.problems.note(note));
    add_left_out(&mapping, &source, &found.problems);
    observer.started(&found.counters);
    let journal = Journal::open(journal, options.allow.restart).map_err(Refused::Journal)?;
    let devices = preflight::devices(&mapping);
    let (entries, bytes) = size.sums();
    found.counters.expected_entries.store(entries, Relaxed);
    found.counters.expected_bytes.store(bytes, Relaxed);
    let (names, leftovers) = declare(&mapping, &journal).map_err(Refused::Unrecorded)?;
    let writer = Writer::start(&journal, stop.clone()).map_err(Refused::Unrecorded)?;
    let context = found.context(mapping, journal, &writer);
    let copying = Copying { source, groups, known, in_place, leftovers, devices, file_systems: Arc::default() };
    Ok((SharedRun { options, observer, context, writer, names, remap_ids, began }, Work::Copy(copying)))
}

pub(super) fn to_verify<'a>(
    mapping: Mapping,
    options: &'a Options,
    observer: &'a dyn Observer,
    stop: &Stop,
) -> Result<SharedRun<'a>, Refused> {
    let refuse = |error: JournalError| Refused::Preflight(vec![Refusal::Journal(error)]);
    let location = preflight::journal_of(&mapping, &options.allow).map_err(Refused::Preflight)?;
    if !location.exists().map_err(refuse)? {
        return Err(unrecorded(&location));
    }
    let found = Gathered::of(&mapping, options, stop);
    let began = found.began;
    let remap_ids = location.remapped_ids().map_err(refuse)? || options.allow.remap_ids;
    observer.started(&found.counters);
    let (journal, names) = Journal::open_to_verify(location, &target_names(&mapping)).map_err(refuse)?;
    let accepts = matches!(options.task, Task::Verify(Against::Manifest { in_use: UsePolicy::Accepted, .. }));
    if let (true, Some(error)) = (accepts, journal.unwritable()) {
        return Err(refuse(error.clone()));
    }
    // What is accepted must be recorded; what was verified may go without.
    let writer = if accepts { Writer::start } else { Writer::start_to_verify };
    let writer = writer(&journal, stop.clone()).map_err(refuse)?;
    let context = found.context(mapping, journal, &writer);
    Ok(SharedRun { options, observer, context, writer, names, remap_ids, began })
}

/// A repair cannot start if there is no record of what was copied.
fn something_to_repair(mapping: &Mapping, options: &Options) -> Result<(), Refused> {
    let location = preflight::journal_of(mapping, &options.allow).map_err(Refused::Preflight)?;
    // Preflight reports a damaged journal.
    if location.exists().unwrap_or(true) { Ok(()) } else { Err(unrecorded(&location)) }
}

fn unrecorded(location: &Location) -> Refused {
    Refused::Preflight(vec![Refusal::NoJournal(location.database())])
}

/// Entries that cannot be copied as they are declared, and damaged id maps.
fn declared_problems(mapping: &Mapping, problems: &Problems) {
    for target in &mapping.targets {
        for entry in &target.entries {
            if let Some(link) = entry.unasked_link() {
                problems.note(Note::Symlink(entry.dst.clone(), link.clone()));
            }
            let path = entry.dst.clone();
            let problem = match &entry.presence {
                Presence::Present | Presence::Absent => continue,
                Presence::WrongKind { found } => Problem::new(path, ProblemKind::Type, Detail::NotAsDeclared(found)),
                Presence::Unreadable { errno } => {
                    Problem::failed(path, ProblemKind::Unreadable, Operation::OpenEntry, *errno)
                }
            };
            problems.add(problem.in_target(&target.name));
        }
    }
    for warning in &mapping.id_warnings {
        let problem = Problem::new(Default::default(), ProblemKind::IdMap, Detail::Told(warning.clone()));
        problems.add(problem.about(warning.as_bytes()));
    }
}

/// Entries that the patterns leave out completely.
pub(super) fn add_left_out(mapping: &Mapping, source: &Root, problems: &Problems) {
    for problem in preflight::left_out(mapping, source) {
        problems.add(problem);
    }
}

fn target_names(mapping: &Mapping) -> Vec<String> {
    mapping.targets.iter().map(|target| target.name.clone()).collect()
}

/// Records the mapping before anything is copied. Returns the targets' names by the journal's
/// numbers, and whether an interrupted run may have left something.
fn declare(mapping: &Mapping, journal: &Journal) -> Result<(Vec<String>, bool), JournalError> {
    let entries = mapping.targets.iter().flat_map(|t| t.entries.iter().map(move |e| (t, e)));
    let source = Root::open(&mapping.source).ok();
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
    let leftovers = journal.expect_leftovers()?;
    Ok((journal.declare(&target_names(mapping), &entries)?, leftovers))
}
