//! What was tried when a call failed.

use crate::sys::flags::Flags;
use crate::sys::stat::Kind;

/// One list gives the type and the word of each operation in the report.
macro_rules! operations {
    ($($(#[$doc:meta])+ $name:ident $(($($data:ty),+))? = $word:literal,)+) => {
        /// What was tried on the path of a problem, with the data to describe it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])+ $name $(($($data),+))?,)+
            /// What an earlier run tried: the journal has only the word.
            Recorded(&'static str),
        }

        impl Operation {
            /// Every word; `docs/report.md` lists them.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word of the report, which never changes.
            #[must_use]
            pub const fn word(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $word,)+
                    Self::Recorded(word) => word,
                }
            }
        }
    };
}

operations! {
    /// Open a file of the target to read it back.
    Open = "open",
    /// Open a file of the source.
    OpenSource = "open-source",
    /// Open a directory.
    OpenDirectory = "open-directory",
    /// Open the directory that the path lies in.
    OpenParent = "open-parent",
    /// Open a declared entry.
    OpenEntry = "open-entry",
    /// Open what is mounted there.
    OpenMount = "open-mount",
    /// Open a path on the target for verification.
    OpenTarget = "open-target",
    /// Open a directory whose children are there, to give it its metadata.
    OpenFinished = "open-finished",
    /// Ask for its stat.
    Stat = "stat",
    /// Ask for the stat of a source file that was read.
    StatAgain = "stat-again",
    /// Ask for the stat of a directory on the way to an entry.
    StatParent = "stat-parent",
    /// Ask for the stat of a declared entry.
    StatEntry = "stat-entry",
    /// See whether the source is what it was.
    Recheck = "recheck",
    /// Read a file of the target back.
    Read = "read",
    /// Read a file of the source.
    ReadSource = "read-source",
    /// Read the names in a directory.
    ReadDirectory = "read-directory",
    /// Read the text of a symlink.
    ReadSymlink = "read-symlink",
    /// Read the mark of an unfinished directory.
    ReadMark = "read-mark",
    /// Ask where the data of a sparse file is.
    FindData = "find-data",
    /// Drop a file's pages from the page cache.
    Evict = "evict",
    /// List the extended attributes.
    ListXattrs = "list-xattrs",
    /// Read an extended attribute of this name.
    ReadXattr(Box<[u8]>) = "read-xattr",
    /// Set an extended attribute of this name.
    SetXattr(Box<[u8]>) = "set-xattr",
    /// Remove an extended attribute of this name that the source does not have.
    RemoveXattr(Box<[u8]>) = "remove-xattr",
    /// Read the inode flags.
    ReadFlags = "read-flags",
    /// Read the inode flags of what was copied.
    ReadTargetFlags = "read-target-flags",
    /// Set these inode flags.
    SetFlags(Flags) = "set-flags",
    /// Clear the inode flags that a directory of the target handed down.
    ClearFlags = "clear-flags",
    /// Lift the immutable or append-only flag from what must change.
    LiftFlags = "lift-flags",
    /// Read the project id.
    ReadProject = "read-project",
    /// Set this project id.
    SetProject(u32) = "set-project",
    /// Set this user and group.
    SetOwner(u32, u32) = "set-owner",
    /// Set these permission bits.
    SetMode(u32) = "set-mode",
    /// Set the sticky bit of a directory before its ACL.
    SetSticky = "set-sticky",
    /// Set the access and modification time.
    SetTimes = "set-times",
    /// Create a regular file.
    CreateFile = "create-file",
    /// Create a symlink, FIFO or device node.
    CreateNode(Kind) = "create-node",
    /// Create a directory, or enter the one that is there.
    CreateDirectory = "create-directory",
    /// See whether a new directory is the one that was made.
    CheckDirectory = "check-directory",
    /// Make a hard link.
    Link = "link",
    /// Make a file share the blocks of its source (`--reflink always`).
    ShareBlocks = "share-blocks",
    /// Write a file.
    Write = "write",
    /// Set the size of a file.
    Truncate = "truncate",
    /// Close a file that was written.
    Close = "close",
    /// Give a copy its metadata and its place.
    FinishCopy = "finish-copy",
    /// Give a directory its metadata.
    FinishDirectory = "finish-directory",
    /// Rename a durable copy over what it replaces.
    Replace = "replace",
    /// Look for temporary names of an interrupted run.
    FindLeftovers = "find-leftovers",
    /// Remove a temporary name of an interrupted run.
    RemoveLeftover = "remove-leftover",
    /// Remove half of a replacement that was interrupted.
    RemoveHalf = "remove-half",
    /// Remove an unfinished copy whose source is gone.
    RemoveUnfinished = "remove-unfinished",
    /// Remove what the source no longer has.
    RemoveStale = "remove-stale",
    /// Apply a fixup.
    FixUp = "fix-up",
    /// Read a directory for a recursive fixup.
    ReadForFixup = "read-for-fixup",
}

impl Operation {
    /// The operation of this word; `None` for one of a later release.
    #[must_use]
    pub fn recorded(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|known| **known == word).map(|known| Self::Recorded(known))
    }

    /// True for what gives the target a name that it may not take.
    #[must_use]
    pub const fn creates(&self) -> bool {
        matches!(self, Self::CreateFile | Self::CreateNode(_) | Self::CreateDirectory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_operation_has_a_word_of_its_own_which_the_documentation_lists() {
        let page = include_str!("../../../docs/report.md");
        let mut words = HashSet::new();
        for word in Operation::WORDS {
            assert!(words.insert(word), "{word} stands for two");
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{word}");
            assert!(page.contains(&format!("`{word}`")), "docs/report.md does not list {word}");
        }
    }
}
