//! Each entry of the plan, where it goes.

use super::expect::BackupEntry;
use super::leaf::LeafPair;
use super::walk::{ComparedDir, ComparisonWalk};
use crate::base::path::{Name, RelPath};
use crate::engine::mapping::explicit::Covering;
use crate::engine::mapping::index::EntryIndex;
use crate::engine::mapping::model::{Entry, Presence};
use crate::engine::selection::{EntryHandle, open_above};
use crate::engine::tree::node::{SourceNode, TargetNode};
use crate::engine::tree::scheduler::{self, Worker};
use crate::sys::Errno;
use crate::sys::dir::{TargetDir, open_target};
use crate::sys::stat::Kind;
use crate::sys::xattr::Holder;
use rayon::Scope;
use std::sync::Arc;

/// The place of an entry on the target.
struct Landing<'e> {
    entry: &'e Entry,
    handle: EntryHandle,
    target: u32,
    share: u32,
    above: RelPath,
    name: Name,
    /// The directory that it is in, and its id in the journal.
    dst: TargetDir,
    id: Option<i64>,
}

impl ComparisonWalk<'_> {
    /// Compares all of them and what is below.
    pub(super) fn entries<'s>(&'s self, scope: &Scope<'s>) {
        let plan = &self.verifier().run.mapping;
        for (t, target) in plan.targets.iter().enumerate() {
            for (e, entry) in target.entries.iter().enumerate().filter(|(_, e)| e.presence == Presence::Present) {
                scope.spawn(move |scope| self.entry(Worker::new(scope), (t, e), entry));
            }
        }
    }

    fn entry<'s>(&'s self, worker: Worker<'_, 's>, (t, e): EntryIndex, entry: &Entry) {
        let (target, share) = (u32::try_from(t).unwrap_or(u32::MAX), self.of.groups.share((t, e)));
        let (Some(above), Some(name)) = (entry.dst.parent(), entry.dst.last()) else { return };
        let handle = match EntryHandle::new(self.of.source, entry) {
            Ok(handle) => handle,
            Err((operation, errno)) => return self.unreadable(target, entry.dst.clone(), operation, errno),
        };
        let dst = match open_target(&self.verifier().run.mapping.root, &above) {
            Ok(dst) => dst,
            Err(errno) => return self.not_there(target, &entry.dst, errno),
        };
        let id = self.id_of(&above);
        let is_tree = handle.stat.kind == Kind::Directory;
        let landing = Landing { entry, handle, target, share, above, name, dst, id };
        if is_tree { self.tree(worker, landing) } else { self.single(landing) }
    }

    /// An entry that is a directory, and what is below it.
    fn tree<'s>(&'s self, worker: Worker<'_, 's>, landing: Landing<'_>) {
        let Landing { entry, handle, target, share, above, name, dst, id } = landing;
        let (src, stat) = match handle.open_dir() {
            Ok(src) => (src, handle.stat),
            Err((operation, errno)) => return self.unreadable(target, entry.dst.clone(), operation, errno),
        };
        let covering = Covering::of(&self.verifier().run.mapping, &above);
        let (name, path, holder) = (&name, &entry.dst, Holder::file(&src));
        let (own, covering) = (entry.explicit(), &covering);
        let (dir, near, is_mount_point, stat) = (id, None, false, &stat);
        let seen = BackupEntry { name, path, target, dir, share, stat, holder, near, own, covering, is_mount_point };
        if self.is_settled_in_place(&seen, &dst) || self.is_owners_directory(&seen, &dst) {
            return;
        }
        let id = self.directory(&seen, &above, &dst);
        // A missing directory is already reported.
        let Ok(dst) = dst.open_dir(name).and_then(|dst| self.on_target(path, dst)) else { return };
        let src = SourceNode::entry(self.of.source, &entry.real, src, stat, &self.source_budget);
        let (path, cursor) = (path.clone(), self.index.find(&entry.src));
        let covering = Covering::of(&self.verifier().run.mapping, &path);
        let dir = ComparedDir { src, dst, path, target, id, cursor, share, dev: stat.dev, covering };
        scheduler::start(self, worker, Arc::new(dir));
    }

    /// An entry that is not a directory.
    fn single(&self, landing: Landing<'_>) {
        let Landing { entry, handle, target, share, above, name, dst, id } = landing;
        let failed = |operation, errno| self.unreadable(target, entry.dst.clone(), operation, errno);
        let (src, dev) = match open_above(self.of.source, entry, &self.source_budget) {
            Ok(opened) => opened,
            Err((operation, errno)) => return failed(operation, errno),
        };
        let dst = match self.on_target(&above, dst) {
            Ok(dst) => dst,
            Err(errno) => return self.not_there(target, &entry.dst, errno),
        };
        let covering = Covering::of(&self.verifier().run.mapping, &above);
        let dir = ComparedDir { src, dst, path: above, target, id, cursor: None, share, dev, covering };
        let Some(sides) = self.sides(&dir) else { return };
        let leaf = LeafPair { dir: &dir, sides: &sides, name: &name, own: entry.explicit() };
        let stat = &handle.stat;
        if stat.kind == Kind::File {
            match handle.open_file() {
                Ok(fd) => self.file(&leaf, &fd, stat),
                Err((operation, errno)) => failed(operation, errno),
            }
        } else if entry.real.last().is_some_and(|last| last == name) {
            self.leaf(&leaf, stat.kind);
        }
    }

    fn on_target(&self, path: &RelPath, dir: TargetDir) -> Result<Arc<TargetNode>, Errno> {
        TargetNode::top(&self.verifier().run.mapping.root, path, dir, &self.target_budget)
    }
}
