//! A run from top to bottom: preflight, copy, durable, journal, verify, fixup, report.
//!
//! It knows no plan file, no terminal and no signal; it prints nothing and never ends the process. Its
//! result is a [`Report`], or a [`Refused`] if it did not start.

mod copying;
mod fixups;
mod observer;
mod open;
mod options;
mod refused;
mod repair;
mod shared;
#[cfg(test)]
mod tests;
mod verifying;

pub use super::events::stop::Stop;
pub use super::mapping::model::Mapping;
pub use super::preflight::Allow;
pub use super::report::Report;
pub use observer::{Observer, Phase};
pub use options::{Against, Options, Task};
pub use refused::Refused;

use super::completeness::KnownStale;
use super::events::stop::Cause;
use super::verify::UsePolicy;
use copying::Copying;
use open::Work;
use repair::Repair;
use shared::SharedRun;

/// Does what `options` say with `mapping`, and returns when that is done or `stop` has ended it.
pub fn run(mapping: Mapping, options: &Options, observer: &dyn Observer, stop: &Stop) -> Result<Report, Refused> {
    Ok(begin(mapping, options, observer, stop)?.finish())
}

/// The same up to the point where anything but the journal is written: measuring the work alone
/// begins here.
pub fn begin<'a>(
    mapping: Mapping,
    options: &'a Options,
    observer: &'a dyn Observer,
    stop: &Stop,
) -> Result<Begun<'a>, Refused> {
    observer.entered(Phase::Preflight);
    let (shared, work) = match options.task {
        Task::Copy | Task::Repair(_) => open::to_copy(mapping, options, observer, stop),
        Task::Verify(against) => {
            open::to_verify(mapping, options, observer, stop).map(|run| (run, Work::Verify(against)))
        }
    }?;
    Ok(Begun { shared, work })
}

/// A run that was not refused, with its journal open.
pub struct Begun<'a> {
    shared: SharedRun<'a>,
    work: Work,
}

impl Begun<'_> {
    /// Does the rest.
    #[must_use]
    pub fn finish(self) -> Report {
        match self.work {
            Work::Copy(copying) => copy(self.shared, copying),
            Work::Verify(against) => verify(self.shared, against),
        }
    }
}

fn copy(run: SharedRun<'_>, mut copying: Copying) -> Report {
    copying.announce(&run);
    copying.clear_leftovers(&run);
    let repair = match run.options.task {
        Task::Repair(in_use) => Some(Repair::find(&run, in_use)),
        _ => None,
    };

    // Returns when the last epoch is durable and in the journal.
    let copied = copying.copy(&run);
    copying.heed_mounts(&run);
    copying.end(&run);

    let medium = run.verify_copied();
    copying.heed_mounts(&run);
    copying.settle_stale(&run);
    let fixups = copying.fix_up(&run, &copied.fixups_changed);
    if let Some(repair) = repair {
        repair.settle(&run);
    }
    copying.settle_leftovers(&run);
    let shortage = run.shortage();
    let mut report = run.report(medium, fixups);
    report.large_files = copied.large_files;
    report.reason.extend(shortage.map(Cause::Shortage));
    run.end(report)
}

fn verify(run: SharedRun<'_>, against: Against) -> Report {
    run.announce_verification();
    // What is accepted is not stale from then on.
    let accepts = matches!(against, Against::Manifest { in_use: UsePolicy::Accepted, .. });
    let incomplete =
        || run.incomplete(if against == Against::Source { KnownStale::Asked } else { KnownStale::Recorded });
    if !accepts {
        incomplete();
    }
    let medium = match against {
        Against::Manifest { since, in_use } => run.verify_all(since, in_use),
        Against::Source => run.compare(),
    };
    if accepts {
        run.context.writer.flush();
        incomplete();
    }
    run.check_fixups();
    run.nothing_verified();
    let report = run.report(medium, Vec::new());
    run.end(report)
}
