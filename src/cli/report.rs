//! `persistcp report`.

use super::args::{ColorArgs, RootArgs};
use super::exit::Exit;
use super::output::fail;
use super::past_report;
use super::past_report::{Chosen, ReportFormat};
use super::resolve::resolve;
use super::words::preflight::all;
use crate::base::path;
use crate::engine::journal::Location;
use crate::engine::preflight::{self, Allow};
use crate::plan;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// The plan whose journal is read; the backup need not be there
    #[arg(long, value_name = "FILE", required_unless_present = "name")]
    plan: Option<PathBuf>,
    /// The directory of the journal, if it is not on the target's file system
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Instead of --plan: the plan's name, with --state
    #[arg(long, value_name = "NAME", requires = "state", conflicts_with_all = ["plan", "root"])]
    name: Option<String>,
    #[command(flatten)]
    root: RootArgs,
    /// Instead of the last copy and the verification after it: the run with this number, or
    /// `list` for a line for each run
    #[arg(long, value_name = "N|list")]
    run: Option<Chosen>,
    /// text: the last reports; json: those and the manifest, a line for each entry; b3sum: lines
    /// that `b3sum --check` takes in the root
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    format: ReportFormat,
    #[command(flatten)]
    color: ColorArgs,
}

impl ReportArgs {
    pub(super) fn show(self) -> Exit {
        let location = match (self.plan, self.name, self.state) {
            (None, Some(name), Some(state)) => match path::Name::new(name.as_bytes()) {
                Ok(_) => Location::new(state, &name),
                Err(error) => return fail(&format!("--name {name:?}: {error}"), Exit::Usage),
            },
            (Some(file), _, state) => {
                match resolve(&file, &self.root.overrides(), plan::Backup::IfThere, self.color.on()) {
                    Ok(resolved) => match preflight::journal_of(&resolved, &Allow { state, ..Allow::default() }) {
                        Ok(location) => location,
                        Err(refusals) => return fail(&all(&refusals).join("\n"), Exit::Refused),
                    },
                    Err((message, exit)) => return fail(&message, exit),
                }
            }
            // The parser requires one of them.
            _ => return fail("report needs --plan FILE, or --state DIR and --name NAME", Exit::Usage),
        };
        past_report::show(&location, self.format, self.run.unwrap_or(Chosen::Last))
    }
}
