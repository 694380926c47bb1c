//! Copies trees, makes them durable, records and verifies them. Knows no plan file,
//! no terminal and no signal.

#![deny(clippy::exit, clippy::print_stderr, clippy::print_stdout)]

pub mod against;
pub mod compare;
pub mod completeness;
pub mod content;
pub mod context;
pub mod copy;
pub mod disk_full;
pub mod driver;
pub mod events;
pub mod fixup;
pub mod groups;
pub(crate) mod in_place;
pub mod journal;
pub mod judge;
pub mod leftovers;
pub mod manifest;
pub mod mapping;
pub mod meta;
pub mod namesake;
pub mod preflight;
pub mod preview;
pub mod report;
pub mod run;
mod selection;
pub mod stale;
pub mod survey;
pub mod tree;
pub mod two_trees;
pub mod undeclared;
pub mod verify;
pub mod volume;
