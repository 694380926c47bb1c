//! Paths that mean the same on every machine, one record for each: how bad it is to lose them, the mode
//! that their program gives them, and who replaces them by a rename. The audit, the import, the export
//! and the check all use this table.
//!
//! `~` stands for each home; `*`, `?` and `[…]`
//! match within one name; `**/` in front means anywhere. `docs/audit.md` shows the
//! whole table, and a test holds it to this one.

mod elsewhere;
mod home;
mod lookup;
mod record;
mod system;
mod table;
mod words;

pub(crate) use lookup::{Replacer, Spot, is_catch_all, replacer, written_first};
pub(crate) use record::{KnownPath, Sort};
pub(crate) use table::all;
pub use words::{Class, LeftOutReason, Meaning, Severity};
