//! `persistcp plan …`.

use super::args::{ColorArgs, PlaceArgs, PlanPath};
use super::exit::Exit;
use super::export::ExportArgs;
use super::import::{ImportArgs, NixExprArgs};
use super::output::{fail, print, print_text};
use super::resolve::resolve;
use crate::base::json;
use crate::plan;
use clap::{Subcommand, ValueEnum};
use std::path::Path;

#[derive(Debug, Subcommand)]
pub(super) enum PlanCommand {
    /// Validate the plan alone, without looking at the source
    Check {
        #[command(flatten)]
        plan: PlanPath,
        #[command(flatten)]
        color: ColorArgs,
    },
    /// Print the plan with names as numbers and globs expanded
    Show {
        #[command(flatten)]
        plan: PlanPath,
        /// Print a table or JSON
        #[arg(long, value_enum, default_value_t = PlanFormat::Table)]
        format: PlanFormat,
        #[command(flatten)]
        places: PlaceArgs,
        #[command(flatten)]
        color: ColorArgs,
    },
    /// Write the plan for another tool: Nix lists, tmpfiles.d lines, JSON, an rsync script
    Export(ExportArgs),
    /// Make a plan from what a Nix configuration declares (impermanence, preservation)
    Import(ImportArgs),
    /// Print the Nix expression whose output `plan import` reads, for `nix eval --apply`
    NixExpr(NixExprArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum PlanFormat {
    Table,
    Json,
}

impl PlanCommand {
    pub(super) fn start(self) -> Exit {
        match self {
            Self::Check { plan, color } => match plan::Plan::read(&plan.path) {
                Ok(_) => print_text(&format!("{}: the plan is good\n", plan.path.display())),
                Err(errors) => fail(&errors.render(color.on()), Exit::Usage),
            },
            Self::Export(args) => args.write(),
            Self::Import(args) => args.start(),
            Self::NixExpr(args) => args.show(),
            Self::Show { plan, format, places, color } => show(&plan.path, format, &places.overrides(), color.on()),
        }
    }
}

fn show(file: &Path, format: PlanFormat, overrides: &plan::Overrides, color: bool) -> Exit {
    match resolve(file, overrides, plan::Backup::Needed, color) {
        Ok(resolved) => match format {
            PlanFormat::Table => print_text(&plan::table(&resolved)),
            PlanFormat::Json => print(&json::text(&plan::json(&resolved))),
        },
        Err((message, exit)) => fail(&message, exit),
    }
}
