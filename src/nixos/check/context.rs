//! What every check reads: the tree, the plan, the mounts. Nothing here writes.

use super::home::Home;
use super::id_files::IdFiles;
use super::system::Fstab;
use super::{home, system};
use crate::base::path::{Name, RelPath, escape};
use crate::base::shell;
use crate::engine::mapping::index::Index;
use crate::engine::mapping::model::{Entry, EntryKind, Mapping};
use crate::plan::PlanName;
use crate::sys::dir::read_batches;
use crate::sys::mounts::Mount;
use crate::sys::root::{Root, real_path};
use crate::sys::stat::{Stat, stat_fd};
use crate::sys::{Errno, file, filesystem, leads_nowhere, mounts};
use rustix::fs::OFlags;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Whether the system below the root runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booted {
    /// Live paths must lead to the storage.
    Yes,
    /// Only the storage is there.
    No,
}

/// Whether the plan's names could become numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlanNumbers {
    Known,
    /// The files that give them are damaged or do not hold them: owners in the plan are
    /// those of `[ids]` or missing.
    Lost,
}

/// What the plan file says beyond what it resolves to.
pub(super) struct PlanFile {
    /// As the user gave it, for the commands that bring something back.
    pub(super) path: PathBuf,
    pub(super) names: Vec<PlanName>,
    pub(super) numbers: PlanNumbers,
}

/// Shared by all checks, read only.
pub(super) struct CheckContext {
    pub(super) root: Root,
    pub(super) plan: Mapping,
    index: Index,
    pub(super) file: PlanFile,
    pub(super) booted: Booted,
    /// An error where `/proc` is not mounted.
    pub(super) mounts: Result<Vec<Mount>, Errno>,
    pub(super) ids: IdFiles,
    pub(super) homes: Vec<Home>,
    pub(super) fstab: Fstab,
}

/// What stands at a path.
pub(super) enum Read {
    Bytes(Vec<u8>),
    Absent,
    Failed(Errno),
}

/// Keys, maps and configuration are small; anything larger is something else.
const LARGEST: u64 = 16 << 20;

/// A path written in this program.
pub(super) fn rel(text: &str) -> RelPath {
    // Built from literals: always a path.
    RelPath::new(text.as_bytes()).unwrap_or_default()
}

impl CheckContext {
    pub(super) fn new(plan: Mapping, file: PlanFile, booted: Booted, root: Root) -> Self {
        let mut context = Self {
            root,
            index: Index::new(&plan),
            plan,
            file,
            booted,
            mounts: mounts::table(),
            ids: IdFiles::default(),
            homes: Vec::new(),
            fstab: Err(String::new()),
        };
        context.ids = IdFiles::read(&context);
        context.homes = home::of(&context);
        context.fstab = system::fstab(&context);
        context
    }

    /// One entry, not following a symlink at its end.
    pub(super) fn stat(&self, path: &RelPath) -> Result<Stat, Errno> {
        self.root.open_in(path, OFlags::PATH | OFlags::NOFOLLOW).and_then(stat_fd)
    }

    /// The text of a symlink, fit to be shown; `None` when it cannot be read.
    pub(super) fn link_text(&self, path: &RelPath) -> Option<String> {
        let held = self.root.open_in(path, OFlags::PATH | OFlags::NOFOLLOW).ok()?;
        file::read_link(&held).ok().map(|text| escape(&text).into_owned())
    }

    /// What is at the end of symlinks, which stay inside the root.
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

    /// Where the storage keeps what the running system sees at `live`: by the innermost
    /// entry at or above it. `None` when the plan does not keep it.
    pub(super) fn stored(&self, live: &RelPath) -> Option<RelPath> {
        let mut above = self.index.brought_from(&self.plan, live);
        above.retain(|brought| brought.entry.src == *live || brought.entry.kind != EntryKind::File);
        above.pop().map(|brought| brought.dst)
    }

    /// The same for a directory of which perhaps only some files are kept.
    pub(super) fn stored_directory(&self, live: &RelPath) -> Option<RelPath> {
        self.stored(live).or_else(|| {
            let inside = self.entries().find(|e| e.src.parent().as_ref() == Some(live));
            inside.and_then(|e| e.dst.parent())
        })
    }

    /// The mount that something at `path` lies on.
    pub(super) fn mount_id(&self, path: &RelPath) -> Result<u64, Errno> {
        self.root.open_in(path, OFlags::PATH).and_then(filesystem::mount_id)
    }

    /// A mount of the table by its id.
    pub(super) fn mount(&self, id: u64) -> Option<&Mount> {
        self.mounts.as_ref().ok()?.iter().find(|mount| mount.id == id)
    }

    /// The mount's point as a path below the root; `None` for one above it.
    pub(super) fn below_root(&self, mount: &Mount) -> Option<RelPath> {
        let root = RelPath::new(real_path(&self.root).ok()?.as_os_str().as_bytes()).ok()?;
        RelPath::new(mount.point.as_os_str().as_bytes()).ok()?.strip_prefix(&root)
    }

    /// A path of the root as a word of a command on this machine.
    pub(super) fn word(&self, path: &RelPath) -> String {
        let root = &self.plan.root;
        let full = if path.is_root() { root.clone() } else { root.join(path.as_path()) };
        shell::word(full.as_os_str().as_bytes())
    }

    /// The command that runs the plan on this root.
    pub(super) fn run_plan(&self, options: &str) -> String {
        let words = [&self.file.path, &self.plan.root].map(|path| shell::word(path.as_os_str().as_bytes()));
        format!("persistcp --plan {} --root {}{options}", words[0], words[1])
    }

    /// Brings back what is gone from the target.
    pub(super) fn bring_back(&self) -> String {
        self.run_plan(" --repair")
    }

    /// Brings the backup's `path` for the one that is broken, which stays beside it: a run
    /// never takes back what somebody has changed.
    pub(super) fn bring_anew(&self, path: &RelPath) -> String {
        let word = self.word(path);
        format!("mv {word} {word}.aside && {}", self.bring_back())
    }

    /// The number of a user or group on the new system.
    pub(super) fn number(&self, kind: crate::engine::mapping::model::IdKind, name: &str) -> Option<u32> {
        let own = self.file.names.iter().find(|n| n.kind == kind && n.name == name).and_then(|n| n.number);
        own.or_else(|| self.ids.number(kind, name))
    }
}
