//! Options that several commands have. If one means something narrower in a command, that command
//! has its own help for it (`mut_arg`).

use crate::engine::tree::descriptors::{threads, usual_threads};
use crate::plan::Overrides;
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use std::path::PathBuf;

/// The plan that a `plan` command is about.
#[derive(Debug, Args)]
pub(super) struct PlanPath {
    /// The plan file
    #[arg(id = "plan", value_name = "PLAN")]
    pub(super) path: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RootArgs {
    /// Use this root instead of the plan's
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

impl RootArgs {
    pub(super) fn overrides(self) -> Overrides {
        Overrides { root: self.root, ..Overrides::default() }
    }
}

/// Source and root of a plan.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// Use this backup tree instead of the plan's
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    #[command(flatten)]
    root: RootArgs,
}

impl PlaceArgs {
    pub(super) fn overrides(self) -> Overrides {
        Overrides { source: self.source, ..self.root.overrides() }
    }
}

#[derive(Debug, Args)]
pub(super) struct ThreadArgs {
    /// Threads of the walk [default: eight for each core, at least 16, at most 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ThreadArgs {
    /// True if the user has said how many.
    pub(super) fn are_asked(&self) -> bool {
        self.threads.is_some()
    }

    /// As many as so many open files allow.
    pub(super) fn count(&self, open_files: u64) -> usize {
        threads(open_files, self.threads.map_or_else(usual_threads, usize::from))
    }
}

/// How a command shows its result.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct ColorArgs {
    /// When to use colors
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl ColorArgs {
    /// For what goes to stderr.
    pub(super) fn on(&self) -> bool {
        self.color.shown_by(&std::io::stderr())
    }

    /// For what goes to stdout.
    pub(super) fn on_stdout(&self) -> bool {
        self.color.shown_by(&std::io::stdout())
    }
}

impl Color {
    fn shown_by(self, stream: &impl IsTerminal) -> bool {
        match self {
            Self::Auto => stream.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}
