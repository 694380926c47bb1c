//! What becomes of the files of a database together.

use super::logs::DatabaseLogs;
use crate::base::path::Name;
use crate::engine::events::operation::Operation;
use crate::sys::Errno;

/// What becomes of the files of a database, for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DatabaseFate {
    /// They are brought; these logs on the target, which the source lacks, go.
    Brought(DatabaseLogs),
    /// They stay, as this one of them does.
    HeldBack(Name, HeldBy),
}

/// What holds the files of a database back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldBy {
    /// One that somebody has made or changed on the target.
    Changed,
    /// One that is gone from the target, or of which somebody has changed the attributes.
    Waiting,
}

/// Why the files of a database could not be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Untold {
    Ending,
    Failed(Operation, Errno),
}

impl From<Errno> for Untold {
    fn from(errno: Errno) -> Self {
        Self::Failed(Operation::Stat, errno)
    }
}

/// What was found out about the files of a database.
pub(crate) type FateAnswer = Result<DatabaseFate, Untold>;
