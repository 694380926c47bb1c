//! `persistcp plan …`.

use super::exit::Exit;
use super::export::ExportArgs;
use super::import::{ImportArgs, NixExprArgs};
use super::output::{Color, fail, print, print_text};
use super::resolve::resolve;
use crate::base::json;
use crate::plan;
use clap::{Subcommand, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum PlanCommand {
    /// Validate the plan alone; the source is not looked at
    Check {
        /// The plan file
        plan: PathBuf,
        /// When to use colors
        #[arg(long, value_enum, default_value_t = Color::Auto)]
        color: Color,
    },
    /// Print the plan with names as numbers and globs expanded
    Show {
        /// The plan file
        plan: PathBuf,
        /// As a table or as JSON
        #[arg(long, value_enum, default_value_t = PlanFormat::Table)]
        format: PlanFormat,
        /// Another backup tree than the plan's
        #[arg(long, value_name = "DIR")]
        source: Option<PathBuf>,
        /// Another root than the plan's
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// When to use colors
        #[arg(long, value_enum, default_value_t = Color::Auto)]
        color: Color,
    },
    /// Write the plan for another tool: Nix lists, tmpfiles.d lines, JSON, an rsync script
    Export(ExportArgs),
    /// Make a plan of what a Nix configuration declares (impermanence, preservation)
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
            Self::Check { plan, color } => match plan::Plan::read(&plan) {
                Ok(_) => print_text(&format!("{}: the plan is good\n", plan.display())),
                Err(errors) => fail(&errors.render(color.on()), Exit::Usage),
            },
            Self::Export(args) => args.write(),
            Self::Import(args) => args.start(),
            Self::NixExpr(args) => args.show(),
            Self::Show { plan, format, source, root, color } => {
                show(&plan, format, plan::Overrides { source, root, exclude: Vec::new() }, color)
            }
        }
    }
}

fn show(file: &Path, format: PlanFormat, overrides: plan::Overrides, color: Color) -> Exit {
    match resolve(file, &overrides, plan::Backup::Needed, color.on()) {
        Ok(resolved) => match format {
            PlanFormat::Table => print_text(&plan::table(&resolved)),
            PlanFormat::Json => print(&json::text(&plan::json(&resolved))),
        },
        Err((message, exit)) => fail(&message, exit),
    }
}
