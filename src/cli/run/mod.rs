//! `persistcp --plan …` and `persistcp copy …`: what was typed, what it means, and what the user is told
//! about the run.

mod args;
mod copy_args;
mod dry_run;
mod engine_args;
mod job;
mod progress;
mod signals;
mod start;
mod table;
mod tell;
mod trees;
mod watch;

pub(super) use args::RunArgs;
pub(super) use copy_args::CopyArgs;
pub(super) use engine_args::rate;
