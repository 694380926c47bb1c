//! `persistcp --plan …`: what was typed, what it means, and what the user is told about the run.

mod args;
mod dry_run;
mod job;
mod progress;
mod signals;
mod start;
mod tell;
mod watch;

pub(super) use args::RunArgs;
