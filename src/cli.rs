//! The command line: the only file that knows its parser.

use crate::copy::descriptors::{threads, usual_threads};
use crate::exit::Exit;
use crate::journal::Location;
use crate::pace::Rate;
use crate::preflight::Allow;
use crate::progress::Style;
use crate::recall::Form;
use crate::run::{self, Against, Job, Mode, VerifyDepth};
use crate::verify::{Scope, Since};
use crate::{path, plan, preflight, recall, sys};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Moves declared paths of a backup tree to a new disk: fast, whole, verified
/// from the medium, and resumable.
#[derive(Debug, Parser)]
#[command(name = "persistcp", version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
#[command(after_help = "Exit status: 0 all copied, verified and fixed up; 1 finished with problems; \
2 command line or plan wrong; 3 refused before anything was written; 4 stopped early, the same command goes on.")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at a plan without running it
    Plan {
        #[command(subcommand)]
        command: PlanCommand,
    },
    /// What the journal knows: the last run's report, and the manifest
    Report(ReportArgs),
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff)
    Man,
}

#[derive(Debug, Subcommand)]
enum PlanCommand {
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
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    /// The plan whose journal is read; the backup need not be there
    #[arg(long, value_name = "FILE", required_unless_present = "name")]
    plan: Option<PathBuf>,
    /// The directory of the journal, when it is not on the target's file system
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Instead of --plan: the plan's name, with --state
    #[arg(long, value_name = "NAME", requires = "state", conflicts_with_all = ["plan", "root"])]
    name: Option<String>,
    /// Another root than the plan's
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// text: the last report; json: that and the manifest, a line for each entry; b3sum: lines
    /// that `b3sum --check` takes in the root
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    format: ReportFormat,
    /// When to use colors
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ReportFormat {
    Text,
    Json,
    B3sum,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    fn on(self) -> bool {
        match self {
            Self::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verify {
    Content,
    Metadata,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Reference {
    /// What the journal recorded when it was copied; needs no backup
    Manifest,
    /// The backup, read again
    Source,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// The plan to carry out; the same command again resumes it
    #[arg(long, value_name = "FILE", required = true)]
    plan: Option<PathBuf>,
    /// Print the resolved plan with sizes and counts, write nothing
    #[arg(long, conflicts_with = "verify_only")]
    dry_run: bool,
    /// Re-read the target from the medium and compare it, copy nothing
    #[arg(long)]
    verify_only: bool,
    /// With --verify-only: compare with what the journal recorded, or with the backup itself
    #[arg(long, value_enum, default_value_t = Reference::Manifest, requires = "verify_only")]
    against: Reference,
    /// With --verify-only: only what changed since it was last verified, or was last verified before
    /// WHEN: `last` (nothing more), an age (7d, 12h), a date, or a moment (RFC 3339)
    #[arg(long, value_name = "WHEN", requires = "verify_only")]
    since: Option<Since>,
    /// Verify everything first, copy again what differs (of a large file only its bad chunks), verify that
    #[arg(long, conflicts_with_all = ["verify_only", "dry_run", "restart"])]
    repair: bool,
    /// Another backup tree than the plan's
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Another root than the plan's
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Keep the journal here instead of in .persistcp on the target's file system
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Threads of the copier [default: eight for each core, at least 16, at most 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Move at most this many bytes a second, copying and reading back: 500K, 20M, 1.5G; a number
    /// alone is in KiB. `nice` and `ionice` work as well
    #[arg(long, value_name = "RATE")]
    bwlimit: Option<Rate>,
    /// What to verify after the copy
    #[arg(long, value_enum, default_value_t = Verify::Content)]
    verify: Verify,
    /// Set the journal of earlier runs aside and copy everything again
    #[arg(long, conflicts_with = "verify_only")]
    restart: bool,
    /// Go on although critical or required entries are absent
    #[arg(long)]
    allow_missing: bool,
    /// Write into targets that something else filled
    #[arg(long)]
    allow_nonempty: bool,
    /// Write to targets that are no mount of their own, or on tmpfs
    #[arg(long)]
    allow_volatile: bool,
    /// Leave owners and groups as the file system gives them (needs no root)
    #[arg(long)]
    no_owner: bool,
    /// Keep access times as well
    #[arg(long)]
    atime: bool,
    /// Leave out what matches, in every target (gitignore syntax); repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Enter mounts inside the source
    #[arg(long)]
    cross_mounts: bool,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How to show progress
    #[arg(long, value_enum, default_value_t = Style::Auto)]
    progress: Style,
    /// When to use colors
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// Print the resolved plan before running it
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// No progress, and no report when all is well
    #[arg(short, long)]
    quiet: bool,
}

/// Reads the command line, does what it says, and tells how it ended.
#[must_use]
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a closed pipe is not ours to report.
            error.print().ok();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    match cli.command {
        None => cli.run.start(),
        Some(Command::Plan { command: PlanCommand::Check { plan, color } }) => match plan::Plan::read(&plan) {
            Ok(_) => print(&format!("{}: the plan is good\n", plan.display())),
            Err(errors) => fail(&errors.render(color.on()), Exit::Usage),
        },
        Some(Command::Plan { command: PlanCommand::Show { plan, format, source, root, color } }) => {
            show(&plan, format, plan::Overrides { source, root, exclude: Vec::new() }, color)
        }
        Some(Command::Report(args)) => args.show(),
        Some(Command::Completions { shell }) => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "persistcp", &mut out);
            print(&String::from_utf8_lossy(&out))
        }
        Some(Command::Man) => {
            let mut out = Vec::new();
            match clap_mangen::Man::new(Cli::command()).render(&mut out) {
                Ok(()) => print(&String::from_utf8_lossy(&out)),
                Err(error) => fail(&error.to_string(), Exit::Problems),
            }
        }
    }
}

fn show(file: &Path, format: Format, overrides: plan::Overrides, color: Color) -> Exit {
    match run::resolve(file, &overrides, plan::Backup::Needed, color.on()) {
        Ok(resolved) => match format {
            Format::Table => print(&plan::table(&resolved)),
            Format::Json => print(&format!("{:#}\n", plan::json(&resolved))),
        },
        Err((message, exit)) => fail(&message, exit),
    }
}

impl ReportArgs {
    fn show(self) -> Exit {
        let form = match self.format {
            ReportFormat::Text => Form::Text,
            ReportFormat::Json => Form::Json,
            ReportFormat::B3sum => Form::B3sum,
        };
        let location = match (self.plan, self.name, self.state) {
            (None, Some(name), Some(state)) => match path::Name::new(name.as_bytes()) {
                Ok(_) => Location::new(state, &name),
                Err(error) => return fail(&format!("--name {name:?}: {error}"), Exit::Usage),
            },
            (Some(file), _, state) => {
                let overrides = plan::Overrides { root: self.root, ..plan::Overrides::default() };
                match run::resolve(&file, &overrides, plan::Backup::IfThere, self.color.on()) {
                    Ok(resolved) => match preflight::journal_of(&resolved, &Allow { state, ..Allow::default() }) {
                        Ok(location) => location,
                        Err(refusals) => return fail(&refusals.join("\n"), Exit::Refused),
                    },
                    Err((message, exit)) => return fail(&message, exit),
                }
            }
            // The parser demands one of them.
            _ => return fail("report needs --plan FILE, or --state DIR and --name NAME", Exit::Usage),
        };
        recall::show(&location, form)
    }
}

impl RunArgs {
    fn start(self) -> Exit {
        // The parser demands it; a missing plan is a usage error all the same.
        let Some(file) = self.plan else { return fail("a run needs --plan FILE", Exit::Usage) };
        if self.since.is_some() && self.against == Reference::Source {
            return fail("--since asks what the journal recorded; --against source compares everything", Exit::Usage);
        }
        if matches!(self.verify, Verify::None) && (self.verify_only || self.repair) {
            return fail("--verify none leaves nothing to do for --verify-only and --repair", Exit::Usage);
        }
        let open_files = sys::filesystem::raise_open_files();
        run::start(Job {
            file,
            overrides: plan::Overrides { source: self.source, root: self.root, exclude: self.exclude },
            allow: Allow {
                missing: self.allow_missing,
                nonempty: self.allow_nonempty,
                volatile: self.allow_volatile,
                no_owner: self.no_owner,
                restart: self.restart,
                cross_mounts: self.cross_mounts,
                state: self.state,
            },
            mode: match (self.dry_run, self.verify_only, self.repair) {
                (true, ..) => Mode::DryRun,
                (_, true, _) => Mode::VerifyOnly,
                (.., true) => Mode::Repair,
                _ => Mode::Migrate,
            },
            scope: self.since.map_or(Scope::All, Scope::Since),
            against: match self.against {
                Reference::Manifest => Against::Manifest,
                Reference::Source => Against::Source,
            },
            verify: match self.verify {
                Verify::Content => VerifyDepth::Content,
                Verify::Metadata => VerifyDepth::Metadata,
                Verify::None => VerifyDepth::None,
            },
            atime: self.atime,
            threads: threads(open_files, self.threads.map_or_else(usual_threads, usize::from)),
            open_files,
            bwlimit: self.bwlimit,
            report: self.report,
            progress: if self.quiet { Style::None } else { self.progress },
            color: self.color.on(),
            verbose: self.verbose,
            quiet: self.quiet,
        })
    }
}

/// Prints to stdout; a reader that closed the pipe has seen enough.
pub(crate) fn print(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => fail(&format!("stdout: {error}"), Exit::Problems),
    }
}

/// Prints a message to stderr and gives the exit status back.
pub(crate) fn fail(message: &str, exit: Exit) -> Exit {
    // With stderr closed there is nowhere left to say it; the status still does.
    writeln!(std::io::stderr(), "persistcp: {message}").ok();
    exit
}
