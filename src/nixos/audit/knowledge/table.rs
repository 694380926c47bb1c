//! The table as `docs/audit.md` shows it.

use super::rule::rules;
use crate::nixos::known_paths::{LeftOutReason, Meaning};
use std::fmt::Write;

/// Markdown: the rules of what is state, then those of what is left out.
#[must_use]
pub fn markdown() -> String {
    let rules = rules();
    let mut out = String::from("| path | severity | class | why |\n|---|---|---|---|\n");
    for rule in &rules {
        if let Meaning::State(severity, class) = rule.meaning {
            writeln!(out, "| `{}` | {} | {} | {} |", rule.at, severity.word(), class.word(), rule.why).ok();
        }
    }
    out.push_str("\n| reason | paths |\n|---|---|\n");
    for reason in LeftOutReason::ALL {
        let paths = rules.iter().filter(|rule| rule.meaning == Meaning::Leave(reason));
        let paths: Vec<String> = paths.map(|rule| format!("`{}`", rule.at)).collect();
        if !paths.is_empty() {
            writeln!(out, "| {} | {} |", reason.word(), paths.join(", ")).ok();
        }
    }
    out
}
