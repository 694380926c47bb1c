//! What a run would do with names that are not directories: what the judge decides of them, told
//! and not done.

use super::items::{Foreseen, ForeseenItem};
use super::walk::{PreviewDir, PreviewWalk};
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::CheckedDir;
use crate::engine::driver::Drivers;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Disk;
use crate::engine::in_place::{LinkAt, is_in_place};
use crate::engine::journal::{AcceptedRow, Row, RowAnswer};
use crate::engine::judge::{
    FateAnswer, JudgedLeaf, JudgedName, LeafCase, NameDecision, SourceAccess, SourceCase, SourceName, found,
};
use crate::engine::mapping::explicit::Explicit;
use crate::engine::meta::{Attributes, Wanted};
use crate::engine::selection::PlanOverrides;
use crate::engine::volume::Volume;
use crate::sys::Errno;
use crate::sys::dir::{TargetDir, read_batches};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, Time};
use rustix::fd::OwnedFd;
use std::sync::Arc;

/// A name on both sides.
#[derive(Clone, Copy)]
pub(super) struct PreviewName<'a> {
    pub(super) walk: &'a PreviewWalk<'a>,
    /// The directory of the backup that it is in.
    pub(super) dir: &'a PreviewDir,
    pub(super) name: &'a Name,
    /// What the source calls it.
    pub(super) in_source: &'a Name,
    /// What the plan says of it itself.
    pub(super) own: Explicit,
    /// Its directory on the target.
    pub(super) on_target: &'a Arc<TargetDir>,
    pub(super) disk: Disk,
}

impl PreviewWalk<'_> {
    /// Judges `names` of `dir`, with what the source calls them: their rows are asked for, and the
    /// directory on the target is opened, once for all.
    pub(super) fn leaves_of(&self, dir: &PreviewDir, names: &[(&Name, &Name)], own: Explicit) {
        let asked: Vec<&Name> = names.iter().map(|(name, _)| *name).collect();
        let rows = dir.id.and_then(|id| self.ask(|reader| reader.find_each(id, &asked))).unwrap_or_default();
        let opened = if dir.fresh { Ok(None) } else { self.on_target(&dir.path) };
        let disk = match &opened {
            Ok(Some(opened)) => CheckedDir::of(opened).disk,
            _ => Disk::usual(0),
        };
        let mut rows = rows.into_iter();
        for (name, in_source) in names {
            let row = match rows.next() {
                Some(RowAnswer::Known(row)) => row,
                Some(RowAnswer::Unasked) => self.recorded(dir.id, name).map(Arc::new),
                None => None,
            };
            let path = dir.path.join(name);
            let Ok(stat) = dir.src.stat_at(in_source) else {
                self.unreadable(dir.target, path, Kind::File);
                continue;
            };
            if matches!(stat.kind, Kind::Socket | Kind::Directory) {
                continue;
            }
            let what = match &opened {
                Err(_) => Foreseen::Unreadable,
                Ok(None) => Foreseen::New,
                Ok(Some(on_target)) => {
                    let name = PreviewName { walk: self, dir, name, in_source, own, on_target, disk };
                    name.foresee(&stat, row.as_deref())
                }
            };
            let bytes = self.bytes_of(&stat);
            self.item(&ForeseenItem { what, kind: stat.kind, entries: 1, bytes, path, target: dir.target });
        }
    }

    /// Bytes of a regular file, the first time that its inode is met.
    fn bytes_of(&self, stat: &Stat) -> u64 {
        if stat.kind == Kind::File && self.linked.is_new(stat) { stat.size } else { 0 }
    }
}

impl PreviewName<'_> {
    fn foresee(&self, stat: &Stat, row: Option<&Row>) -> Foreseen {
        let Ok(there) = found(self.on_target.stat_at(self.name)) else { return Foreseen::Unreadable };
        if there.is_some_and(|there| self.leads_home(stat, &there)) {
            return Foreseen::InPlace;
        }
        if let Some(row) = row.filter(|row| row.was_in_place() && !self.walk.options.overwrite) {
            let source = SourceCase { name: self, stat, row, rate_limit: self.walk.rate_limit };
            let same = source.current(SourceAccess::Name).is_some();
            return if same { Foreseen::Unchanged } else { Foreseen::Kept };
        }
        let case = LeafCase {
            policy: self.walk.policy(self.dir.target),
            at: self,
            row,
            there: there.as_ref(),
            source: stat,
            in_source: self,
            access: SourceAccess::Name,
        };
        match case.judge() {
            NameDecision::Finished(_) => Foreseen::Unchanged,
            NameDecision::Keep(problems) => kept(&problems),
            NameDecision::Failed(..) => Foreseen::Unreadable,
            NameDecision::Copy(..) if case.is_retyped() && self.walk.options.delete => match row {
                Some(row) => self.makes_way(row),
                None => Foreseen::Kept,
            },
            NameDecision::Copy(..) | NameDecision::Enter | NameDecision::Ending => self.copied(there.as_ref()),
        }
    }

    /// True when the source's name leads to the inode `there` of the target.
    fn leads_home(&self, stat: &Stat, there: &Stat) -> bool {
        if stat.kind != Kind::Symlink || there.kind == Kind::Symlink {
            return is_in_place(stat, there);
        }
        let Ok(dir) = self.dir.src.open() else { return false };
        let Ok(text) = dir.read_link(self.in_source) else { return false };
        let link = LinkAt { source: &self.walk.parts.source, dir: &dir, name: self.in_source, text: &text };
        link.leads_to(&JudgedName::path(self), Some(there)).unwrap_or(false)
    }

    /// It is copied over `there`, unless that is a directory with content.
    fn copied(&self, there: Option<&Stat>) -> Foreseen {
        match there {
            None => Foreseen::New,
            Some(there) if there.kind == Kind::Directory && !self.is_empty() => Foreseen::Kept,
            Some(_) => Foreseen::Changed,
        }
    }

    /// It is copied if the directory that has its place can be removed.
    fn makes_way(&self, row: &Row) -> Foreseen {
        let (path, target) = (JudgedName::path(self), self.dir.target);
        let foretold = self.walk.removal(target, &path, row);
        if foretold.removed > 0 {
            let (what, kind, entries, bytes) = (Foreseen::Delete, Kind::Directory, foretold.removed, 0);
            self.walk.item(&ForeseenItem { what, kind, entries, bytes, path, target });
        }
        if foretold.kept == 0 { Foreseen::Changed } else { Foreseen::Kept }
    }

    fn is_empty(&self) -> bool {
        let mut empty = true;
        let read = self.on_target.open_dir(self.name).and_then(|dir| {
            read_batches(&dir, 1, |batch| {
                empty &= batch.is_empty();
                empty
            })
        });
        read.is_ok() && empty
    }
}

/// What is kept is changed or missing on the target.
pub(super) fn kept(problems: &[Problem]) -> Foreseen {
    if problems.is_empty() {
        return Foreseen::Unchanged;
    }
    let missing = problems.iter().all(|problem| problem.kind == ProblemKind::Missing);
    if missing { Foreseen::Missing } else { Foreseen::Kept }
}

impl JudgedName for PreviewName<'_> {
    fn path(&self) -> RelPath {
        self.dir.path.join(self.name)
    }

    fn name(&self) -> &Name {
        self.name
    }

    fn disk(&self) -> Disk {
        self.disk
    }

    fn open(&self) -> Result<Arc<TargetDir>, Errno> {
        Ok(Arc::clone(self.on_target))
    }

    fn accepted(&self) -> Option<AcceptedRow> {
        self.dir.id.and_then(|id| self.walk.ask(|reader| reader.accepted(id, self.name)).flatten())
    }
}

impl JudgedLeaf for PreviewName<'_> {
    fn other<'s>(&'s self, name: &'s Name) -> Box<dyn JudgedLeaf + 's> {
        Box::new(PreviewName { name, in_source: name, ..*self })
    }

    /// Nothing is replaced, so it can be told at any time.
    fn fate_of(&self, _: &Name, find: &mut dyn FnMut() -> FateAnswer) -> FateAnswer {
        find()
    }

    fn row_of(&self, name: &Name) -> Option<Row> {
        self.walk.recorded(self.dir.id, name)
    }

    fn is_vouched_for(&self, row: &Row) -> bool {
        self.walk.ask(|reader| reader.vouched_for(row)).unwrap_or(false)
    }
}

impl SourceName for PreviewName<'_> {
    fn path(&self) -> RelPath {
        JudgedName::path(self)
    }

    fn open_file(&self) -> Result<OwnedFd, Errno> {
        self.dir.src.open_file(self.in_source)
    }

    fn open_handle(&self) -> Result<OwnedFd, Errno> {
        self.dir.src.open_handle(self.in_source)
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        self.dir.src.open()?.read_link(self.in_source)
    }

    fn other<'s>(&'s self, name: &'s Name) -> Box<dyn SourceName + 's> {
        Box::new(PreviewName { name, in_source: name, ..*self })
    }

    fn stat_beside(&self, name: &Name) -> Option<Stat> {
        if self.in_source == self.name { self.dir.src.stat_at(name).ok() } else { None }
    }

    fn beside(&self) -> Option<Root> {
        self.dir.src.open().and_then(|src| Root::again(&*src)).ok()
    }

    fn dir_btime(&self) -> Option<Time> {
        self.dir.src.open().and_then(|dir| dir.stat()).ok()?.btime
    }

    fn volume(&self, stat: &Stat) -> Arc<Volume> {
        self.walk.volumes.of(stat.dev, || self.dir.src.open(), |_, _| {})
    }

    fn drivers(&self) -> &Drivers {
        &self.walk.drivers
    }

    fn wanted(&self, stat: &Stat, attributes: Attributes) -> Wanted {
        let (walk, dir) = (self.walk, self.dir);
        let group = walk.parts.groups.say(stat, dir.share);
        let mut wanted = Wanted::from_source(stat, attributes, &walk.options.keep);
        PlanOverrides { own: self.own, fixups: (&dir.covering, self.name), group }
            .put_over(&mut wanted, &walk.parts.mapping);
        wanted
    }

    fn numbers_drift(&self) -> bool {
        !self.walk.parts.mapping.drift.is_empty()
    }
}
