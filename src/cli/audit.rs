//! `persistcp audit`.

use super::args::{ColorArgs, Format, PlaceArgs, ThreadArgs};
use super::exit::Exit;
use super::output::{fail, print, print_text};
use super::resolve::resolve;
use crate::base::json;
use crate::engine::tree::walk::WalkOptions;
use crate::nixos::audit::{self, Listing};
use crate::{plan, sys};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(mut_arg("source", |arg| arg.help("Use this backup tree instead of the plan's; `/` audits the running system")))]
pub(super) struct AuditArgs {
    /// The plan whose declarations are compared with the backup
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    #[command(flatten)]
    places: PlaceArgs,
    /// Print text or JSON
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Instead of the report, print the missing entries: for the plan, and for Nix
    #[arg(long, conflicts_with = "format")]
    suggest: bool,
    /// Name what is left out, and the size of each directory of /etc, /var/lib and the homes
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    threads: ThreadArgs,
    #[command(flatten)]
    color: ColorArgs,
}

impl AuditArgs {
    pub(super) fn start(self) -> Exit {
        let open_files = sys::filesystem::raise_open_files();
        let means = WalkOptions::new(open_files, self.threads.count(open_files));
        let resolved = match resolve(&self.plan, &self.places.overrides(), plan::Backup::Needed, self.color.on()) {
            Ok(resolved) => resolved,
            Err((message, exit)) => return fail(&message, exit),
        };
        let listing = if self.all { Listing::All } else { Listing::Summary };
        let audit = match audit::audit(resolved, means, listing) {
            Ok(audit) => audit,
            Err(error) => return fail(&format!("refused: {error}"), Exit::Refused),
        };
        let printed = match (self.suggest, self.format) {
            (true, _) => print_text(&audit::suggest(&audit)),
            (false, Format::Text) => print_text(&audit::text(&audit)),
            (false, Format::Json) => print(&json::text(&audit::json(&audit))),
        };
        match printed {
            Exit::Ok => audit.outcome().into(),
            exit => exit,
        }
    }
}
