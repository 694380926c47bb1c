//! What becomes of a name of the target: decided here, from what was recorded, what the target has
//! and what the source has, and given back as data. The copier does and reports it
//! (`copy/takeover.rs`, `copy/altered.rs`); the preview only tells it (`preview/`). So what is
//! foretold is what happens.
//!
//! | question | file |
//! |---|---|
//! | what may be asked, what is answered | `decision`, `history` |
//! | a name that is not a directory in the source | `leaf` |
//! | a directory, and its attributes | `directory` |
//! | what no run recorded, what somebody has changed | `others` |
//! | a source on another file system than what was copied | `other_volume` |
//! | what its owner has instead, and was accepted | `accepted` |
//! | a database and its logs | `database`, `fate`, `logs` |
//! | what the source no longer has | `removal` |
//! | whether the source is still what was copied | `source`, `evidence` |

mod accepted;
mod database;
mod decision;
mod directory;
mod evidence;
mod fate;
mod history;
mod leaf;
mod logs;
mod other_volume;
mod others;
mod removal;
mod source;

pub(crate) use database::database_files;
pub(crate) use decision::{FinishedName, JudgedLeaf, JudgedName, NameDecision};
pub(crate) use directory::{DirAttributes, DirInSource, is_as_created, is_closed, judge_attributes, judge_directory};
pub(crate) use evidence::{KnownContent, SourceAccess};
pub(crate) use fate::{DatabaseFate, FateAnswer};
pub use history::History;
pub(crate) use history::Policy;
pub(crate) use leaf::LeafCase;
pub(crate) use logs::DatabaseLogs;
pub(crate) use others::{altered, found, gone};
pub(crate) use removal::RemovalCase;
pub(crate) use source::{SourceCase, SourceName};
