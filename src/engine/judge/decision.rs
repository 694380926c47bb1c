//! What is decided of a name, as data, and what a judge may ask about it.

use super::fate::{FateAnswer, Untold};
use super::logs::DatabaseLogs;
use crate::base::path::{Name, RelPath};
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::{AcceptedRow, Row};
use crate::engine::meta::Wanted;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use std::sync::Arc;

/// What becomes of a name. Nothing of it has been done or reported yet.
#[derive(Debug)]
pub(crate) enum NameDecision {
    /// Nothing: an earlier run finished it, and neither side has changed since.
    Finished(Box<FinishedName>),
    /// It is a directory, which is entered.
    Enter,
    /// It is copied, over what is there; these logs of another state of the database go.
    Copy(Option<Note>, DatabaseLogs),
    /// Nothing: what is there stays, and this says why; no problem for what was accepted.
    Keep(Vec<Problem>),
    /// What is there could not be looked at.
    Failed(Operation, Errno),
    /// Nothing, as the run is ending.
    Ending,
}

impl NameDecision {
    /// It is copied, and no log lies beside it.
    pub(super) fn copy(note: Option<Note>) -> Self {
        Self::Copy(note, DatabaseLogs::default())
    }

    /// It stays for this reason.
    pub(super) fn keep(why: Problem) -> Self {
        Self::Keep(vec![why])
    }
}

impl From<Untold> for NameDecision {
    fn from(untold: Untold) -> Self {
        match untold {
            Untold::Ending => Self::Ending,
            Untold::Failed(operation, errno) => Self::Failed(operation, errno),
        }
    }
}

/// A name whose copy is as source and plan ask for.
#[derive(Debug)]
pub(crate) struct FinishedName {
    /// What it is to have, as far as that was needed.
    pub(crate) wanted: Wanted,
    /// Its row, if that has to say another inode or ctime of either side.
    pub(crate) row: Option<Row>,
}

/// A name of a directory of the target that is judged.
pub(crate) trait JudgedName {
    /// Below the target's root.
    fn path(&self) -> RelPath;
    /// In its directory.
    fn name(&self) -> &Name;
    /// The file system of its directory.
    fn disk(&self) -> Disk;
    /// Its directory.
    fn open(&self) -> Result<Arc<TargetDir>, Errno>;
    /// What `--accept` took into the manifest in the place of what was copied.
    fn accepted(&self) -> Option<AcceptedRow>;
}

/// One that is not a directory in the source.
pub(crate) trait JudgedLeaf: JudgedName {
    /// Another name of its directory.
    fn other<'s>(&'s self, name: &'s Name) -> Box<dyn JudgedLeaf + 's>;
    /// The row of another name of its directory.
    fn row_of(&self, name: &Name) -> Option<Row>;
    /// What becomes of the files of `database` in its directory: `find`, if that was not asked
    /// before. Once the first of them is replaced it could not be told any more.
    fn fate_of(&self, database: &Name, find: &mut dyn FnMut() -> FateAnswer) -> FateAnswer;
    /// True when another name of the inode vouches for the content of `row`, an alias.
    fn is_vouched_for(&self, row: &Row) -> bool;
}
