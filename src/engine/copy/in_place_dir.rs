//! Directories that are in their place, or were when an earlier run came there.

use super::dir_metadata::{InPlaceDirectory, PostVisit};
use super::directories::Directories;
use super::engine::Engine;
use super::entry::TargetName;
use super::in_place::now;
use super::node::{DirNode, NodeParts};
use super::open_dir::OpenDir;
use super::post_visit::key_of;
use super::pre_visit::News;
use crate::base::path::Name;
use crate::engine::compare::differences::CheckedDir;
use crate::engine::events::operation::Operation;
use crate::engine::in_place::{is_in_place, was_in_place};
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Row, SourceId, State};
use crate::engine::judge::{found, gone};
use crate::engine::meta::Wanted;
use crate::engine::meta::mark::Mark;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Stat;
use crate::sys::xattr::Holder;
use std::sync::Arc;

/// How a directory of the source stands to its place on the target.
pub(super) enum DirStanding {
    /// It is another one.
    Other,
    /// It is the same inode.
    InPlace,
    /// It is another one than an earlier run found in its place, which is kept, or that cannot be told; a problem
    /// says so.
    Kept,
}

impl Engine {
    /// True when `name` in `dir` is in its place.
    pub(super) fn is_in_its_place(&self, dir: &OpenDir, name: &Name, stat: &Stat) -> bool {
        let there = || dir.node.open().and_then(|target| target.stat_at(name));
        !dir.node.fresh && there().is_ok_and(|there| is_in_place(stat, &there))
    }

    /// Compares a directory of the source, which looks like `stat`, with its place.
    pub(super) fn standing(&self, at: TargetName<'_>, stat: &Stat) -> DirStanding {
        if at.above.fresh {
            return DirStanding::Other;
        }
        let there = match at.above.open().and_then(|dir| found(dir.stat_at(at.name))) {
            Ok(there) => there,
            Err(errno) => {
                self.cx.target_failed(at.target, at.path(), Operation::Stat, errno);
                return DirStanding::Kept;
            }
        };
        if there.as_ref().is_some_and(|there| is_in_place(stat, there)) {
            return DirStanding::InPlace;
        }
        let was = || self.cx.records.prior(at.above, at.name).is_some_and(|row| row.was_in_place());
        if self.cx.options.overwrite || !self.cx.history(at.target).in_place || !was() {
            return DirStanding::Other;
        }
        let problem = match &there {
            Some(there) => was_in_place(at.path(), stat.into(), there),
            None => gone(at.path()),
        };
        self.cx.problem(at.target, problem);
        DirStanding::Kept
    }

    /// The directory between `to` and an entry, if it is in its place, or was when an earlier run came
    /// there: it is not the plan's.
    pub(super) fn parent_in_place(&self, at: TargetName<'_>, stat: &Stat) -> Result<Option<TargetDir>, Errno> {
        if at.above.fresh {
            return Ok(None);
        }
        let above = at.above.open()?;
        let dir = match above.open_dir(at.name) {
            // Something else is made way for, or is a problem.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            opened => opened?,
        };
        let is_here = is_in_place(stat, &above.stat_at(at.name)?);
        let was = || self.cx.records.prior(at.above, at.name).is_some_and(|row| row.state == State::Ancestor);
        Ok((is_here || was()).then_some(dir))
    }

    /// Opens a directory that is in its place, to record what is in it.
    pub(super) fn enter_in_place(&self, at: TargetName<'_>, stat: &Stat) -> Option<Arc<DirNode>> {
        let failed = |operation, errno| self.cx.target_failed(at.target, at.path(), operation, errno);
        let dir = at.above.open().and_then(|above| above.open_dir(at.name));
        let dir = dir.map_err(|errno| failed(Operation::OpenDirectory, errno)).ok()?;
        // The journal is not recorded in itself.
        if self.directories.state == (stat.dev, stat.ino) {
            return None;
        }
        self.cx.count_in_place(at.target, at.above, || at.path());
        let prior = self.cx.records.prior(at.above, at.name);
        let prior = prior.as_ref();
        let was_in_place = prior.is_some_and(Row::was_in_place);
        let is_recorded = was_in_place
            && prior.is_some_and(|row| row.is_done_as(stat) || row.still_damaged(stat, CheckedDir::of(&dir).disk));
        let wanted = (!is_recorded).then(|| self.metadata_in_place(at, &dir, stat));
        let id = prior.and_then(|row| row.id);
        // What an earlier run copied is no copy from here on, even if this run is killed before it is through.
        let news = if was_in_place && id.is_some() { News::Recorded } else { News::Announce };
        let id = id.unwrap_or_else(|| self.directories.new_id());
        let post_visit = PostVisit::InPlace(Box::new(InPlaceDirectory { wanted }));
        let parts = NodeParts { id, fresh: false, post_visit, mark: Mark::None };
        self.directories.node(at, dir, parts, news).map_err(|errno| failed(Operation::Stat, errno)).ok()
    }

    fn metadata_in_place(&self, at: TargetName<'_>, dir: &TargetDir, stat: &Stat) -> Wanted {
        let attributes = self.source.attributes(at.target, (Holder::file(dir), stat), || None, || at.path());
        let mut wanted = Wanted::from_source(stat, attributes, &self.cx.keep_as_it_is());
        // On a live system names come and go.
        wanted.mtime = None;
        wanted
    }
}

impl Directories {
    /// Records a directory that is in its place.
    pub(super) fn record_in_place(&self, node: &DirNode, found: &InPlaceDirectory) -> Result<(), Errno> {
        let Some(wanted) = &found.wanted else { return Ok(()) };
        let stat = node.open()?.stat()?;
        let row = Row::directory(key_of(node), node.id, Some(SourceId::in_place(&stat)), &stat, wanted.clone());
        self.cx.submit.send(Written::row(row.as_found(now()), node.file_system));
        Ok(())
    }
}
