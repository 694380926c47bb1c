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
use crate::engine::journal::{JournalError, Reader, Row, SourceId};
use crate::engine::judge::{History, Policy};
use crate::engine::mapping::explicit::{Covering, Explicit};
use crate::engine::mapping::index::{EntryIndex, Index, InnerName};
use crate::engine::mapping::model::{Entry, Mapping, Presence};
use crate::engine::preflight::ClearedParts;
use crate::engine::selection::{EntryHandle, Position, Selected, SelectedLeaves, Selection, SelectionSink, open_above};
use crate::engine::stale::{
    ForetoldRemoval, RemovalForeteller, SourceNames, StaleDirectory, StaleSearch, is_there, stat_in_source,
};
use crate::engine::tree::budget::FdBudget;
use crate::engine::tree::linked::LinkedInodes;
use crate::engine::tree::node::SourceNode;
use crate::engine::tree::scheduler::{self, Tasks, Worker};
use crate::engine::volume::Volumes;
use crate::sys::Errno;
use crate::sys::dir::SourceDir;
use crate::sys::stat::{Kind, Stat};
use rayon::Scope;
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
    /// What earlier runs did, for each target of the plan.
    histories: Vec<History>,
    /// Inodes with several names whose bytes were counted.
    pub(super) linked: LinkedInodes,
}

/// A directory of the backup and what is known of its copy.
pub(super) struct PreviewDir {
    pub(super) src: Arc<SourceNode>,
    pub(super) path: RelPath,
    pub(super) target: u32,
    /// Its id in the journal.
    pub(super) id: Option<i64>,
    /// The run would make it: the target has nothing in it.
    pub(super) fresh: bool,
    cursor: Option<usize>,
    pub(super) share: u32,
    pub(super) covering: Covering,
    stat: Stat,
}

/// A directory that would be entered.
pub(super) struct EnteredDir {
    /// Its id in the journal.
    pub(super) id: Option<i64>,
    /// It would be made: nothing is in it.
    pub(super) fresh: bool,
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
        let past = journal.past(options.restart)?;
        Ok(Self {
            histories: History::each(past, &parts.known, options.restart),
            parts,
            options,
            rate_limit,
            stop,
            each,
            counts: SharedCounts::new(plan.targets.len()),
            drivers: Drivers::new(source),
            volumes: Volumes::new(recorded),
            stale: StaleSearch::before_run((plan, &index), declared, options.overwrite),
            index,
            tasks: Tasks::of_source(options.means.inline, options.means.late),
            budget: FdBudget::new(options.means.directories),
            has_journal: reader.is_some(),
            readers: Mutex::new(reader.into_iter().collect()),
            linked: LinkedInodes::default(),
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

    pub(super) fn policy(&self, target: u32) -> Policy<'_> {
        let history = self.histories.get(target as usize).copied().unwrap_or_default();
        let PreviewOptions { overwrite, newer_kept, .. } = *self.options;
        Policy { history, overwrite, newer_kept, rate_limit: self.rate_limit }
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
        let Ok(on_target) = self.on_target(&above) else {
            return self.unreadable(target, entry.dst.clone(), Kind::File);
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
            let row = self.recorded(id, &name);
            let volume = self.volumes.of(stat.dev, || src.open(), |_, _| {});
            let Some(EnteredDir { id, fresh }) =
                self.directory((on_target.as_ref(), &name), &entry.dst, (row.as_ref(), target), (&stat, &volume))
            else {
                return;
            };
            let covering = Covering::of(self.plan(), &entry.dst);
            let cursor = self.index.find(&entry.src);
            let dir = PreviewDir { src, path: entry.dst.clone(), target, id, fresh, cursor, share, covering, stat };
            return scheduler::start(self, worker, Arc::new(dir));
        }
        let (Ok((src, _)), Some(last)) = (open_above(&self.parts.source, entry, &self.budget), entry.real.last())
        else {
            return self.unreadable(target, entry.dst.clone(), stat.kind);
        };
        let covering = Covering::of(self.plan(), &above);
        let fresh = on_target.is_none();
        let dir = PreviewDir { src, path: above, target, id, fresh, cursor: None, share, covering, stat };
        self.leaves_of(&dir, &[(&name, &last)], entry.explicit());
    }

    pub(super) fn unreadable(&self, target: u32, path: RelPath, kind: Kind) {
        self.item(&ForeseenItem { what: Foreseen::Unreadable, kind, entries: 1, bytes: 0, path, target });
    }

    fn stale(&self, target: u32, problem: Problem) {
        let Detail::Stale(stale) = problem.detail else { return };
        let path = problem.path;
        let Some(row) = self.ask(|reader| reader.find_path(&path)).flatten() else { return };
        let (kind, mut foretold) = (row.kind(), ForetoldRemoval { removed: 0, kept: stale.entries });
        if stale.cause == StaleCause::Name && self.options.delete {
            foretold = self.removal(target, &path, &row);
        }
        let bytes = if kind == Kind::File { row.size } else { 0 };
        for (what, entries) in [(Foreseen::Delete, foretold.removed), (Foreseen::Stale, foretold.kept)] {
            if entries > 0 {
                self.item(&ForeseenItem { what, kind, entries, bytes, path: path.clone(), target });
            }
        }
    }

    /// What `--delete` would remove of the tree of `row` at `path`.
    pub(super) fn removal(&self, target: u32, path: &RelPath, row: &Row) -> ForetoldRemoval {
        let (root, history, rate_limit) = (&self.plan().root, self.policy(target).history, self.rate_limit);
        let is_settled = |path: &RelPath, row: Option<&Row>| {
            self.in_source(path)
                .is_some_and(|stat| self.options.overwrite || row.is_some_and(|row| row.source_looks_the_same(&stat)))
        };
        let is_settled = &is_settled;
        let foretold =
            self.ask(|reader| RemovalForeteller { root, reader, history, rate_limit, is_settled }.tree(path, row));
        foretold.unwrap_or_default()
    }

    /// What the source has that goes to `path`.
    fn in_source(&self, path: &RelPath) -> Option<Stat> {
        stat_in_source((self.plan(), &self.index), &self.parts.source, path)
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
        let names: Vec<Name> = names.filter(|(_, kind)| *kind != Kind::Socket).map(|(name, _)| name).collect();
        let names: Vec<(&Name, &Name)> = names.iter().map(|name| (name, name)).collect();
        self.leaves_of(dir, &names, Explicit::default());
    }

    fn subtree(&self, above: &Arc<PreviewDir>, name: &Name, found: Selected) -> Option<Arc<PreviewDir>> {
        let Selected { src, stat, cursor } = found;
        let path = above.path.join(name);
        let on_target = if above.fresh { Ok(None) } else { self.on_target(&above.path) };
        let Ok(on_target) = on_target else {
            self.unreadable(above.target, path, Kind::Directory);
            return None;
        };
        let row = self.recorded(above.id, name);
        let volume = self.volumes.of(stat.dev, || Ok::<_, Errno>(&src), |_, _| {});
        let EnteredDir { id, fresh } =
            self.directory((on_target.as_ref(), name), &path, (row.as_ref(), above.target), (&stat, &volume))?;
        let src = SourceNode::below(&above.src, name, src, &stat);
        let covering = Covering::of(self.plan(), &path);
        let (target, share) = (above.target, above.share);
        Some(Arc::new(PreviewDir { src, path, target, id, fresh, cursor, share, covering, stat }))
    }

    fn is_in_place(&self, dir: &PreviewDir, name: &Name, stat: &Stat) -> bool {
        let there = self.on_target(&dir.path).map(|dir| dir.and_then(|dir| dir.stat_at(name).ok()));
        there.is_ok_and(|there| there.is_some_and(|there| is_in_place(stat, &there)))
    }

    fn mount(&self, dir: &PreviewDir, name: &Name, _: (&SourceDir, &Stat)) {
        self.unreadable(dir.target, dir.path.join(name), Kind::Directory);
    }

    fn mount_point(&self, above: &Arc<PreviewDir>, name: &Name, found: Selected) {
        self.subtree(above, name, found);
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
        let Some(id) = dir.id.filter(|_| !dir.fresh) else { return };
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
