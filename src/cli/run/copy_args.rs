//! `persistcp copy SRC… DST`.

use super::engine_args::EngineArgs;
use super::job::{Job, JobSubject, TreesSubject};
use super::start::start;
use crate::cli::exit::Exit;
use crate::cli::output::fail;
use crate::engine::preflight::Allow;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(mut_arg("allow_volatile", |arg| arg.help("Write to tmpfs and other file systems that lose everything at power-off")))]
#[command(mut_arg("exclude", |arg| arg.help("Leave out what matches below a SRC (gitignore syntax, anchored there); repeatable")))]
#[command(mut_arg("state", |arg| arg.help("Keep the journal here instead of in .persistcp at the top of DST's file system, or in DST itself on the disk of the running system")))]
#[command(mut_arg("overwrite", |arg| arg.help("Replace what somebody has changed in DST since it was copied, and what was there before and is newer; by default both are kept")))]
#[command(
    after_help = "`SRC/` is what is in the directory, `SRC` the directory itself, as with rsync. The same command again \
goes on where the last one ended, and copies what has changed since."
)]
pub(crate) struct CopyArgs {
    /// Files and directories to copy, then the destination
    #[arg(value_name = "PATH", num_args = 2.., required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

impl CopyArgs {
    pub(crate) fn start(self) -> Exit {
        match self.job() {
            Ok(job) => start(job),
            Err(wrong) => fail(wrong, Exit::Usage),
        }
    }

    fn job(self) -> Result<Job, &'static str> {
        let Self { mut paths, engine } = self;
        // The parser requires two paths.
        let destination = paths.pop().ok_or("copy needs a source and a destination")?;
        let subject =
            TreesSubject { sources: paths, destination, exclude: engine.exclude.clone(), state: engine.state.clone() };
        // What a run with a plan is asked for is usual here: a directory of the user's own, with content.
        let allow = Allow { nonempty: true, system_root: true, newer_kept: true, ..Allow::default() };
        engine.job(JobSubject::Trees(subject), allow)
    }
}
