//! A run as the command line asks for it: what goes where, the engine, the terminal.

use super::dry_run::dry_run;
use super::job::{Job, JobSubject};
use super::table::table;
use super::tell::{refuse, tell};
use super::trees;
use super::watch::Watcher;
use crate::cli::exit::Exit;
use crate::cli::output::{fail, print_text};
use crate::cli::resolve::resolve;
use crate::cli::words::journal;
use crate::cli::words::preflight::all;
use crate::engine::mapping::model::Mapping;
use crate::engine::run::{Against, Refused, Stop, Task, run};
use crate::plan::Backup;

/// Does the job.
#[must_use]
pub(super) fn start(mut job: Job) -> Exit {
    let stop = Stop::default();
    let watcher = Watcher::new(&stop, job.progress);
    let mapping = match mapping(&job) {
        Ok(mapping) => mapping,
        Err((message, Exit::Refused)) => return refuse(&job, None, vec![message]),
        Err((message, exit)) => return fail(&message, exit),
    };
    if job.verbose {
        print_text(&table(&job.subject, &mapping));
    }
    if !matches!(job.options.task, Task::Verify(Against::Manifest { .. })) {
        job.options.adapt_to(&mapping.source, job.threads_asked);
    }
    let name = mapping.name.clone();
    if job.dry_run {
        return dry_run(&job, mapping).unwrap_or_else(|refusals| refuse(&job, Some(name), all(&refusals)));
    }
    let ended = run(mapping, &job.options, &watcher, &stop);
    watcher.finish();
    match ended {
        Ok(report) => tell(&job, &report),
        Err(Refused::Preflight(refusals)) => refuse(&job, Some(name), all(&refusals)),
        Err(Refused::Journal(error)) => fail(&journal::words(&error), Exit::Refused),
        Err(Refused::Unrecorded(error)) => fail(&journal::words(&error), Exit::Interrupted),
    }
}

/// What goes where; an error comes with its exit status.
fn mapping(job: &Job) -> Result<Mapping, (String, Exit)> {
    // The journal knows what the target should be: a migrated machine can verify itself without the
    // source.
    let needed = !matches!(job.options.task, Task::Verify(Against::Manifest { .. }));
    match &job.subject {
        JobSubject::Plan { file, overrides } => {
            let backup = if needed { Backup::Needed } else { Backup::IfThere };
            resolve(file, overrides, backup, job.color)
        }
        JobSubject::Trees(trees) => trees::mapping(trees, needed),
    }
}
