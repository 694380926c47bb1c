//! A run as the command line asks for it: the plan file, the engine, the terminal.

use super::dry_run::dry_run;
use super::job::Job;
use super::tell::{refuse, tell};
use super::watch::Watcher;
use crate::cli::exit::Exit;
use crate::cli::output::{fail, print_text};
use crate::cli::resolve::resolve;
use crate::cli::words::journal;
use crate::cli::words::preflight::all;
use crate::engine::run::{Against, Refused, Stop, Task, run};
use crate::plan::{self, Backup};

/// Does the job.
#[must_use]
pub(super) fn start(job: &Job) -> Exit {
    let stop = Stop::default();
    let watcher = Watcher::new(&stop, job.progress);
    // The journal knows what the target should be: a migrated machine can verify itself without the
    // backup.
    let backup = match job.options.task {
        Task::Verify(Against::Manifest { .. }) => Backup::IfThere,
        _ => Backup::Needed,
    };
    let mapping = match resolve(&job.file, &job.overrides, backup, job.color) {
        Ok(mapping) => mapping,
        Err((message, Exit::Refused)) => return refuse(job, None, vec![message]),
        Err((message, exit)) => return fail(&message, exit),
    };
    if job.verbose {
        print_text(&plan::table(&mapping));
    }
    let name = mapping.name.clone();
    if job.dry_run {
        return dry_run(job, mapping).unwrap_or_else(|refusals| refuse(job, Some(name), all(&refusals)));
    }
    let ended = run(mapping, &job.options, &watcher, &stop);
    watcher.finish();
    match ended {
        Ok(report) => tell(job, &report),
        Err(Refused::Preflight(refusals)) => refuse(job, Some(name), all(&refusals)),
        Err(Refused::Journal(error)) => fail(&journal::words(&error), Exit::Refused),
        Err(Refused::Unrecorded(error)) => fail(&journal::words(&error), Exit::Interrupted),
    }
}
