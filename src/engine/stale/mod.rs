//! What was copied and the source no longer has.
//!
//! | step | when | file |
//! |---|---|---|
//! | the names that a walk met in a directory are compared with the directory's rows | during the copy, and with `--against source` | `names`, `search` |
//! | what is missing is recorded in the journal | at once | |
//! | what the target lacks as well is forgotten, the rest is reported or, with `--delete`, removed | after the copy is verified | `settle`, `removal` |
//!
//! A directory that could not be read completely tells nothing. A declared entry that is gone as a
//! whole, and a directory in whose place an empty other one is, may be on a file system that is not
//! mounted: they are reported, and never removed.

mod foretell;
mod in_source;
mod names;
mod removal;
mod rows;
mod search;
mod settle;
mod sticky;
mod together;
mod way;

pub(crate) use foretell::{ForetoldRemoval, RemovalForeteller};
pub(crate) use in_source::stat_in_source;
pub(crate) use names::SourceNames;
pub(crate) use search::{StaleDirectory, StaleSearch, is_there};
pub use settle::{Settling, settle};
pub(crate) use way::{clear_way, is_whole};
