//! Trees that would be copied into themselves, or whose copy would include the journal. They are
//! identified by file system and path in it, so that bind mounts, subvolumes, layers of overlays
//! and directories that a FUSE driver shows elsewhere are recognised.

use super::allow::Refusals;
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

/// A path within a file system, wherever that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FsPath {
    /// `major:minor`.
    device: String,
    path: PathBuf,
}

impl FsPath {
    /// The rest of this path below `outer`; empty for the same path.
    fn below(&self, outer: &Self) -> Option<&Path> {
        // Each entry is compared with each other one, and bytes are faster than components.
        let (inner, above) = (self.path.as_os_str().as_bytes(), outer.path.as_os_str().as_bytes());
        let may = self.device == outer.device && inner.starts_with(above);
        if may { self.path.strip_prefix(&outer.path).ok() } else { None }
    }
}

/// A tree on either side, which need not exist yet.
struct Tree {
    shown: String,
    /// Its path in the source, for a tree that is walked.
    walked: Option<RelPath>,
    /// What is mounted below it.
    mounts: Vec<FsPath>,
    /// Where it is; several places if its mount shows other directories.
    within: Vec<FsPath>,
}

/// How deep mounts that show other directories may be stacked.
const LAYERS: u32 = 8;

/// Where the journal is to be.
pub(super) struct StatePlace<'p> {
    pub(super) directory: &'p Path,
    /// It is the default place.
    pub(super) is_usual: bool,
}

/// Refuses every entry whose source and destination contain one another, and a journal inside either.
pub(super) fn refusals(plan: &Mapping, source: &Root, state: &StatePlace<'_>, cross_mounts: bool) -> Refusals {
    look(plan, source, state, cross_mounts).unwrap_or_else(|errno| vec![Refusal::NestingUnknown(errno)])
}

fn look(plan: &Mapping, source: &Root, state: &StatePlace<'_>, cross_mounts: bool) -> Result<Refusals, Errno> {
    let table = mounts::table()?;
    let (mut sources, mut targets) = (Vec::new(), Vec::new());
    for entry in plan.targets.iter().flat_map(|t| &t.entries).filter(|e| e.presence == Presence::Present) {
        // If it vanished meanwhile, the copy reports it.
        if let Some(tree) = Tree::of_source(source, entry, &table)? {
            sources.push(tree);
        }
        targets.push(Tree::of_target(plan, entry, &table)?);
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
    // The running system always contains the journal: there only what is copied counts.
    let outer = if is_root_of_system(source)? { sources.iter().collect() } else { vec![&whole] };
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
    Ok(found)
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
        Ok(Self { shown, walked: None, mounts, within })
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

/// Where `rest` below the open `held` is: in its own file system, and in those that this one shows.
fn places(held: impl AsFd, rest: &Path, table: &[Mount], layers: u32) -> Result<Vec<FsPath>, Errno> {
    let id = crate::sys::filesystem::mount_id(&held)?;
    let Some(mount) = table.iter().find(|mount| mount.id == id) else { return Ok(Vec::new()) };
    let real = real_path(&held)?;
    // A mount hidden by another one has no path here.
    let Ok(below) = real.strip_prefix(&mount.point) else { return Ok(Vec::new()) };
    let below = join(below, rest);
    let mut found = vec![FsPath { device: mount.device.clone(), path: join(&mount.root, &below) }];
    if layers > 0 {
        let below = join(mount.root.strip_prefix("/").unwrap_or(&mount.root), &below);
        for dir in shown_directories(mount) {
            match at::dir_handle(&dir) {
                Ok(layer) => found.extend(places(&layer, &below, table, layers - 1)?),
                Err(errno) if is_no_answer(errno) => return Err(errno),
                // What is no longer reachable by its path cannot be told.
                Err(_) => {}
            }
        }
    }
    Ok(found)
}

/// True for a failure that says nothing of what is there: trees may overlap all the same.
fn is_no_answer(errno: Errno) -> bool {
    matches!(errno, Errno::IO | Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

/// As [`Path::join`], but without a slash at the end.
fn join(above: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { above.to_path_buf() } else { above.join(below) }
}

/// The directories that a mount shows under its mount point: the layers of an overlay, and the
/// mount's source if that is a directory, as with bindfs, gocryptfs and ecryptfs.
fn shown_directories(mount: &Mount) -> Vec<PathBuf> {
    if mount.kind == "overlay" {
        return mount.options.iter().flat_map(|option| layer_directories(option)).collect();
    }
    if mount.source.is_absolute() { vec![mount.source.clone()] } else { Vec::new() }
}

/// The directories that an option of an overlay names (Documentation/filesystems/overlayfs.rst).
fn layer_directories(option: &str) -> Vec<PathBuf> {
    let Some((key, value)) = option.split_once('=') else { return Vec::new() };
    if !["lowerdir", "lowerdir+", "datadir+", "upperdir"].contains(&key) {
        return Vec::new();
    }
    value.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::layer_directories;
    use std::path::PathBuf;

    #[test]
    fn an_overlay_names_its_layers() {
        assert_eq!(layer_directories("lowerdir=/a:/b"), [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(layer_directories("upperdir=/u"), [PathBuf::from("/u")]);
        assert!(layer_directories("workdir=/w").is_empty() && layer_directories("rw").is_empty());
    }
}
