//! Each entry of the plan, where it goes.

use super::expect::BackupEntry;
use super::leaf::LeafPair;
use super::walk::{ComparedDir, ComparisonWalk};
use crate::base::path::{Name, RelPath};
use crate::engine::events::operation::Operation;
use crate::engine::mapping::explicit::Covering;
use crate::engine::mapping::index::EntryIndex;
use crate::engine::mapping::model::{Entry, Presence};
use crate::engine::tree::node::{ENTRY, SourceNode, TargetNode};
use crate::engine::tree::scheduler::{self, Worker};
use crate::sys::Errno;
use crate::sys::dir::{SourceDir, TargetDir, open_target};
use crate::sys::stat::{Kind, stat_fd};
use crate::sys::xattr::Holder;
use rayon::Scope;
use rustix::fs::OFlags;
use std::sync::Arc;

/// The place of an entry on the target.
struct Landing<'e> {
    entry: &'e Entry,
    target: u32,
    share: u32,
    above: RelPath,
    name: Name,
    /// The directory that it lies in, and its id in the journal.
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
        let handle = self.of.source.open_strict(&entry.real, OFlags::PATH | OFlags::NOFOLLOW);
        let kind = match handle.and_then(stat_fd) {
            Ok(stat) => stat.kind,
            Err(errno) => return self.unreadable(target, entry.dst.clone(), Operation::OpenEntry, errno),
        };
        let dst = match open_target(&self.verifier().run.mapping.root, &above) {
            Ok(dst) => dst,
            Err(errno) => return self.not_there(target, &entry.dst, errno),
        };
        let id = self.id_of(&above);
        let landing = Landing { entry, target, share, above, name, dst, id };
        if kind == Kind::Directory { self.tree(worker, landing) } else { self.single(landing, kind) }
    }

    /// An entry that is a directory, and what is below it.
    fn tree<'s>(&'s self, worker: Worker<'_, 's>, landing: Landing<'_>) {
        let Landing { entry, target, share, above, name, dst, id } = landing;
        let opened = self.of.source.open_strict(&entry.real, ENTRY).and_then(|fd| Ok((stat_fd(&fd)?, fd)));
        let (stat, fd) = match opened {
            Ok(opened) => opened,
            Err(errno) => return self.unreadable(target, entry.dst.clone(), Operation::OpenEntry, errno),
        };
        let (name, path, holder) = (&name, &entry.dst, Holder::file(&fd));
        let (own, covering) = (entry.explicit(), &Covering::of(&self.verifier().run.mapping, &above));
        let seen = BackupEntry { name, path, target, dir: id, share, stat: &stat, holder, near: None, own, covering };
        let id = self.directory(&seen, &above, &dst);
        // Where there is no such directory, that is reported already.
        let Ok(dst) = dst.open_dir(name).and_then(|dst| self.on_target(path, dst)) else { return };
        let src = SourceDir::from_fd(fd);
        let src = SourceNode::entry(self.of.source, &entry.real, src, &stat, &self.source_budget);
        let (path, cursor) = (path.clone(), self.index.find(&entry.src));
        let covering = Covering::of(&self.verifier().run.mapping, &path);
        let dir = ComparedDir { src, dst, path, target, id, cursor, share, dev: stat.dev, covering };
        scheduler::start(self, worker, Arc::new(dir));
    }

    /// An entry that is not a directory.
    fn single(&self, landing: Landing<'_>, kind: Kind) {
        let Landing { entry, target, share, above, name, dst, id } = landing;
        let failed = |operation, errno| self.unreadable(target, entry.dst.clone(), operation, errno);
        let (Some(parent), Some(last)) = (entry.real.parent(), entry.real.last()) else { return };
        let opened = self.of.source.open_strict(&parent, ENTRY).and_then(|fd| Ok((stat_fd(&fd)?, fd)));
        let (stat, src) = match opened {
            Ok((stat, fd)) => (stat, SourceDir::from_fd(fd)),
            Err(errno) => return failed(Operation::OpenDirectory, errno),
        };
        let src = SourceNode::entry(self.of.source, &parent, src, &stat, &self.source_budget);
        let dst = match self.on_target(&above, dst) {
            Ok(dst) => dst,
            Err(errno) => return self.not_there(target, &entry.dst, errno),
        };
        let covering = Covering::of(&self.verifier().run.mapping, &above);
        let dir = ComparedDir { src, dst, path: above, target, id, cursor: None, share, dev: stat.dev, covering };
        let Some(sides) = self.sides(&dir) else { return };
        let leaf = LeafPair { dir: &dir, sides: &sides, name: &name, own: entry.explicit() };
        if kind == Kind::File {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
            match self.of.source.open_strict(&entry.real, flags).and_then(|fd| Ok((stat_fd(&fd)?, fd))) {
                Ok((stat, fd)) if stat.kind == Kind::File => self.file(&leaf, &fd, &stat),
                Ok(_) => failed(Operation::OpenEntry, Errno::STALE),
                Err(errno) => failed(Operation::OpenEntry, errno),
            }
        } else if last == name {
            self.leaf(&leaf, kind);
        }
    }

    fn on_target(&self, path: &RelPath, dir: TargetDir) -> Result<Arc<TargetNode>, Errno> {
        TargetNode::top(&self.verifier().run.mapping.root, path, dir, &self.target_budget)
    }
}
