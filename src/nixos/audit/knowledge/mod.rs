//! What looks like state, and what does not: a table, a line for each rule, and
//! the machine that matches it while a walk goes down.
//!
//! `~` stands for each directory in `/home` and for `/root`; `*`, `?` and `[…]`
//! match within one name; `**/` in front means anywhere. `docs/audit.md` shows the
//! whole table, and a test holds it to this one.

mod elsewhere;
mod home;
mod machine;
mod system;
mod table;

pub use machine::{Active, By, Knowledge, Match, Step};
pub use table::markdown;

use crate::base::path::RelPath;
use crate::engine::mapping::model::Need;
use std::borrow::Cow;

/// How bad it is to lose something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// An inconvenience, or nobody knows.
    Low,
    /// Work to bring back.
    Medium,
    /// Much work, or not to be brought back in all of its parts.
    High,
    /// Nobody can log in, or what is gone exists nowhere else.
    Critical,
}

impl Severity {
    /// All, the worst first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// The word of reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The `need` that a plan would give it.
    #[must_use]
    pub const fn need(self) -> Need {
        match self {
            Self::Low => Need::Optional,
            Self::Medium => Need::Recommended,
            Self::High => Need::Required,
            Self::Critical => Need::Critical,
        }
    }
}

/// What sort of state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words are the meaning")]
pub enum Class {
    Accounts,
    Browser,
    Chat,
    Containers,
    Data,
    Database,
    Development,
    Games,
    Hardware,
    Keys,
    Mail,
    Network,
    Service,
    Settings,
    Shell,
    System,
    Unknown,
    VirtualMachines,
    Wallet,
}

impl Class {
    /// The word of reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Browser => "browser",
            Self::Chat => "chat",
            Self::Containers => "containers",
            Self::Data => "data",
            Self::Database => "database",
            Self::Development => "development",
            Self::Games => "games",
            Self::Hardware => "hardware",
            Self::Keys => "keys",
            Self::Mail => "mail",
            Self::Network => "network",
            Self::Service => "service",
            Self::Settings => "settings",
            Self::Shell => "shell",
            Self::System => "system",
            Self::Unknown => "unknown",
            Self::VirtualMachines => "virtual-machines",
            Self::Wallet => "wallet",
        }
    }
}

/// Why something is no loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A pattern of the plan leaves it out.
    Excluded,
    /// A symlink into the Nix store, or to what NixOS makes.
    StoreLink,
    /// Made anew by NixOS, home-manager or the service itself.
    Generated,
    /// A cache, or the trash.
    Cache,
    /// Programs that can be installed again.
    Programs,
    /// The Nix store and its database.
    Nix,
    /// Emptied at every boot, or no data at all.
    Runtime,
    /// A socket, FIFO, device node or lock.
    NoContent,
    /// An empty file, or a directory with nothing in it but what is left out.
    Empty,
    /// Copies of a file system at another time.
    Snapshots,
    /// What the plan copies to: it lies inside the source.
    Storage,
}

impl Reason {
    /// All, in the order of reports.
    pub const ALL: [Self; 11] = [
        Self::Excluded,
        Self::StoreLink,
        Self::Generated,
        Self::Cache,
        Self::Programs,
        Self::Nix,
        Self::Runtime,
        Self::NoContent,
        Self::Empty,
        Self::Snapshots,
        Self::Storage,
    ];

    /// The word of JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Excluded => "excluded",
            Self::StoreLink => "store-link",
            Self::Generated => "generated",
            Self::Cache => "cache",
            Self::Programs => "programs",
            Self::Nix => "nix",
            Self::Runtime => "runtime",
            Self::NoContent => "no-content",
            Self::Empty => "empty",
            Self::Snapshots => "snapshots",
            Self::Storage => "storage",
        }
    }

    /// What it is, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Excluded => "excluded by the plan",
            Self::StoreLink => "symlinks into the Nix store or to what NixOS makes",
            Self::Generated => "made anew by NixOS, home-manager or a service",
            Self::Cache => "caches and trash",
            Self::Programs => "programs that can be installed again",
            Self::Nix => "the Nix store and its database, not entered",
            Self::Runtime => "emptied at every boot, or no data",
            Self::NoContent => "sockets, FIFOs, device nodes and locks",
            Self::Empty => "empty files, and directories with nothing to lose in them",
            Self::Snapshots => "snapshots",
            Self::Storage => "the plan's own destinations",
        }
    }
}

/// What a rule says of what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is state.
    State(Severity, Class),
    /// It is none.
    Leave(Reason),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The pattern, as it is documented.
    pub at: Cow<'static, str>,
    /// What it says.
    pub meaning: Meaning,
    /// Why it looks like state; for what is left out the words of the reason.
    pub why: Cow<'static, str>,
    /// What to do, where it is not just to declare the path.
    pub advice: Option<&'static str>,
}

/// Pattern, severity, class, why.
type Row = (&'static str, Severity, Class, &'static str);

/// Every rule of the table. The first of two with the same pattern would win.
#[must_use]
pub fn rules() -> Vec<Rule> {
    let advice = |at: &str| {
        system::ADVICE.iter().chain(home::ADVICE).find(|(pattern, _)| *pattern == at).map(|(_, advice)| *advice)
    };
    let state = system::STATE.iter().chain(home::STATE).chain(elsewhere::SIGNS);
    let state = state.map(|(at, severity, class, why)| Rule {
        at: Cow::Borrowed(at),
        meaning: Meaning::State(*severity, *class),
        why: Cow::Borrowed(why),
        advice: advice(at),
    });
    let leave = elsewhere::LEAVE.iter().map(|(at, reason)| Rule {
        at: Cow::Borrowed(at),
        meaning: Meaning::Leave(*reason),
        why: Cow::Borrowed(reason.words()),
        advice: None,
    });
    state.chain(leave).collect()
}

/// The rule of a directory that a unit names as its state.
#[must_use]
pub fn unit_rule(path: &RelPath) -> Rule {
    Rule {
        at: Cow::Owned(path.to_string()),
        meaning: Meaning::State(Severity::Medium, Class::Service),
        why: Cow::Borrowed("state of a service"),
        advice: None,
    }
}

#[cfg(test)]
mod tests;
