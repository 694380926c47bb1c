//! The command line: what was typed, what a person reads, and how a process ends.

mod args;
mod audit;
mod by_directory;
mod check;
mod exit;
mod export;
mod import;
mod in_use;
mod output;
mod past_report;
mod plan;
mod report;
mod report_text;
mod resolve;
mod run;
mod trees_name;
mod verify;
mod words;

pub use exit::Exit;

use audit::AuditArgs;
use check::CheckArgs;
use clap::{CommandFactory, Parser, Subcommand};
use output::{fail, print};
use plan::PlanCommand;
use report::ReportArgs;
use run::{CopyArgs, RunArgs};
use verify::VerifyArgs;

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
    /// Copy files and directories without a plan: faithful, verified from the medium, and resumable
    Copy(CopyArgs),
    /// Compare two trees, content and metadata; read only
    Verify(VerifyArgs),
    /// Look at a plan without running it, make one, or write it in another format
    Plan {
        #[command(subcommand)]
        command: PlanCommand,
    },
    /// What would be lost: in the backup, not declared, and it looks like state
    Audit(AuditArgs),
    /// Is the new system whole? Mounts, declared paths, keys, id maps, modes; read only
    Check(CheckArgs),
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

/// Parses the command line, runs the command, and returns how it ended.
#[must_use]
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not errors; a closed pipe need not be reported.
            error.print().ok();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    match cli.command {
        None => cli.run.start(),
        Some(Command::Copy(args)) => args.start(),
        Some(Command::Verify(args)) => args.start(),
        Some(Command::Plan { command }) => command.start(),
        Some(Command::Audit(args)) => args.start(),
        Some(Command::Check(args)) => args.start(),
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
