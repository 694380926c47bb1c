//! The walk of a preview: the copier's, without its writes.

use super::items::{Foreseen, ForeseenItem, SharedCounts, TargetCounts};
use super::options::PreviewOptions;
use crate::base::path::{Name, RelPath};
use crate::engine::driver::Drivers;
use crate::engine::events::detail::{Detail, StaleCause};
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::events::stop::{Stop, StopReason};
use crate::engine::in_place::is_in_place;
use crate::engine::journal::{JournalError, Reader, Row, SourceId, State};
use crate::engine::mapping::explicit::{Covering, Explicit};
use crate::engine::mapping::index::{EntryIndex, Index, InnerName};
use crate::engine::mapping::model::{Entry, Mapping, Presence};
use crate::engine::preflight::ClearedParts;
use crate::engine::selection::{EntryHandle, Position, Selected, SelectedLeaves, Selection, SelectionSink, open_above};
use crate::engine::stale::{SourceNames, StaleDirectory, StaleSearch, is_there};
use crate::engine::tree::budget::FdBudget;
use crate::engine::tree::node::SourceNode;
use crate::engine::tree::scheduler::{self, Tasks, Worker};
use crate::engine::volume::Volumes;
use crate::sys::Errno;
use crate::sys::dir::{SourceDir, open_target};
use crate::sys::stat::{Kind, Stat};
use rayon::Scope;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A preview at work.
pub(super) struct PreviewWalk<'a> {
    pub(super) parts: &'a ClearedParts,
    pub(super) options: &'a PreviewOptions,
    pub(super) rate_limit: &'a RateLimit,
    pub(super) stop: &'a Stop,
    each: &'a (dyn Fn(&ForeseenItem) + Sync),
    pub(super) counts: SharedCounts,
    pub(super) drivers: Drivers,
    pub(super) volumes: Volumes,
    index: Index,
    stale: StaleSearch,
    tasks: Tasks,
    budget: Arc<FdBudget>,
    /// Connections to the journal that are idle.
    readers: Mutex<Vec<Reader>>,
    /// There is a journal, which counts.
    has_journal: bool,
    /// Inodes with several names whose bytes were counted.
    pub(super) linked: Mutex<HashSet<(u64, u64)>>,
}

/// A directory of the backup and what is known of its copy.
pub(super) struct PreviewDir {
    pub(super) src: Arc<SourceNode>,
    pub(super) path: RelPath,
    pub(super) target: u32,
    /// Its id in the journal.
    pub(super) id: Option<i64>,
    cursor: Option<usize>,
    pub(super) share: u32,
    pub(super) covering: Covering,
    stat: Stat,
}

impl Drop for PreviewDir {
    fn drop(&mut self) {
        self.src.close();
    }
}

impl<'a> PreviewWalk<'a> {
    pub(super) fn new(
        parts: &'a ClearedParts,
        options: &'a PreviewOptions,
        (rate_limit, stop): (&'a RateLimit, &'a Stop),
        each: &'a (dyn Fn(&ForeseenItem) + Sync),
    ) -> Result<Self, JournalError> {
        let ClearedParts { mapping: plan, source, journal, .. } = parts;
        let reader = if options.restart { None } else { journal.read()? };
        let recorded = reader.as_ref().map_or(Ok(Vec::new()), Reader::volumes)?;
        let index = Index::new(plan);
        let declared = if options.restart { Vec::new() } else { journal.declared()? };
        Ok(Self {
            parts,
            options,
            rate_limit,
            stop,
            each,
            counts: SharedCounts::new(plan.targets.len()),
            drivers: Drivers::new(source),
            volumes: Volumes::new(recorded),
            stale: StaleSearch::before_run(plan, &index, declared),
            index,
            tasks: Tasks::new(options.means.inline),
            budget: FdBudget::new(options.means.directories),
            has_journal: reader.is_some(),
            readers: Mutex::new(reader.into_iter().collect()),
            linked: Mutex::default(),
        })
    }

    fn plan(&self) -> &'a Mapping {
        &self.parts.mapping
    }

    pub(super) fn item(&self, item: &ForeseenItem) {
        self.counts.add(item);
        (self.each)(item);
    }

    /// Asks the journal; `None` without one. A journal that cannot be read ends the preview.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Reader) -> Result<T, JournalError>) -> Option<T> {
        if !self.has_journal {
            return None;
        }
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let asked = idle.map_or_else(|| self.parts.journal.read(), |reader| Ok(Some(reader))).and_then(|reader| {
            let answer = reader.as_ref().map(question).transpose();
            self.readers.lock().unwrap_or_else(PoisonError::into_inner).extend(reader);
            answer
        });
        asked.map_err(|error| self.stop.set(StopReason::Journal(error, None))).ok().flatten()
    }

    pub(super) fn recorded(&self, dir: Option<i64>, name: &Name) -> Option<Row> {
        let dir = dir?;
        self.ask(|reader| reader.find(dir, name)).flatten()
    }

    /// Starts every entry of the plan.
    pub(super) fn entries<'s>(&'s self, scope: &Scope<'s>) {
        for (t, target) in self.plan().targets.iter().enumerate() {
            for (e, entry) in target.entries.iter().enumerate().filter(|(_, e)| e.presence == Presence::Present) {
                scope.spawn(move |scope| self.entry(Worker::new(scope), (t, e), entry));
            }
        }
    }

    fn entry<'s>(&'s self, worker: Worker<'_, 's>, (t, e): EntryIndex, entry: &Entry) {
        let (Some(above), Some(name)) = (entry.dst.parent(), entry.dst.last()) else { return };
        let (target, share) = (u32::try_from(t).unwrap_or(u32::MAX), self.parts.groups.share((t, e)));
        let handle = match EntryHandle::new(&self.parts.source, entry) {
            Ok(handle) => handle,
            Err(_) => return self.unreadable(target, entry.dst.clone(), Kind::File),
        };
        let id = if above.is_root() {
            Some(0)
        } else {
            self.ask(|reader| reader.find_path(&above)).flatten().and_then(|row| row.id)
        };
        let stat = handle.stat;
        if stat.kind == Kind::Directory {
            let Ok(src) = handle.open_dir() else { return self.unreadable(target, entry.dst.clone(), stat.kind) };
            let src = SourceNode::entry(&self.parts.source, &entry.real, src, &stat, &self.budget);
            let id = match self.directory((id, target), (&name, &entry.dst), &stat) {
                Some(id) => id,
                None => return,
            };
            let covering = Covering::of(self.plan(), &entry.dst);
            let cursor = self.index.find(&entry.src);
            let dir = PreviewDir { src, path: entry.dst.clone(), target, id, cursor, share, covering, stat };
            return scheduler::start(self, worker, Arc::new(dir));
        }
        let (Ok((src, _)), Some(last)) = (open_above(&self.parts.source, entry, &self.budget), entry.real.last())
        else {
            return self.unreadable(target, entry.dst.clone(), stat.kind);
        };
        let covering = Covering::of(self.plan(), &above);
        let dir = PreviewDir { src, path: above, target, id, cursor: None, share, covering, stat };
        self.leaf(&dir, (&name, &last), entry.explicit());
    }

    /// Judges a directory. Its id in the journal, which a new one does not have; `None` if the run would not
    /// enter it.
    fn directory(
        &self,
        (above, target): (Option<i64>, u32),
        (name, path): (&Name, &RelPath),
        stat: &Stat,
    ) -> Option<Option<i64>> {
        let row = self.recorded(above, name);
        let is_there = is_there(self.plan(), path);
        let (what, id) = match &row {
            _ if is_there && self.is_its_place(path, stat) => {
                (Foreseen::InPlace, Some(row.as_ref().and_then(|row| row.id)))
            }
            Some(row) if row.was_in_place() && !self.options.overwrite => (Foreseen::Kept, None),
            Some(row) if row.state == State::Done && !is_there => (Foreseen::Missing, None),
            Some(row) => (Foreseen::Unchanged, Some(row.id)),
            None => (if is_there { Foreseen::Changed } else { Foreseen::New }, Some(None)),
        };
        self.item(&ForeseenItem { what, kind: Kind::Directory, entries: 1, bytes: 0, path: path.clone(), target });
        id
    }

    /// True when the source's inode with this stat is what the target has at `path`.
    fn is_its_place(&self, path: &RelPath, stat: &Stat) -> bool {
        let (Some(above), Some(name)) = (path.parent(), path.last()) else { return false };
        let there = open_target(&self.plan().root, &above).and_then(|dir| dir.stat_at(&name));
        there.is_ok_and(|there| is_in_place(stat, &there))
    }

    pub(super) fn unreadable(&self, target: u32, path: RelPath, kind: Kind) {
        self.item(&ForeseenItem { what: Foreseen::Unreadable, kind, entries: 1, bytes: 0, path, target });
    }

    fn stale(&self, target: u32, problem: Problem) {
        let Detail::Stale(stale) = problem.detail else { return };
        let removable = stale.cause == StaleCause::Name && self.options.delete;
        let what = if removable { Foreseen::Delete } else { Foreseen::Stale };
        let row = self.ask(|reader| reader.find_path(&problem.path)).flatten();
        let (kind, bytes) =
            row.map_or((Kind::File, 0), |row| (row.kind(), if row.kind() == Kind::File { row.size } else { 0 }));
        self.item(&ForeseenItem { what, kind, entries: stale.entries, bytes, path: problem.path, target });
    }

    /// What is not found by walking.
    pub(super) fn finish(self) -> Result<Vec<TargetCounts>, JournalError> {
        let gone = self.ask(|reader| StaleSearch::entries(self.plan(), reader)).unwrap_or_default();
        gone.into_iter().for_each(|(target, problem)| self.stale(target, problem));
        match self.stop.reason() {
            Some(StopReason::Journal(error, _)) => Err(error),
            _ => Ok(self.counts.read(self.plan())),
        }
    }
}

impl SelectionSink for PreviewWalk<'_> {
    type Dir = PreviewDir;
    type Seen = SourceNames;

    fn selection(&self) -> Selection<'_> {
        let (plan, index, tasks, stop) = (self.plan(), &self.index, &self.tasks, self.stop);
        Selection { plan, index, tasks, stop, cross_mounts: self.options.cross_mounts }
    }

    fn position<'d>(&self, dir: &'d PreviewDir) -> Position<'d> {
        Position { src: &dir.src, cursor: dir.cursor, target: dir.target }
    }

    fn path(&self, dir: &PreviewDir) -> RelPath {
        dir.path.clone()
    }

    /// An entry is looked at by itself.
    fn inner<'s>(&'s self, _: Worker<'_, 's>, _: InnerName, _: usize, _: (&Arc<PreviewDir>, &Name)) {}

    fn leaves(&self, dir: &Arc<PreviewDir>, names: SelectedLeaves<'_, Self>) {
        for (name, kind) in names {
            if kind != Kind::Socket {
                self.leaf(dir, (&name, &name), Explicit::default());
            }
        }
    }

    fn subtree(&self, above: &Arc<PreviewDir>, name: &Name, found: Selected) -> Option<Arc<PreviewDir>> {
        let Selected { src, stat, cursor } = found;
        let path = above.path.join(name);
        let id = self.directory((above.id, above.target), (name, &path), &stat)?;
        let src = SourceNode::below(&above.src, name, src, &stat);
        let covering = Covering::of(self.plan(), &path);
        Some(Arc::new(PreviewDir { src, path, target: above.target, id, cursor, share: above.share, covering, stat }))
    }

    fn is_in_place(&self, dir: &PreviewDir, name: &Name, stat: &Stat) -> bool {
        self.is_its_place(&dir.path.join(name), stat)
    }

    fn mount(&self, dir: &PreviewDir, name: &Name, _: (&SourceDir, &Stat)) {
        self.unreadable(dir.target, dir.path.join(name), Kind::Directory);
    }

    fn failed(&self, dir: &PreviewDir, name: Option<&Name>, _: (Operation, Errno)) {
        let path = name.map_or_else(|| dir.path.clone(), |name| dir.path.join(name));
        self.unreadable(dir.target, path, Kind::Directory);
    }

    fn seen(&self, _: &PreviewDir) -> SourceNames {
        SourceNames::default()
    }

    fn saw(&self, seen: &mut SourceNames, name: &Name) {
        seen.add(name);
    }

    fn saw_all(&self, dir: &PreviewDir, seen: SourceNames) {
        let Some(id) = dir.id else { return };
        let names = seen.sorted();
        let open = || dir.src.open();
        let source = SourceId::of(&dir.stat, &self.volumes.of(dir.stat.dev, open, |_, _| {}));
        let found = self.ask(|reader| {
            let prior = reader.directory(id)?;
            let (path, is_empty, prior) = (&dir.path, names.is_empty(), prior.as_ref());
            let searched = StaleDirectory {
                id,
                path,
                target: dir.target,
                is_empty,
                is_in_place: false,
                source: Some(source),
                prior,
            };
            self.stale.in_directory((self.plan(), &self.index), reader, &searched, |name| names.has(name))
        });
        for problem in found.into_iter().flatten().filter(|problem| is_there(self.plan(), &problem.path)) {
            self.stale(dir.target, problem);
        }
    }
}

impl PreviewDir {
    /// What the target has under `name`, and whether that could be told.
    pub(super) fn on_target(
        &self,
        plan: &Mapping,
        name: &Name,
    ) -> Result<Option<(crate::sys::dir::TargetDir, Stat)>, Errno> {
        let nothing = |errno: Errno| if crate::sys::leads_nowhere(errno) { Ok(None) } else { Err(errno) };
        let opened = match open_target(&plan.root, &self.path) {
            Ok(opened) => opened,
            Err(errno) => return nothing(errno),
        };
        match opened.stat_at(name) {
            Ok(stat) => Ok(Some((opened, stat))),
            Err(errno) => nothing(errno),
        }
    }
}
