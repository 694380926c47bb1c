//! Whether what the source no longer has may be removed from the target: only exactly what a run of
//! the plan left there.

use super::history::History;
use super::leaf::is_lifted;
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::{CheckedDir, differences, has_same_content};
use crate::engine::content::medium::ReadError;
use crate::engine::events::detail::KeptBecause;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::journal::{Row, RowChange, State};
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat};

/// A recorded name that the source no longer has.
pub(crate) struct RemovalCase<'a> {
    pub(crate) dir: &'a TargetDir,
    pub(crate) path: &'a RelPath,
    pub(crate) name: &'a Name,
    pub(crate) row: &'a Row,
    pub(crate) there: &'a Stat,
    /// Its owner has it as it is, which was accepted.
    pub(crate) is_accepted: bool,
    /// This run has lifted the flags of the directory, to empty it.
    pub(crate) is_lifted: bool,
    pub(crate) history: History,
    pub(crate) rate_limit: &'a RateLimit,
}

impl RemovalCase<'_> {
    /// Why it is kept; `None` for what is exactly as a run left it. That a directory is empty is
    /// for its removal to tell.
    pub(crate) fn kept(&self) -> Option<KeptBecause> {
        let Self { dir, path, name, row, there, rate_limit, .. } = *self;
        if there.mount_root {
            return Some(KeptBecause::MountPoint);
        }
        if row.was_in_place() {
            return Some(KeptBecause::InUse);
        }
        if self.is_accepted {
            return Some(KeptBecause::Accepted);
        }
        let is_dir = row.kind() == Kind::Directory;
        // Of an interrupted replacement only the new inode is what the row describes.
        let is_new = row.state == State::Replacing && there.ino == row.dst_ino;
        if row.state != State::Done && !is_new {
            // A directory that was never finished has nothing of its own: it goes if it is empty.
            let empty = row.state == State::Open && is_dir && there.kind == Kind::Directory;
            return (!empty).then_some(KeptBecause::NotWhole);
        }
        let checked = CheckedDir::of(dir);
        match row.standing(there, checked.disk) {
            RowChange::AsRecorded => return None,
            RowChange::Changed => return Some(KeptBecause::Changed),
            RowChange::Touched => {}
        }
        // Only the content tells; removing another name or an entry of a directory touches it as well.
        let is_device = matches!(there.kind, Kind::CharDevice | Kind::BlockDevice);
        if is_device && there.rdev != row.rdev {
            return Some(KeptBecause::Changed);
        }
        match has_same_content(&checked, name, row, rate_limit) {
            Ok(true) => {}
            Ok(false) => return Some(KeptBecause::Changed),
            Err(ReadError::Stopped) => return Some(KeptBecause::NotWhole),
            Err(ReadError::Failed(operation, errno)) => return Some(KeptBecause::Failed(operation, errno)),
        }
        let by_us = self.is_lifted || self.history.interrupted;
        let mut found = differences(&checked, path, name, row, there);
        found.retain(|problem| !(is_dir && problem.kind == ProblemKind::Mtime || by_us && is_lifted(row, problem)));
        (!found.is_empty()).then_some(KeptBecause::Changed)
    }
}
