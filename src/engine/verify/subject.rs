//! An entry that is looked at, and what that shows.

use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::CheckedDir;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Row, RowChange};
use crate::sys::stat::Stat;

/// An entry of the target, and the row that it is compared with.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Its directory.
    pub(crate) dir: &'a CheckedDir<'a>,
    pub(crate) path: &'a RelPath,
    pub(crate) name: &'a Name,
    pub(crate) row: &'a Row,
}

/// The result of looking at one entry.
pub(crate) enum Looked {
    /// It was verified before and has not changed since.
    LeftOut,
    /// It is missing, or cannot be read.
    Unreachable(Problem),
    /// Its stat from before it was read, how that compares with its row, and its differences.
    At { stat: Stat, standing: RowChange, found: Vec<Problem> },
    /// The run is ending.
    Stopped,
}
