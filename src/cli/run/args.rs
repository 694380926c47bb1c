//! A run: `persistcp --plan …`.

use super::engine_args::EngineArgs;
use super::job::{Job, JobSubject};
use super::start::start;
use crate::cli::args::PlaceArgs;
use crate::cli::exit::Exit;
use crate::cli::output::fail;
use crate::engine::preflight::Allow;
use crate::plan;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The plan to carry out; the same command again resumes it
    #[arg(long, value_name = "FILE", required = true)]
    plan: Option<PathBuf>,
    #[command(flatten)]
    places: PlaceArgs,
    /// Go on even if critical or required entries are absent
    #[arg(long)]
    allow_missing: bool,
    /// Write into targets that already have other content
    #[arg(long)]
    allow_nonempty: bool,
    /// Give owners, groups and ACL entries the target's number of their name, where it differs from the
    /// backup's (see `plan show`); later runs of the plan do the same, until --restart
    #[arg(long, conflicts_with = "no_owner")]
    remap_ids: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

impl RunArgs {
    pub(crate) fn start(self) -> Exit {
        match self.job() {
            Ok(job) => start(job),
            Err(wrong) => fail(wrong, Exit::Usage),
        }
    }

    fn job(self) -> Result<Job, &'static str> {
        let Self { plan, places, allow_missing, allow_nonempty, remap_ids, engine } = self;
        // The parser requires it; a missing plan would still be a usage error.
        let file = plan.ok_or("a run needs --plan FILE")?;
        let overrides = plan::Overrides { exclude: engine.exclude.clone(), ..places.overrides() };
        let allow = Allow { missing: allow_missing, nonempty: allow_nonempty, remap_ids, ..Allow::default() };
        engine.job(JobSubject::Plan { file, overrides }, allow)
    }
}
