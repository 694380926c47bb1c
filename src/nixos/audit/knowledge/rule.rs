//! The table as rules of the audit.

use crate::base::path::RelPath;
use crate::nixos::known_paths::{Class, KnownPath, Meaning, Severity, Sort, all};
use std::borrow::Cow;

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The pattern, as it is documented.
    pub at: Cow<'static, str>,
    /// What it says.
    pub meaning: Meaning,
    /// Why it looks like state; the reason's words if it is left out.
    pub why: Cow<'static, str>,
    /// What to do, if not just declaring the path.
    pub advice: Option<&'static str>,
}

impl Rule {
    /// `None` for a part of what another record names.
    fn of(known: &KnownPath) -> Option<Self> {
        let (meaning, why) = match known.sort {
            Sort::State(severity, class, why) => (Meaning::State(severity, class), why),
            Sort::Leave(reason) => (Meaning::Leave(reason), reason.words()),
            Sort::Part(_) => return None,
        };
        Some(Self { at: Cow::Borrowed(known.at), meaning, why: Cow::Borrowed(why), advice: known.advice })
    }

    /// The rule for a directory that a unit declares as its state.
    pub(super) fn of_unit(path: &RelPath) -> Self {
        Self {
            at: Cow::Owned(path.to_string()),
            meaning: Meaning::State(Severity::Medium, Class::Service),
            why: Cow::Borrowed("state of a service"),
            advice: None,
        }
    }
}

/// Every rule of the table. The first of two with the same pattern would win.
#[must_use]
pub fn rules() -> Vec<Rule> {
    all().filter_map(Rule::of).collect()
}
