//! What looks like state, and what does not: the rules of the table of known paths,
//! and the machine that matches them while a walk goes down.

mod machine;
mod rule;
mod table;

pub use crate::nixos::known_paths::{Class, LeftOutReason, Meaning, Severity};
pub use machine::{Active, By, Knowledge, Match, RuleStep};
pub use rule::{Rule, rules};
pub use table::markdown;

#[cfg(test)]
mod tests;
