//! Trees that would be copied into themselves, or whose copy would leave the journal out:
//! told by file system and path in it, so that a bind mount, a subvolume and the layers of
//! an overlay are known for what they are.

use super::Refusals;
use crate::mounts::{self, Mount};
use crate::path::{Name, RelPath, escape};
use crate::plan::resolved::{Entry, Presence, Resolved};
use crate::sys::dir::open_target;
use crate::sys::root::{Root, real_path};
use crate::sys::stat::{stat_at, stat_fd};
use crate::sys::{Errno, Op, errno_words, leads_nowhere, retry};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path in a file system, wherever that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FsPath {
    /// `major:minor`.
    device: String,
    path: PathBuf,
}

/// A tree on either side, which need not exist yet.
struct Tree {
    shown: String,
    /// Its deepest directory that exists, or the file that it is.
    held: OwnedFd,
    /// What of its path is not there.
    rest: PathBuf,
    /// Its path in this mount namespace.
    real: PathBuf,
    /// Where it lies; several for an overlay, whose layers show through.
    within: Vec<FsPath>,
}

/// How deep overlays lie over one another at most.
const LAYERS: u32 = 8;

const HANDLE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Where the journal is to be.
pub(super) struct StatePlace<'p> {
    pub(super) directory: &'p Path,
    /// It is the place that is taken where nobody names one.
    pub(super) is_usual: bool,
}

/// Every entry whose source and destination lie in one another, and a journal that lies in either.
pub(super) fn refusals(plan: &Resolved, source: &Root, state: &StatePlace<'_>, cross_mounts: bool) -> Refusals {
    look(plan, source, state, cross_mounts).unwrap_or_else(|errno| {
        vec![format!(
            "whether source and target lie in one another cannot be told: {}; mount /proc and run again",
            errno_words(errno)
        )]
    })
}

fn look(plan: &Resolved, source: &Root, state: &StatePlace<'_>, cross_mounts: bool) -> Result<Refusals, Errno> {
    let table = mounts::table()?;
    let (mut sources, mut targets) = (Vec::new(), Vec::new());
    for entry in plan.targets.iter().flat_map(|t| &t.entries).filter(|e| e.presence == Presence::Present) {
        // One that vanished meanwhile is the copy's to report.
        if let Some(tree) = Tree::of_source(source, entry, &table)? {
            sources.push(tree);
        }
        targets.push(Tree::of_target(plan, entry, &table)?);
    }
    let mut found = Refusals::new();
    for from in &sources {
        for to in &targets {
            if from.shows(to, &table, cross_mounts) {
                found.push(format!(
                    "the destination {} lies inside {}, which is to be copied: it would be copied into itself; \
                     mount the new disk elsewhere, or change `source`, `root` or `to`",
                    to.shown, from.shown
                ));
            } else if to.holds(from, &table) {
                found.push(format!(
                    "{}, which is to be copied, lies inside the destination {}: the copy would write over its source; \
                     mount the backup elsewhere, or change `source`, `root` or `to`",
                    from.shown, to.shown
                ));
            }
        }
    }
    let journal = Tree::of_path(state.directory, &table)?;
    let whole = Tree::of_path(&plan.source, &table)?;
    let shown = &journal.shown;
    // The running system cannot be copied without a journal in it: there only what is copied counts.
    let outer = if whole.is_same(Path::new("/"))? { sources.iter().collect() } else { vec![&whole] };
    if let Some(from) = outer.into_iter().find(|from| from.shows(&journal, &table, cross_mounts)) {
        found.push(format!(
            "the journal's directory {shown} lies inside the source {}; keep it elsewhere (--state)",
            from.shown
        ));
    }
    for to in &targets {
        if journal.holds(to, &table) {
            found.push(format!(
                "the destination {} lies inside the journal's directory {shown}; change `to`, or keep the journal \
                 elsewhere (--state)",
                to.shown
            ));
        } else if to.holds(&journal, &table) && !(state.is_usual && journal.is_child_of(to)) {
            found.push(format!(
                "the journal's directory {shown} lies inside the destination {}, where every name is the plan's; \
                 keep it elsewhere (--state)",
                to.shown
            ));
        }
    }
    found.dedup();
    Ok(found)
}

impl Tree {
    fn new(shown: String, held: OwnedFd, rest: PathBuf, table: &[Mount]) -> Result<Self, Errno> {
        let real = real_path(&held)?.join(&rest);
        let within = places(&held, &rest, table, LAYERS)?;
        Ok(Self { shown, held, rest, real, within })
    }

    fn of_source(source: &Root, entry: &Entry, table: &[Mount]) -> Result<Option<Self>, Errno> {
        let held = match source.open_strict(&entry.real, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(held) => held,
            Err(errno) if leads_nowhere(errno) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let real = real_path(&held)?;
        Self::new(escape(real.as_os_str().as_bytes()).into_owned(), held, PathBuf::new(), table).map(Some)
    }

    fn of_target(plan: &Resolved, entry: &Entry, table: &[Mount]) -> Result<Self, Errno> {
        let mut dir = open_target(&plan.root, &RelPath::root())?;
        let (mut rest, mut there) = (PathBuf::new(), true);
        for name in entry.dst.names() {
            // What is no directory is the copy's to judge; nothing lies below it.
            match if there { dir.open_dir(&name) } else { Err(Errno::NOENT) } {
                Ok(below) => dir = below,
                Err(_) => {
                    there = false;
                    rest.push(OsStr::from_bytes(name.as_bytes()));
                }
            }
        }
        let shown = escape(plan.root.join(entry.dst.as_path()).as_os_str().as_bytes()).into_owned();
        Self::new(shown, dir.into_fd(), rest, table)
    }

    /// A path that the user named: its symlinks are followed as far as it exists.
    fn of_path(path: &Path, table: &[Mount]) -> Result<Self, Errno> {
        let shown = escape(path.as_os_str().as_bytes()).into_owned();
        let (mut at, mut rest) = (path.to_path_buf(), PathBuf::new());
        loop {
            let there = if at.as_os_str().is_empty() { Path::new(".") } else { at.as_path() };
            match retry(Op::Open, || rustix::fs::open(there, HANDLE, Mode::empty())) {
                Ok(held) => return Self::new(shown, held, rest, table),
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

    /// True when `path` leads here.
    fn is_same(&self, path: &Path) -> Result<bool, Errno> {
        let other = stat_fd(retry(Op::Open, || rustix::fs::open(path, HANDLE, Mode::empty()))?)?;
        let stat = stat_fd(&self.held)?;
        Ok(self.exists() && (stat.dev, stat.ino) == (other.dev, other.ino))
    }

    fn exists(&self) -> bool {
        self.rest.as_os_str().is_empty()
    }

    /// True when `inner` is this tree or lies in it, or in a mount below it.
    fn holds(&self, inner: &Self, table: &[Mount]) -> bool {
        self.paths_to(inner).next().is_some() || self.exists() && self.mounts_hold(inner, table)
    }

    /// True when a walk of this tree, which enters mounts only with `cross_mounts`, comes to `inner`.
    fn shows(&self, inner: &Self, table: &[Mount], cross_mounts: bool) -> bool {
        self.exists()
            && (self.paths_to(inner).any(|below| self.reaches(below)) || cross_mounts && self.mounts_hold(inner, table))
    }

    /// What lies between this tree and `inner`, for each way in which it is below.
    fn paths_to<'a>(&'a self, inner: &'a Self) -> impl Iterator<Item = &'a Path> {
        let pairs = self.within.iter().flat_map(|outer| inner.within.iter().map(move |inner| (outer, inner)));
        pairs
            .filter(|(outer, inner)| outer.device == inner.device)
            .filter_map(|(o, i)| i.path.strip_prefix(&o.path).ok())
    }

    fn mounts_hold(&self, inner: &Self, table: &[Mount]) -> bool {
        let below = table.iter().filter(|mount| mount.point != self.real && mount.point.starts_with(&self.real));
        let mut holds = below.flat_map(|mount| inner.within.iter().map(move |inner| (mount, inner)));
        holds.any(|(mount, inner)| mount.device == inner.device && inner.path.starts_with(&mount.root))
    }

    /// False when a mount lies over a directory on the way to `below`: a walk stops there.
    fn reaches(&self, below: &Path) -> bool {
        let Ok(mut dir) = self.held.try_clone() else { return true };
        for part in below {
            let Ok(name) = Name::new(part.as_bytes()) else { return true };
            let stat = match stat_at(&dir, &name) {
                Ok(stat) => stat,
                // Not there yet: it would be made where the walk comes by.
                Err(_) => return true,
            };
            if stat.mount_root {
                return false;
            }
            match retry(Op::Open, || {
                rustix::fs::openat(&dir, name.as_c_str(), HANDLE | OFlags::NOFOLLOW, Mode::empty())
            }) {
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

/// Where `rest` below the open `held` lies: in its own file system, and in those of the
/// layers if that is an overlay.
fn places(held: impl AsFd, rest: &Path, table: &[Mount], layers: u32) -> Result<Vec<FsPath>, Errno> {
    let id = crate::sys::filesystem::mount_id(&held)?;
    let Some(mount) = table.iter().find(|mount| mount.id == id) else { return Ok(Vec::new()) };
    let real = real_path(&held)?;
    // A mount that another one hides has no path here.
    let Ok(below) = real.strip_prefix(&mount.point) else { return Ok(Vec::new()) };
    let below = join(below, rest);
    let mut found = vec![FsPath { device: mount.device.clone(), path: join(&mount.root, &below) }];
    if mount.kind == "overlay" && layers > 0 {
        let below = join(mount.root.strip_prefix("/").unwrap_or(&mount.root), &below);
        for dir in mount.options.iter().flat_map(|option| layer_directories(option)) {
            // A layer that is not reachable by its path any more cannot be told.
            if let Ok(layer) = retry(Op::Open, || rustix::fs::open(&dir, HANDLE, Mode::empty())) {
                found.extend(places(&layer, &below, table, layers - 1)?);
            }
        }
    }
    Ok(found)
}

/// As [`Path::join`], but without a slash at the end.
fn join(above: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { above.to_path_buf() } else { above.join(below) }
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
