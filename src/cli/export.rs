//! `persistcp plan export`.

use super::args::{ColorArgs, PlaceArgs, PlanPath};
use super::exit::Exit;
use super::output::{fail, print};
use crate::nixos::export::{ExportNote, Form};
use crate::plan::{Plan, ResolveError};
use crate::sys::output::Existing;
use crate::sys::{errno_words, output};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(mut_arg("source", |arg| {
    arg.help("Use this backup tree instead of the plan's, for modes, owners and globs; it must exist")
}))]
pub(super) struct ExportArgs {
    #[command(flatten)]
    plan: PlanPath,
    /// nix: lists for impermanence V2; preservation: lists for preservation; tmpfiles: lines for
    /// tmpfiles.d; json: the declared set; rsync: a shell script that copies it
    #[arg(long, value_enum)]
    format: Form,
    #[command(flatten)]
    places: PlaceArgs,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    color: ColorArgs,
}

impl ValueEnum for Form {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Impermanence, Self::Preservation, Self::Tmpfiles, Self::Json, Self::Rsync]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Impermanence => "nix",
            Self::Preservation => "preservation",
            Self::Tmpfiles => "tmpfiles",
            Self::Json => "json",
            Self::Rsync => "rsync",
        }))
    }
}

impl ExportArgs {
    pub(super) fn write(self) -> Exit {
        let plan = match Plan::read(&self.plan.path) {
            Ok(plan) => plan,
            Err(errors) => return fail(&errors.render(self.color.on()), Exit::Usage),
        };
        let export = match plan.export(&self.places.overrides(), self.format) {
            Ok(export) => export,
            Err(error @ (ResolveError::Source { .. } | ResolveError::Root { .. })) => {
                return fail(&format!("refused: {error}"), Exit::Refused);
            }
            Err(error) => return fail(&error.to_string(), Exit::Usage),
        };
        for note in &export.notes {
            let text = match note {
                ExportNote::Caveat(text) => format!("warning: {text}"),
                ExportNote::Unsaid(text) => format!("not in the output: {text}"),
            };
            fail(&text, Exit::Problems);
        }
        let written = match &self.output {
            None => print(&export.text),
            Some(file) => match output::write(file, export.text.as_bytes(), Existing::Replaced) {
                Ok(()) => Exit::Ok,
                Err(errno) => {
                    fail(&format!("{}: cannot be written: {}", file.display(), errno_words(errno)), Exit::Problems)
                }
            },
        };
        if export.is_whole() { written } else { Exit::Problems }
    }
}
