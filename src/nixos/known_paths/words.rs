//! The words that records are made of.

use crate::engine::mapping::model::Need;

/// How bad it is to lose something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// An inconvenience, or not known.
    Low,
    /// It takes work to restore.
    Medium,
    /// It takes much work to restore, or some of it cannot be.
    High,
    /// Nobody can log in, or the data exists nowhere else.
    Critical,
}

impl Severity {
    /// All, worst first.
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
pub enum LeftOutReason {
    /// A pattern of the plan leaves it out.
    Excluded,
    /// A symlink into the Nix store, or to what NixOS creates.
    StoreLink,
    /// Created again by NixOS, home-manager or the service itself.
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
    /// A destination of the plan inside the source.
    Storage,
}

impl LeftOutReason {
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
            Self::StoreLink => "symlinks into the Nix store or to what NixOS creates",
            Self::Generated => "created again by NixOS, home-manager or a service",
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

/// What a rule says about what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is state.
    State(Severity, Class),
    /// It is not state.
    Leave(LeftOutReason),
}
