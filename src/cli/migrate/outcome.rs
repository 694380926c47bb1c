//! How a run ends: what is recorded, printed and written.

use super::Job;
use super::stages::Run;
use crate::base::exit::Exit;
use crate::base::{clock, human, shell};
use crate::cli::report_text::text;
use crate::cli::{fail, print_text};
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::events::stop::{Reason, Stop};
use crate::engine::journal::{JournalError, Writer};
use crate::engine::preflight::Cleared;
use crate::engine::report::Report;
use crate::engine::{preflight, report, verify};
use crate::plan;
use crate::sys::output::Existing;
use crate::sys::{errno_words, output};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Records the report, ends the journal, and tells.
pub(super) fn finish(job: &Job, run: Run, writer: Writer, mut report: Report) -> Exit {
    run.problems.end_record();
    let json = report::json(&report);
    writer.handle().run_ended(report.ended.clone(), report.outcome.word(), json.to_string());
    match writer.finish() {
        Ok(None) => {}
        Ok(Some(why)) => {
            report.notes.push(format!("the journal cannot be written ({why}): what was verified is not recorded"));
        }
        Err(error) => {
            report.outcome = Exit::Interrupted;
            if !report.reason.contains(&error.to_string()) {
                report.reason.push(error.to_string());
            }
            report.resume.get_or_insert_with(shell::this_command);
        }
    }
    drop(run);
    tell(job, &report)
}

fn tell(job: &Job, report: &Report) -> Exit {
    if !write(job, report) {
        return report.outcome.max(Exit::Problems);
    }
    if !(job.quiet && report.outcome == Exit::Ok) {
        print_text(&text(report));
    }
    report.outcome
}

/// Writes the report where the user asked for it; false when that failed, which it says.
fn write(job: &Job, report: &Report) -> bool {
    let Some(file) = &job.report else { return true };
    let text = report::json_text(&report::json(report));
    let Err(errno) = output::write(file, text.as_bytes(), Existing::Replaced) else { return true };
    fail(&format!("{}: cannot write the report: {}", file.display(), errno_words(errno)), report.outcome);
    false
}

pub(super) fn refuse(job: &Job, plan: Option<String>, reasons: Vec<String>) -> Exit {
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
    write(job, &report);
    fail("refused, nothing was written", Exit::Refused)
}

/// What a run would copy, and what it would keep because somebody has changed it.
pub(super) fn dry_run(job: &Job, cleared: &Cleared) -> Exit {
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
    for problem in preflight::left_out(cleared.plan(), cleared.source()) {
        out.push_str(&format!("problem: {}: {}\n", problem.path, problem.message));
    }
    match changed_since(job, cleared) {
        Ok(words) => out.push_str(&words),
        Err(error) => return fail(&error.to_string(), Exit::Refused),
    }
    cleared.notes().iter().for_each(|note| out.push_str(&format!("note: {note}\n")));
    out.push_str("dry run: nothing was written\n");
    print_text(&out)
}

/// Entries that a list names; the others are counted.
const NAMED: u64 = 50;

fn changed_since(job: &Job, cleared: &Cleared) -> Result<String, JournalError> {
    let Some(reader) = cleared.journal().read()?.filter(|_| !job.allow.restart) else { return Ok(String::new()) };
    let (mut listed, mut count) = (String::new(), 0);
    let rate_limit = RateLimit::new(Stop::default(), job.bwlimit);
    verify::since_copied(&cleared.plan().root, &reader, &rate_limit, |problem| {
        count += 1;
        if count <= NAMED {
            let kind = problem.kind.word();
            listed.push_str(&format!("  {}: {kind}: {}\n", problem.path, problem.message));
        }
    })?;
    if count == 0 {
        return Ok(String::new());
    }
    if count > NAMED {
        listed.push_str(&format!("  … and {} more\n", human::count(count - NAMED)));
    }
    let heading = if job.allow.overwrite {
        "changed on the target since it was copied; of these, changed-target would be replaced:"
    } else {
        "changed on the target since it was copied, and would stay so:"
    };
    Ok(format!("\n{heading}\n{listed}"))
}

/// What SIGINT, SIGTERM and SIGHUP do to the run.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// From here on something may be written.
    writing: Arc<AtomicBool>,
}

impl Signals {
    /// Catches them. Before anything is written the first one ends the process at once; then
    /// the first ends the run after its epoch, and the second at once, which is as safe as a
    /// power cut.
    pub(super) fn watch(stop: &Stop) -> Self {
        let signals = Self::default();
        let (stop, writing) = (stop.clone(), Arc::clone(&signals.writing));
        let handler = move || {
            if !writing.load(Ordering::SeqCst) {
                fail("a signal asked to stop, before anything was written; the same command starts again", STOPPED);
            } else if stop.set(Reason::Signal) {
                fail("stopping after the current epoch; once more to stop at once", STOPPED);
                return;
            }
            std::process::exit(STOPPED as i32);
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            // A handler that nobody serves would swallow them.
            crate::sys::signals::default_for_stop();
            fail(
                &format!("signals cannot be caught ({error}); an interrupted run can be resumed all the same"),
                Exit::Ok,
            );
        }
        signals
    }

    /// Whatever is written from here on ends with its epoch.
    pub(super) fn expect_writes(&self) {
        self.writing.store(true, Ordering::SeqCst);
    }
}

const STOPPED: Exit = Exit::Interrupted;
