//! Trees that would be copied into themselves, or whose copy would include the journal. They are
//! identified by file system and path in it, so that bind mounts, subvolumes, layers of overlays
//! and directories that a FUSE driver shows elsewhere are recognised.

use super::allow::Refusals;
use super::fs_path::{FsPath, LAYERS, is_no_answer, mount_of, places};
use crate::base::path::{Name, RelPath, escape};
use crate::engine::events::refusal::Refusal;
use crate::engine::mapping::model::{Entry, Mapping, Presence};
use crate::sys::dir::open_target;
use crate::sys::mounts::Mount;
use crate::sys::root::{Root, real_path};
use crate::sys::stat::{stat_at, stat_fd};
use crate::sys::{Errno, at, leads_nowhere, mounts};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A tree on either side, which need not exist yet.
struct Tree {
    shown: String,
    /// Its path in the source, for a tree that is walked.
    walked: Option<RelPath>,
    /// What is mounted below it.
    mounts: Vec<FsPath>,
    /// Where it is; several places if its mount shows other directories.
    within: Vec<FsPath>,
    /// What of its file system is mounted where it is reached.
    mounted: Option<FsPath>,
}

/// Where the journal is to be.
pub(super) struct StatePlace<'p> {
    pub(super) directory: &'p Path,
    /// It is the default place.
    pub(super) is_usual: bool,
}

/// Refuses every entry whose source and destination contain one another, and a journal inside either; what
/// is in its place already is not copied, and may lie anywhere. Returns whether there is such an entry, or the
/// source is the running system, where there may be.
pub(super) fn look(
    plan: &Mapping,
    source: &Root,
    state: &StatePlace<'_>,
    cross_mounts: bool,
) -> Result<bool, Refusals> {
    let (refusals, in_place) =
        compare(plan, source, state, cross_mounts).map_err(|errno| vec![Refusal::NestingUnknown(errno)])?;
    if refusals.is_empty() { Ok(in_place) } else { Err(refusals) }
}

fn compare(
    plan: &Mapping,
    source: &Root,
    state: &StatePlace<'_>,
    cross_mounts: bool,
) -> Result<(Refusals, bool), Errno> {
    let table = mounts::table()?;
    let (mut sources, mut targets) = (Vec::new(), Vec::new());
    let is_running = is_root_of_system(source)?;
    let mut in_place = is_running;
    for entry in plan.targets.iter().flat_map(|t| &t.entries).filter(|e| e.presence == Presence::Present) {
        let target = Tree::of_target(plan, entry, &table)?;
        // If it vanished meanwhile, the copy reports it.
        if let Some(tree) = Tree::of_source(source, entry, &table)? {
            if tree.is_in_place(&target) {
                in_place = true;
            } else {
                sources.push(tree);
            }
        }
        targets.push(target);
    }
    let mut found = Refusals::new();
    for from in &sources {
        for to in &targets {
            if from.shows(to, source, cross_mounts) {
                found.push(Refusal::IntoItself(to.shown.clone(), from.shown.clone()));
            } else if to.holds(from) {
                found.push(Refusal::OverSource(from.shown.clone(), to.shown.clone()));
            }
        }
    }
    let journal = Tree::of_path(state.directory, &table)?;
    let whole = Tree { walked: Some(RelPath::root()), ..Tree::of_path(&plan.source, &table)? };
    // The running system always contains the journal, and what contains the target its usual place: there
    // only what is copied counts.
    let outer = if is_running || state.is_usual { sources.iter().collect() } else { vec![&whole] };
    if let Some(from) = outer.into_iter().find(|from| from.shows(&journal, source, cross_mounts)) {
        found.push(Refusal::JournalInSource(journal.shown.clone(), from.shown.clone()));
    }
    for to in &targets {
        if journal.holds(to) {
            found.push(Refusal::InJournal(to.shown.clone(), journal.shown.clone()));
        } else if to.holds(&journal) && !(state.is_usual && journal.is_child_of(to)) {
            found.push(Refusal::JournalInTarget(journal.shown.clone(), to.shown.clone()));
        }
    }
    found.dedup();
    Ok((found, in_place))
}

impl Tree {
    /// The tree at `rest` below the open `held`, which is not kept open: there may be many trees.
    fn new(shown: String, held: impl AsFd, rest: &Path, table: &[Mount]) -> Result<Self, Errno> {
        let within = places(&held, rest, table, LAYERS)?;
        let mut mounts = Vec::new();
        if rest.as_os_str().is_empty() {
            let real = real_path(&held)?;
            let below = table.iter().filter(|mount| mount.point != real && mount.point.starts_with(&real));
            mounts.extend(below.map(|mount| FsPath { device: mount.device.clone(), path: mount.root.clone() }));
        }
        let mounted = mount_of(&held, table)?;
        let mounted = mounted.map(|mount| FsPath { device: mount.device.clone(), path: mount.root.clone() });
        Ok(Self { shown, walked: None, mounts, within, mounted })
    }

    /// True when this source leads to `target` itself. If it is the target that is a mount of this one,
    /// what is below is not on the target's file system.
    fn is_in_place(&self, target: &Self) -> bool {
        let is_same = self.within.first().zip(target.within.first()).is_some_and(|(here, there)| here == there);
        let is_mount_of_this = match (&self.mounted, &target.mounted) {
            (Some(here), Some(there)) => here != there && there.below(here).is_some(),
            _ => true,
        };
        is_same && !is_mount_of_this
    }

    fn of_source(source: &Root, entry: &Entry, table: &[Mount]) -> Result<Option<Self>, Errno> {
        let held = match source.open_strict(&entry.real, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(held) => held,
            Err(errno) if leads_nowhere(errno) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let shown = escape(real_path(&held)?.as_os_str().as_bytes()).into_owned();
        let tree = Self::new(shown, held, Path::new(""), table)?;
        Ok(Some(Self { walked: Some(entry.real.clone()), ..tree }))
    }

    fn of_target(plan: &Mapping, entry: &Entry, table: &[Mount]) -> Result<Self, Errno> {
        let mut dir = open_target(&plan.root, &RelPath::root())?;
        let (mut rest, mut there) = (PathBuf::new(), true);
        for name in entry.dst.names() {
            // Anything but a directory that can be opened is left to the copy; nothing is below it.
            match if there { dir.open_dir(&name) } else { Err(Errno::NOENT) } {
                Ok(below) => dir = below,
                Err(errno) if is_no_answer(errno) => return Err(errno),
                Err(_) => {
                    there = false;
                    rest.push(OsStr::from_bytes(name.as_bytes()));
                }
            }
        }
        let shown = escape(plan.root.join(entry.dst.as_path()).as_os_str().as_bytes()).into_owned();
        Self::new(shown, dir, &rest, table)
    }

    /// A path given by the user: its symlinks are followed as far as it exists.
    fn of_path(path: &Path, table: &[Mount]) -> Result<Self, Errno> {
        let shown = escape(path.as_os_str().as_bytes()).into_owned();
        let (mut at, mut rest) = (path.to_path_buf(), PathBuf::new());
        loop {
            let there = if at.as_os_str().is_empty() { Path::new(".") } else { at.as_path() };
            match at::dir_handle(there) {
                Ok(held) => return Self::new(shown, held, &rest, table),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno),
            }
            let Some(name) = at.file_name().map(OsStr::to_os_string) else { return Err(Errno::NOENT) };
            // Joining an empty path would add a slash.
            rest = if rest.as_os_str().is_empty() { name.into() } else { Path::new(&name).join(rest) };
            if !at.pop() {
                return Err(Errno::NOENT);
            }
        }
    }

    /// True when `inner` is this tree or is in it, or in a mount below it.
    fn holds(&self, inner: &Self) -> bool {
        self.paths_to(inner).next().is_some() || self.mounts_hold(inner)
    }

    /// True when a walk of this tree, which enters mounts only with `cross_mounts`, reaches `inner`.
    fn shows(&self, inner: &Self, source: &Root, cross_mounts: bool) -> bool {
        self.paths_to(inner).any(|below| self.reaches(below, source)) || cross_mounts && self.mounts_hold(inner)
    }

    /// The paths from this tree to `inner`, for each way in which it is below.
    fn paths_to<'a>(&'a self, inner: &'a Self) -> impl Iterator<Item = &'a Path> {
        self.within.iter().flat_map(|outer| inner.within.iter().filter_map(|inner| inner.below(outer)))
    }

    fn mounts_hold(&self, inner: &Self) -> bool {
        self.mounts.iter().any(|mount| inner.within.iter().any(|inner| inner.below(mount).is_some()))
    }

    /// False when a mount covers a directory on the way to `below`: a walk stops there.
    fn reaches(&self, below: &Path, source: &Root) -> bool {
        let opened = self.walked.as_ref().map(|path| source.open_strict(path, OFlags::PATH | OFlags::NOFOLLOW));
        let Some(Ok(mut dir)) = opened else { return true };
        for part in below {
            let Ok(name) = Name::new(part.as_bytes()) else { return true };
            let stat = match stat_at(&dir, &name) {
                Ok(stat) => stat,
                // It does not exist yet: it would be made where the walk passes.
                Err(_) => return true,
            };
            if stat.mount_root {
                return false;
            }
            match at::subdir_handle(&dir, &name) {
                Ok(next) => dir = next,
                Err(_) => return true,
            }
        }
        true
    }

    /// True when this tree is a name in `above`.
    fn is_child_of(&self, above: &Self) -> bool {
        above.paths_to(self).any(|below| below.components().count() == 1)
    }
}

/// True for the running system's own root.
fn is_root_of_system(source: &Root) -> Result<bool, Errno> {
    let system = stat_fd(at::dir_handle(Path::new("/"))?)?;
    let stat = stat_fd(source)?;
    Ok((stat.dev, stat.ino) == (system.dev, system.ino))
}
