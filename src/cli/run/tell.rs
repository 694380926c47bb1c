//! The end of a run: what is printed and written.

use super::job::Job;
use crate::base::json;
use crate::cli::exit::Exit;
use crate::cli::output::{fail, print_text};
use crate::cli::report_text::text;
use crate::cli::words::WORDS;
use crate::engine::report::{self, Report};
use crate::sys::output::Existing;
use crate::sys::{errno_words, output};

/// Writes and prints the report of a run.
pub(super) fn tell(job: &Job, report: &Report) -> Exit {
    let exit = Exit::from(report.outcome);
    if !write(job, report) {
        return exit.max(Exit::Problems);
    }
    if !(job.quiet && exit == Exit::Ok) {
        print_text(&text(report, job.verbose));
    }
    exit
}

/// Writes the report where the user asked for it; false, after a message, when that failed.
fn write(job: &Job, report: &Report) -> bool {
    let Some(file) = &job.report else { return true };
    let text = json::text(&report::json(report, &WORDS));
    let Err(errno) = output::write(file, text.as_bytes(), Existing::Replaced) else { return true };
    fail(&format!("{}: cannot write the report: {}", file.display(), errno_words(errno)), report.outcome.into());
    false
}

/// Reports why nothing was done.
pub(super) fn refuse(job: &Job, plan: Option<String>, reasons: Vec<String>) -> Exit {
    for reason in &reasons {
        fail(reason, Exit::Refused);
    }
    let (source, root) = job.subject.typed();
    write(job, &Report::refused(plan.unwrap_or_else(|| job.subject.name()), source, root, reasons));
    fail("refused, nothing was written", Exit::Refused)
}
