//! `persistcp check`.

use super::args::{ColorArgs, Format, RootArgs};
use super::exit::Exit;
use super::output::{fail, print, print_text};
use super::resolve::failed;
use crate::base::json;
use crate::nixos::check::table::Paint;
use crate::nixos::check::{self, Booted, CheckError, table};
use clap::ValueEnum;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(mut_arg("root", |arg| arg.help("The new system's root: /mnt after an installation, / on the running machine")))]
pub(super) struct CheckArgs {
    /// The plan that was run
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    #[command(flatten)]
    root: RootArgs,
    /// Whether the system at the root is running, so that live paths must lead to the storage;
    /// auto: it is when the root is /
    #[arg(long, value_enum, default_value_t = Runs::Auto)]
    booted: Runs,
    /// Print a table or JSON
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    color: ColorArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Runs {
    Auto,
    Yes,
    No,
}

impl CheckArgs {
    pub(super) fn start(self) -> Exit {
        let booted = match self.booted {
            Runs::Auto => None,
            Runs::Yes => Some(Booted::Yes),
            Runs::No => Some(Booted::No),
        };
        let found = match check::look(&self.plan, &self.root.overrides(), booted) {
            Ok(found) => found,
            Err(CheckError::Plan(error)) => {
                let (message, exit) = failed(&error, self.color.on());
                return fail(&message, exit);
            }
            Err(error @ CheckError::Root { .. }) => return fail(&format!("refused: {error}"), Exit::Refused),
        };
        let printed = match self.format {
            Format::Text => {
                print_text(&table::text(&found, if self.color.on_stdout() { Paint::Colored } else { Paint::Plain }))
            }
            Format::Json => print(&json::text(&table::json(&found))),
        };
        printed.max(found.outcome().into())
    }
}
