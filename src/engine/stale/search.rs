//! Which rows of a directory the source no longer has.

use crate::base::path::{Name, RelPath};
use crate::base::path_tree::PathTree;
use crate::engine::events::detail::StaleCause;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Declared, Journal, JournalError, Reader, Row, SourceId, State};
use crate::engine::mapping::index::Index;
use crate::engine::mapping::model::{Entry, Mapping, Presence};
use crate::engine::undeclared;
use crate::sys::dir::open_target;
use crate::sys::leads_nowhere;

/// Finds what is stale in the directories of one walk.
pub(crate) struct StaleSearch {
    /// Entries that the plan no longer declares, copied from elsewhere: they have a problem of their own.
    undeclared: PathTree<()>,
    /// A directory of another file system counts as the recorded one.
    overwrite: bool,
}

/// A directory of the target whose source was read completely.
pub(crate) struct StaleDirectory<'a> {
    /// Its id in the journal.
    pub(crate) id: i64,
    pub(crate) path: &'a RelPath,
    /// Index of the plan's target.
    pub(crate) target: u32,
    /// The source has no name in it.
    pub(crate) is_empty: bool,
    /// It is its own source: what it no longer has is gone from both.
    pub(crate) is_in_place: bool,
    /// Which directory of the source it is, as far as that is known.
    pub(crate) source: Option<SourceId>,
    /// Its row before this run.
    pub(crate) prior: Option<&'a Row>,
}

impl StaleDirectory<'_> {
    /// True when the source has a directory of another file system here than the recorded one: what a mount covered,
    /// or the disk that is mounted now.
    fn is_of_another_volume(&self) -> bool {
        let recorded = self.prior.and_then(|row| row.source).filter(|source| !source.is_in_place());
        // Snapshots of one file system share inode numbers, and drivers make them up on the same volume.
        recorded.zip(self.source).is_some_and(|(then, now)| {
            then.ino != now.ino && then.volume.zip(now.volume).is_some_and(|(then, now)| then != now)
        })
    }

    /// Whether the source has the recorded directory here; `None` where that is not known.
    fn is_the_recorded(&self) -> Option<bool> {
        let recorded = self.prior.and_then(|row| row.source);
        recorded.zip(self.source).map(|(then, now)| then.is_same_inode(&now))
    }
}

impl StaleSearch {
    pub(crate) fn new(plan: &Mapping, journal: &Journal, overwrite: bool) -> Result<Self, JournalError> {
        let undeclared = undeclared::from_elsewhere(plan, journal)?;
        Ok(Self { undeclared: undeclared.into_iter().map(|entry| (entry.dst, ())).collect(), overwrite })
    }

    /// The same for a run that has not begun: `declared` is what earlier ones recorded.
    pub(crate) fn before_run((plan, index): (&Mapping, &Index), declared: Vec<Declared>, overwrite: bool) -> Self {
        let is_declared =
            |old: &Declared| plan.targets.iter().flat_map(|t| &t.entries).any(|entry| entry.dst == old.dst);
        let belongs = |old: &Declared| index.brought_to(plan, &old.dst).iter().any(|brought| brought.src == old.src);
        let elsewhere = declared.into_iter().filter(|old| !is_declared(old) && !belongs(old));
        Self { undeclared: elsewhere.map(|old| (old.dst, ())).collect(), overwrite }
    }

    /// The problems of a directory in which the source `has` some names.
    pub(crate) fn in_directory(
        &self,
        (plan, index): (&Mapping, &Index),
        reader: &Reader,
        dir: &StaleDirectory<'_>,
        has: impl Fn(&Name) -> bool,
    ) -> Result<Vec<Problem>, JournalError> {
        let (mut lacking, mut met) = (Vec::new(), false);
        reader.names(dir.id, |name| if has(&name) { met = true } else { lacking.push(name) })?;
        let mut found = Vec::new();
        let mut entries = 0;
        for name in lacking {
            let path = dir.path.join(&name);
            // What the plan declares there is copied from elsewhere, or gone as a whole.
            if index.leads_to_entry(&path) || self.undeclared.find(&path).is_some() {
                continue;
            }
            let counts = |row: &Row| is_ours(row) || dir.is_in_place && is_recorded(row);
            let Some(row) = reader.find(dir.id, &name)?.filter(counts) else { continue };
            if reader.is_owners(&row)? {
                continue;
            }
            let target = plan.targets.get(dir.target as usize);
            if target.is_some_and(|target| target.excludes(&path, row.kind())) {
                continue;
            }
            let at = reader.entries_at(&row)?;
            entries += at;
            found.push(Problem::stale(path, StaleCause::Name, at));
        }
        let is_top = || index.leads_to_entry(dir.path);
        let taken_as_it_is = self.overwrite && met;
        let is_emptied =
            || Ok(dir.is_of_another_volume() || dir.is_the_recorded() != Some(true) && reader.was_emptied(dir.path)?);
        if !found.is_empty() && !taken_as_it_is && is_emptied()? {
            return Ok(vec![Problem::stale(dir.path.clone(), StaleCause::Emptied, entries)]);
        }
        if found.is_empty() || met || !(dir.is_empty || is_top()) {
            return Ok(found);
        }
        if dir.is_the_recorded() == Some(false) {
            return Ok(vec![Problem::stale(dir.path.clone(), StaleCause::Emptied, entries)]);
        }
        Ok(found)
    }

    /// The declared entries that were copied and are gone from the source as a whole.
    pub(crate) fn entries(plan: &Mapping, reader: &Reader) -> Result<Vec<(u32, Problem)>, JournalError> {
        let mut found = Vec::new();
        for (t, target) in (0..).zip(&plan.targets) {
            let gone = |entry: &&Entry| entry.presence == Presence::Absent && !entry.is_elsewhere_in_use();
            for entry in target.entries.iter().filter(gone) {
                if let Some(row) = reader.find_path(&entry.dst)?.filter(is_ours)
                    && is_there(plan, &entry.dst)
                    && !reader.is_owners(&row)?
                {
                    found.push((t, Problem::stale(entry.dst.clone(), StaleCause::Entry, reader.entries_at(&row)?)));
                }
            }
        }
        Ok(found)
    }
}

/// An entry that a run made: not what it found in its place.
fn is_ours(row: &Row) -> bool {
    !row.was_in_place() && is_recorded(row)
}

/// An entry that a run made or found in its place, finished or not. Half of a large file is removed as a leftover.
fn is_recorded(row: &Row) -> bool {
    matches!(row.state, State::Done | State::Bad | State::Open | State::Replacing)
}

/// False only if the target certainly has nothing at `path`.
pub(crate) fn is_there(plan: &Mapping, path: &RelPath) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.last()) else { return true };
    let stat = open_target(&plan.root, &parent).and_then(|dir| dir.stat_at(&name));
    !stat.is_err_and(leads_nowhere)
}
