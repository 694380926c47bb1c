//! persistcp: a fast, faithful, verified, resumable copier for moving a Linux
//! system's state to a new disk.
//!
//! Data flows one way: [`plan`] → resolve → [`preflight`] (with a [`survey`]) →
//! [`copy`] → [`durable`] → [`journal`] → [`verify`] → [`fixup`] → [`report`].
//! [`run`] is that line in code.

pub mod against;
pub mod audit;
mod blank;
pub mod check;
pub mod cli;
pub mod clock;
pub mod completeness;
pub mod copy;
pub mod digest;
mod driver;
pub mod durable;
pub mod exit;
pub mod extras;
pub mod fixup;
pub mod groups;
mod homes;
pub mod journal;
pub mod leftovers;
pub mod loss;
pub mod manifest;
pub mod meta;
pub mod mounts;
pub mod pace;
pub mod path;
pub mod plan;
mod pool;
pub mod preflight;
pub mod problem;
pub mod progress;
pub mod recall;
pub mod report;
mod reread;
pub mod run;
pub mod shell;
pub mod shortage;
pub mod stop;
pub mod survey;
pub mod sys;
pub mod verify;
pub mod volume;
pub mod walk;
