//! What a plan declares, with what the backup tells about it if it is at hand.

use super::place::HomePath;
use super::private;
use super::text::ExportNote;
use crate::base::path::RelPath;
use crate::plan::ids::Ids;
use crate::plan::{EntryDraft, IdValue, Overrides, Plan, ResolveError, TargetDraft, expand};
use crate::sys::root::Root;
use crate::sys::stat::{Stat, stat_fd};
use crate::sys::{errno_words, leads_nowhere};
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The plan and all that could be learned about its entries.
pub(super) struct DeclaredPlan<'p> {
    pub(super) plan: &'p Plan,
    pub(super) root: PathBuf,
    pub(super) source: Option<PathBuf>,
    backup: Option<Root>,
    pub(super) ids: Ids,
    pub(super) areas: Vec<Area<'p>>,
    /// Homes that are neither in /home nor /root, and their users.
    homes: Vec<(&'p RelPath, &'p str)>,
    /// Anything unusual found in the backup and the id maps.
    pub(super) notes: Vec<ExportNote>,
}

/// A target or a map.
pub(super) struct Area<'p> {
    pub(super) draft: &'p TargetDraft,
    /// In the plan's order.
    pub(super) items: Vec<Item<'p>>,
    /// Globs that cannot be expanded without the backup.
    pub(super) open: Vec<&'p EntryDraft>,
}

/// One path of an area.
pub(super) struct Item<'p> {
    pub(super) draft: &'p EntryDraft,
    /// Below the area's `from`.
    pub(super) path: RelPath,
    /// Where programs look for it.
    pub(super) live: RelPath,
    /// Where the new disk has it.
    pub(super) stored: RelPath,
    pub(super) origin: Origin,
    pub(super) seen: BackupState,
}

/// How an item came to its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The plan names it.
    Written,
    /// A glob matched it in the backup.
    Matched,
    /// A glob would match it; the backup was not at hand.
    Guessed,
}

/// What the backup has at a path, symlinks inside it followed.
#[derive(Clone, Copy, Debug)]
pub(super) enum BackupState {
    /// The backup is not at hand, or this user may not read it.
    Unknown,
    Absent,
    There(Stat),
}

impl<'p> DeclaredPlan<'p> {
    pub(super) fn new(plan: &'p Plan, overrides: &Overrides) -> Result<Self, ResolveError> {
        let mut notes = Vec::new();
        let backup = match (&overrides.source, &plan.source) {
            (Some(path), _) => {
                Some(Root::open(path).map_err(|errno| ResolveError::Source { path: path.clone(), errno })?)
            }
            (None, Some(path)) => Root::open(path)
                .inspect_err(|errno| {
                    let why = errno_words(*errno);
                    notes.push(ExportNote::Caveat(format!(
                        "the source {} cannot be opened ({why}): modes and owners are the plan's, and usual ones of \
                         well-known private paths; with the backup at hand (--source) they are its own",
                        path.display()
                    )));
                })
                .ok(),
            (None, None) => {
                notes.push(ExportNote::Caveat(
                    "the plan names no source: modes and owners are the plan's, and usual ones of well-known private \
                     paths; with a backup (--source) they are its own"
                        .into(),
                ));
                None
            }
        };
        let source = overrides.source.clone().or_else(|| plan.source.clone());
        let root = overrides.root.clone().unwrap_or_else(|| plan.root.clone());
        let shown = source.as_deref().unwrap_or(Path::new(""));
        let ids = Ids::read(plan, backup.as_ref().map(|backup| (backup, shown)), &root);
        notes.extend(ids.damaged.iter().map(|damaged| ExportNote::Caveat(damaged.words.clone())));
        let mut declared = Self { plan, root, source, backup, ids, areas: Vec::new(), homes: homes(plan), notes };
        declared.areas = plan.targets.iter().map(|target| declared.area(target)).collect();
        Ok(declared)
    }

    /// Whether there is a backup.
    pub(super) fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    /// The home that `path` is or is in.
    pub(super) fn home(&self, path: &RelPath) -> Option<HomePath> {
        let elsewhere = || self.homes.iter().find_map(|(dir, user)| HomePath::inside(path, dir, user));
        HomePath::of(path).or_else(elsewhere)
    }

    /// The home that contains `path`; `None` for a home itself.
    pub(super) fn home_around(&self, path: &RelPath) -> Option<HomePath> {
        self.home(path).filter(|home| !home.below.is_root())
    }

    /// Looks at `path` in the backup.
    pub(super) fn look(&self, path: &RelPath) -> BackupState {
        let Some(backup) = &self.backup else { return BackupState::Unknown };
        let open = |flags| backup.open_in(path, flags).and_then(stat_fd);
        match open(OFlags::PATH) {
            Ok(stat) => BackupState::There(stat),
            // A file entry may well mean a dangling link.
            Err(errno) if leads_nowhere(errno) => {
                open(OFlags::PATH | OFlags::NOFOLLOW).map_or(BackupState::Absent, BackupState::There)
            }
            Err(_) => BackupState::Unknown,
        }
    }

    fn area(&mut self, target: &'p TargetDraft) -> Area<'p> {
        let mut area = Area { draft: target, items: Vec::new(), open: Vec::new() };
        let literal: BTreeSet<&RelPath> = target.entries.iter().filter(|e| !e.is_glob).map(|e| &e.path).collect();
        for entry in &target.entries {
            if !entry.is_glob {
                area.items.push(self.item(target, entry, entry.path.clone(), Origin::Written));
                continue;
            }
            let (found, origin) = match self.matching(target, entry) {
                Some(found) => (found, Origin::Matched),
                None => (private::usual_matches(&target.from, &entry.path), Origin::Guessed),
            };
            if found.is_empty() {
                area.open.push(entry);
            }
            for path in found.into_iter().filter(|path| !literal.contains(path)) {
                area.items.push(self.item(target, entry, path, origin));
            }
        }
        area
    }

    /// What a glob matches; `None` when that cannot be told.
    fn matching(&mut self, target: &TargetDraft, entry: &EntryDraft) -> Option<Vec<RelPath>> {
        match expand::expand(self.backup.as_ref()?, &target.from, &entry.path) {
            Ok(found) => Some(found),
            Err(errno) => {
                let pattern = target.from.join_path(&entry.path);
                let why = errno_words(errno);
                self.notes.push(ExportNote::Caveat(format!("{pattern} cannot be expanded in the backup: {why}")));
                None
            }
        }
    }

    fn item(&self, target: &TargetDraft, draft: &'p EntryDraft, path: RelPath, origin: Origin) -> Item<'p> {
        let live = target.from.join_path(&path);
        let seen = self.look(&live);
        Item { draft, stored: target.to.join_path(&path), live, path, origin, seen }
    }
}

/// A target whose new directories are a user's is that user's home.
fn homes(plan: &Plan) -> Vec<(&RelPath, &str)> {
    let users = plan.targets.iter().filter(|target| !target.from.is_root()).filter_map(|target| {
        match &target.parents.as_ref()?.owner.as_ref()?.value {
            IdValue::Name(user) if user != "root" => Some((&target.from, user.as_str())),
            _ => None,
        }
    });
    users.collect()
}

impl Item<'_> {
    /// The pattern that it comes from.
    pub(super) fn glob(&self) -> Option<&RelPath> {
        (self.origin != Origin::Written).then_some(&self.draft.path)
    }
}
