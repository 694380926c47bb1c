//! The library as a caller sees it, without the command line.

use super::{Against, Allow, Mapping, Observer, Options, Phase, Refused, Stop, Task, run};
use crate::engine::events::counters::Counters;
use crate::engine::events::refusal::Refusal;
use crate::engine::events::stop::StopReason;
use crate::engine::report::Outcome;
use crate::engine::verify::UsePolicy;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A source with one file, and a destination for its copy.
struct OneFile {
    _dir: TempDir,
    from: PathBuf,
    to: PathBuf,
}

impl OneFile {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, disk) = (dir.path().join("from"), dir.path().join("disk"));
        std::fs::create_dir(&from).expect("the source");
        std::fs::create_dir(&disk).expect("the target's root");
        std::fs::write(from.join("file"), "content").expect("a file");
        Self { from, to: disk.join("to"), _dir: dir }
    }

    fn mapping(&self) -> Mapping {
        Mapping::directory("test", &self.from, &self.to).expect("a good mapping")
    }
}

fn options(task: Task) -> Options {
    let allow = Allow { volatile: true, no_owner: true, ..Allow::default() };
    Options { task, allow, threads: 2, command: Some("again".into()), ..Options::default() }
}

const VERIFY: Task = Task::Verify(Against::Manifest { since: None, in_use: UsePolicy::Problems });

/// Remembers what it is told.
#[derive(Default)]
struct KeepingObserver {
    phases: Mutex<Vec<Phase>>,
    counters: Mutex<Option<Arc<Counters>>>,
}

impl Observer for KeepingObserver {
    fn started(&self, counters: &Arc<Counters>) {
        *self.counters.lock().expect("whole") = Some(Arc::clone(counters));
    }

    fn entered(&self, phase: Phase) {
        self.phases.lock().expect("whole").push(phase);
    }
}

#[test]
fn the_observer_hears_of_each_phase_and_reads_the_numbers() {
    let (place, kept) = (OneFile::new(), KeepingObserver::default());
    let report = run(place.mapping(), &options(Task::Copy), &kept, &Stop::default()).expect("a report");
    assert_eq!((report.outcome, report.totals.files, report.resume), (Outcome::Done, 1, None));
    assert_eq!(*kept.phases.lock().expect("whole"), [Phase::Preflight, Phase::Copy, Phase::Verify]);
    let counters = kept.counters.lock().expect("whole").take().expect("they were given");
    assert_eq!(counters.sum(|tally| &tally.verified_bytes), "content".len() as u64);
}

#[test]
fn what_is_verified_alone_is_read_again_and_a_difference_is_a_problem() {
    let place = OneFile::new();
    run(place.mapping(), &options(Task::Copy), &(), &Stop::default()).expect("a report");
    let again = || run(place.mapping(), &options(VERIFY), &(), &Stop::default()).expect("a report");
    assert_eq!((again().outcome, again().totals.verified), (Outcome::Done, 2));
    std::fs::write(place.to.join("file"), "CONTENT").expect("the copy");
    let report = again();
    assert_eq!((report.outcome, report.problem_count), (Outcome::Problems, 1), "{:?}", report.problems);
}

#[test]
fn a_stop_is_heeded_and_the_report_says_how_to_go_on() {
    let (place, stop) = (OneFile::new(), Stop::default());
    stop.set(StopReason::Signal);
    let report = run(place.mapping(), &options(Task::Copy), &(), &stop).expect("a report");
    assert_eq!((report.outcome, report.totals.copied), (Outcome::Stopped, 0));
    assert_eq!(report.resume.as_deref(), Some("again"));
    let report = run(place.mapping(), &options(Task::Copy), &(), &Stop::default()).expect("a report");
    assert_eq!((report.outcome, report.totals.copied), (Outcome::Done, 2));
}

#[test]
fn a_refusal_is_data_and_nothing_is_written() {
    let (place, kept) = (OneFile::new(), KeepingObserver::default());
    let refused = |task| match run(place.mapping(), &options(task), &kept, &Stop::default()) {
        Err(Refused::Preflight(reasons)) => reasons,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refused(VERIFY)[..], [Refusal::NoJournal(_)]));
    assert!(matches!(refused(Task::Repair(UsePolicy::Kept))[..], [Refusal::NoJournal(_)]));
    let absent = Mapping::directory("test", &place.from.join("absent"), &place.to).expect("a good mapping");
    let refused = run(absent, &options(Task::Copy), &kept, &Stop::default());
    assert!(matches!(refused, Err(Refused::Preflight(_))), "{refused:?}");
    assert!(kept.counters.lock().expect("whole").is_none(), "it never started");
    assert!(std::fs::read_dir(&place.to).is_err());
}
