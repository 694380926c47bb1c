//! Kinds of problems.

use serde::{Deserialize, Serialize};

/// The closed set of problem kinds, documented in `docs/report.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// Recorded or declared, but missing.
    Missing,
    /// A copying run did not finish, or a directory was not finished.
    Unfinished,
    /// On the target, but nothing that the plan copies: not recorded, or no longer declared.
    Extra,
    /// The content differs from what was read from the source.
    Content,
    /// The size differs.
    Size,
    /// It is another type of inode.
    Type,
    /// The owner differs or could not be set.
    Owner,
    /// The group differs or could not be set.
    Group,
    /// The permission bits differ or could not be set.
    Mode,
    /// The modification time differs or could not be set.
    Mtime,
    /// The access time could not be set (`--atime`).
    Atime,
    /// An extended attribute differs or could not be kept.
    Xattr,
    /// A POSIX ACL differs or could not be kept.
    Acl,
    /// Inode flags (chattr) differ or could not be kept.
    Flags,
    /// The project id differs or could not be kept.
    Project,
    /// Holes were filled: by the target's file system, or by something since.
    Holes,
    /// A hard link could not be kept, or is broken.
    Link,
    /// The text of a symlink differs.
    Target,
    /// The source could not be read.
    Unreadable,
    /// The target cannot hold this.
    Unsupported,
    /// The source changed while it was read.
    ChangedSource,
    /// Somebody changed the target since it was copied, or had put something there before: it is kept.
    ChangedTarget,
    /// An operation on the target failed.
    Io,
    /// A mount inside the source was not entered.
    Mount,
    /// A fixup could not be applied or did not hold.
    Fixup,
    /// An id map is damaged.
    IdMap,
    /// Patterns leave out everything that a declared entry holds.
    Excluded,
    /// It was copied, and the source no longer has it.
    Stale,
}

impl ProblemKind {
    /// The word of the report.
    #[must_use]
    pub fn word(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_string)).unwrap_or_default()
    }

    /// The kind that a word of the report means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        serde_json::from_value(word.into()).ok()
    }
}
