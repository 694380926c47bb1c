//! The new system's tree: what stands in it, and where the storage keeps what the running
//! system sees. Nothing here writes.

use crate::base::path::{Name, RelPath, escape};
use crate::base::shell;
use crate::engine::mapping::index::Index;
use crate::engine::mapping::model::{Entry, EntryKind, Mapping};
use crate::sys::dir::read_batches;
use crate::sys::mounts::Mount;
use crate::sys::root::{Root, real_path};
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::{Errno, file, filesystem, leads_nowhere};
use rustix::fs::OFlags;
use std::os::unix::ffi::OsStrExt;

/// The root, and the plan that says how it is arranged.
pub(super) struct SystemTree {
    pub(super) root: Root,
    pub(super) plan: Mapping,
    index: Index,
}

/// What a path has.
pub(super) enum Read {
    Bytes(Vec<u8>),
    Absent,
    Failed(Errno),
}

/// Keys, maps and configuration are small; anything larger is something else.
const LARGEST: u64 = 16 << 20;

/// A path written in this program.
pub(super) fn rel(text: &str) -> RelPath {
    // Built from literals, so always a valid path.
    RelPath::new(text.as_bytes()).unwrap_or_default()
}

impl SystemTree {
    pub(super) fn new(plan: Mapping, root: Root) -> Self {
        Self { root, index: Index::new(&plan), plan }
    }

    /// One entry, not following a symlink at its end.
    pub(super) fn stat(&self, path: &RelPath) -> Result<Stat, Errno> {
        self.root.open_in(path, OFlags::PATH | OFlags::NOFOLLOW).and_then(stat_fd)
    }

    /// The text of a symlink, escaped for display; `None` when it cannot be read.
    pub(super) fn link_text(&self, path: &RelPath) -> Option<String> {
        let held = self.root.open_in(path, OFlags::PATH | OFlags::NOFOLLOW).ok()?;
        file::read_link(&held).ok().map(|text| escape(&text).into_owned())
    }

    /// The stat at the end of symlinks, which stay inside the root.
    pub(super) fn stat_through(&self, path: &RelPath) -> Result<Stat, Errno> {
        self.root.open_in(path, OFlags::PATH).and_then(stat_fd)
    }

    pub(super) fn read(&self, path: &RelPath) -> Read {
        match self.root.read(path, LARGEST) {
            Ok(bytes) => Read::Bytes(bytes),
            Err(errno) if leads_nowhere(errno) => Read::Absent,
            Err(errno) => Read::Failed(errno),
        }
    }

    /// The names in a directory, sorted.
    pub(super) fn list(&self, path: &RelPath) -> Result<Vec<Name>, Errno> {
        let dir = self.root.open_in(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        read_batches(&dir, 4096, |batch| {
            names.extend(batch.into_iter().map(|entry| entry.name));
            true
        })?;
        names.sort();
        Ok(names)
    }

    /// Every entry of the plan.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.plan.targets.iter().flat_map(|t| &t.entries)
    }

    /// Where the storage keeps what the running system has at `live`, going by the innermost entry at or
    /// above it. `None` if the plan does not keep it.
    pub(super) fn stored(&self, live: &RelPath) -> Option<RelPath> {
        let mut above = self.index.brought_from(&self.plan, live);
        above.retain(|brought| brought.entry.src == *live || brought.entry.kind != EntryKind::File);
        above.pop().map(|brought| brought.dst)
    }

    /// The same for a directory of which maybe only some files are kept.
    pub(super) fn stored_directory(&self, live: &RelPath) -> Option<RelPath> {
        self.stored(live).or_else(|| {
            let inside = self.entries().find(|e| e.src.parent().as_ref() == Some(live));
            inside.and_then(|e| e.dst.parent())
        })
    }

    /// The id of the mount that `path` is on.
    pub(super) fn mount_id(&self, path: &RelPath) -> Result<u64, Errno> {
        self.root.open_in(path, OFlags::PATH).and_then(filesystem::mount_id)
    }

    /// The mount point as a path below the root; `None` for one above it.
    pub(super) fn below_root(&self, mount: &Mount) -> Option<RelPath> {
        let root = RelPath::new(real_path(&self.root).ok()?.as_os_str().as_bytes()).ok()?;
        RelPath::new(mount.point.as_os_str().as_bytes()).ok()?.strip_prefix(&root)
    }

    /// True if nobody but root can put a symlink in the place of `path` or of a directory above it. What is
    /// not there is judged by what is above.
    pub(super) fn is_roots(&self, path: &RelPath) -> bool {
        std::iter::successors(Some(path.clone()), RelPath::parent).all(|at| match self.stat(&at) {
            Ok(stat) => stat.kind == Kind::Directory && stat.uid == 0 && stat.mode & 0o022 == 0,
            Err(errno) => leads_nowhere(errno),
        })
    }

    /// A path of the root, quoted for a command on this machine.
    pub(super) fn word(&self, path: &RelPath) -> String {
        let root = &self.plan.root;
        let full = if path.is_root() { root.clone() } else { root.join(path.as_path()) };
        shell::word(full.as_os_str().as_bytes())
    }
}
