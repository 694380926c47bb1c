//! Names that have different numbers on the two machines.

/// Whether an id belongs to a user or to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IdKind {
    /// A user.
    User,
    /// A group.
    Group,
}

impl IdKind {
    /// Its name for a person.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

/// One name that has two numbers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Drift {
    /// User or group.
    pub kind: IdKind,
    /// The name.
    pub name: String,
    /// Its number in the backup.
    pub backup: u32,
    /// Its number on the target.
    pub target: u32,
    /// Files got the target's number (`--remap-ids`); else they keep the backup's.
    #[serde(default)]
    pub remapped: bool,
}

/// A number that is another name's on the target, where its name in the backup is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdConflict {
    /// User or group.
    pub kind: IdKind,
    /// The number.
    pub id: u32,
    /// Its name in the backup.
    pub backup: String,
    /// Its name on the target.
    pub target: String,
}
