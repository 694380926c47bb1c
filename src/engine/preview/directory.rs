//! What a run would do with a directory: whether it would be entered, and with what.

use super::items::{Foreseen, ForeseenItem};
use super::judge::kept;
use super::walk::{EnteredDir, PreviewWalk};
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::CheckedDir;
use crate::engine::events::unpreserved::Disk;
use crate::engine::in_place::is_in_place;
use crate::engine::journal::{AcceptedRow, Row};
use crate::engine::judge::{
    DirAttributes, DirInSource, JudgedName, NameDecision, found, judge_attributes, judge_directory,
};
use crate::engine::volume::Volume;
use crate::sys::Errno;
use crate::sys::dir::{TargetDir, open_target};
use crate::sys::leads_nowhere;
use crate::sys::stat::{Kind, Stat};
use std::sync::Arc;

/// A name of a directory of the target that is a directory in the source.
struct DirName<'a> {
    path: &'a RelPath,
    name: &'a Name,
    above: &'a Arc<TargetDir>,
    disk: Disk,
    walk: &'a PreviewWalk<'a>,
    row: Option<&'a Row>,
}

impl PreviewWalk<'_> {
    /// The directory at `path` of the target, `None` if nothing is there.
    pub(super) fn on_target(&self, path: &RelPath) -> Result<Option<Arc<TargetDir>>, Errno> {
        match open_target(&self.parts.mapping.root, path) {
            Ok(opened) => Ok(Some(Arc::new(opened))),
            Err(errno) if leads_nowhere(errno) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Tells what becomes of the directory `name` at `path`, whose row is `row` and whose source looks
    /// like `stat` and is on `volume`; `None` if the run would not enter it. `above` is the directory that it is in, if that is there.
    pub(super) fn directory(
        &self,
        (above, name): (Option<&Arc<TargetDir>>, &Name),
        path: &RelPath,
        (row, target): (Option<&Row>, u32),
        (stat, volume): (&Stat, &Volume),
    ) -> Option<EnteredDir> {
        let (what, entered) = self.foresee_directory((above, name), path, (row, target), (stat, volume));
        self.item(&ForeseenItem { what, kind: Kind::Directory, entries: 1, bytes: 0, path: path.clone(), target });
        entered
    }

    fn foresee_directory(
        &self,
        (above, name): (Option<&Arc<TargetDir>>, &Name),
        path: &RelPath,
        (row, target): (Option<&Row>, u32),
        (stat, volume): (&Stat, &Volume),
    ) -> (Foreseen, Option<EnteredDir>) {
        let id = row.and_then(|row| row.id);
        let Some(above) = above else { return (Foreseen::New, Some(EnteredDir { id, fresh: true })) };
        let Ok(there) = found(above.stat_at(name)) else { return (Foreseen::Unreadable, None) };
        if there.is_some_and(|there| is_in_place(stat, &there)) {
            return (Foreseen::InPlace, Some(EnteredDir { id, fresh: false }));
        }
        if row.is_some_and(|row| row.was_in_place() && !self.options.overwrite) {
            return (Foreseen::Kept, None);
        }
        let at = DirName { path, name, above, disk: CheckedDir::of(above).disk, walk: self, row };
        let policy = self.policy(target);
        let brought = DirInSource { mtime: Some(stat.mtime), volume: Some(volume) };
        match (judge_directory(&policy, &at, row, there.as_ref(), brought), there) {
            (NameDecision::Enter, Some(there)) => {
                let what = match judge_attributes(&policy, &at, row.filter(|row| row.id.is_some()), &there) {
                    Ok(DirAttributes::Altered(problems)) => kept(&problems),
                    Ok(_) if row.is_none() => Foreseen::Changed,
                    Ok(_) => Foreseen::Unchanged,
                    Err(_) => return (Foreseen::Unreadable, None),
                };
                (what, Some(EnteredDir { id, fresh: false }))
            }
            (NameDecision::Copy(..), there) => {
                let what = if there.is_some() { Foreseen::Changed } else { Foreseen::New };
                (what, Some(EnteredDir { id, fresh: true }))
            }
            (NameDecision::Keep(problems), _) => (kept(&problems), None),
            (_, _) => (Foreseen::Unreadable, None),
        }
    }
}

impl JudgedName for DirName<'_> {
    fn path(&self) -> RelPath {
        self.path.clone()
    }

    fn name(&self) -> &Name {
        self.name
    }

    fn disk(&self) -> Disk {
        self.disk
    }

    fn open(&self) -> Result<Arc<TargetDir>, Errno> {
        Ok(Arc::clone(self.above))
    }

    fn accepted(&self) -> Option<AcceptedRow> {
        self.row.and_then(|row| self.walk.ask(|reader| reader.accepted(row.dir, self.name)).flatten())
    }
}
