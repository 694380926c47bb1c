//! `persistcp plan export`.

use super::exit::Exit;
use super::output::{Color, fail, print};
use crate::nixos::export::{ExportNote, Form};
use crate::plan::{Overrides, Plan, ResolveError};
use crate::sys::output::Existing;
use crate::sys::{errno_words, output};
use clap::ValueEnum;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The plan file
    plan: PathBuf,
    /// nix: lists for impermanence V2; preservation: lists for preservation; tmpfiles: lines for
    /// tmpfiles.d; json: the declared set; rsync: a shell script that copies it
    #[arg(long, value_enum)]
    format: ExportFormat,
    /// Another backup tree than the plan's, for modes, owners and globs; it must be there
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Another root than the plan's
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// When to use colors
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExportFormat {
    Nix,
    Preservation,
    Tmpfiles,
    Json,
    Rsync,
}

impl ExportArgs {
    pub(super) fn write(self) -> Exit {
        let form = match self.format {
            ExportFormat::Nix => Form::Impermanence,
            ExportFormat::Preservation => Form::Preservation,
            ExportFormat::Tmpfiles => Form::Tmpfiles,
            ExportFormat::Json => Form::Json,
            ExportFormat::Rsync => Form::Rsync,
        };
        let plan = match Plan::read(&self.plan) {
            Ok(plan) => plan,
            Err(errors) => return fail(&errors.render(self.color.on()), Exit::Usage),
        };
        let overrides = Overrides { source: self.source, root: self.root, exclude: Vec::new() };
        let export = match plan.export(&overrides, form) {
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
