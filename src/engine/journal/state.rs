//! The states of a row.

/// The state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A directory that is being filled.
    Open,
    /// Whole on the medium.
    Done,
    /// A directory on the way to an entry that the plan does not own.
    Ancestor,
    /// Verification found it damaged, with the inode number and ctime of the row: it is
    /// copied again, unless somebody has changed it since.
    Bad,
    /// A large file of which some chunks are on the medium; they have rows of their own. The
    /// ctime is that of what it will replace.
    Partial,
    /// Another inode is about to replace it by a rename: the row is the new one's, except for the
    /// ctime, which is the old one's.
    Replacing,
}

impl State {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Open => 0,
            Self::Done => 1,
            Self::Ancestor => 2,
            Self::Bad => 3,
            Self::Partial => 4,
            Self::Replacing => 5,
        }
    }

    pub(super) const fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Open,
            1 => Self::Done,
            2 => Self::Ancestor,
            3 => Self::Bad,
            4 => Self::Partial,
            5 => Self::Replacing,
            _ => return None,
        })
    }
}
