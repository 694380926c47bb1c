//! What is not a directory.

use super::expect::BackupEntry;
use super::walk::{ComparedDir, ComparisonWalk, DirPair};
use crate::base::path::{Name, RelPath};
use crate::engine::content::reread;
use crate::engine::copy::key_of;
use crate::engine::copy::mount::{NotEntered, not_entered};
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::judge::KnownContent;
use crate::engine::mapping::explicit::Explicit;
use crate::engine::selection::SelectionSink;
use crate::engine::verify::Depth;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use rustix::fd::{AsFd, OwnedFd};

/// A name that is not a directory, on both sides.
#[derive(Clone, Copy)]
pub(super) struct LeafPair<'a> {
    pub(super) dir: &'a ComparedDir,
    pub(super) sides: &'a DirPair,
    pub(super) name: &'a Name,
    /// What the plan says of it itself.
    pub(super) own: Explicit,
}

impl<'a> LeafPair<'a> {
    /// What it is in the backup, where its path below the root is `path`.
    fn seen(&self, path: &'a RelPath, stat: &'a Stat, holder: Holder<'a>) -> BackupEntry<'a> {
        let Self { dir, sides, name, own } = *self;
        BackupEntry {
            name,
            path,
            target: dir.target,
            dir: dir.id,
            share: dir.share,
            stat,
            holder,
            near: Some(&sides.src),
            own,
            covering: &dir.covering,
            is_mount_point: false,
        }
    }
}

impl ComparisonWalk<'_> {
    /// Compares what is not a directory.
    pub(super) fn leaf(&self, leaf: &LeafPair<'_>, kind: Kind) {
        let LeafPair { dir, sides, name, .. } = *leaf;
        let path = dir.path.join(name);
        let unreadable = |operation, errno| self.unreadable(dir.target, path.clone(), operation, errno);
        if kind == Kind::File {
            match sides.src.open_file(name).and_then(|fd| Ok((stat_fd(&fd)?, fd))) {
                Ok((stat, fd)) if stat.kind == Kind::File => {
                    let is_there = self.is_at_its_place(&sides.dst, name, &stat);
                    if !is_there && !self.is_barred(dir, &path, &fd, &stat) {
                        self.file(leaf, &fd, &stat);
                    }
                }
                Ok(_) => self.changed(dir.target, path),
                Err(errno) => unreadable(Operation::OpenSource, errno),
            }
            return;
        }
        let (stat, handle) = match sides.src.open_handle(name).and_then(|fd| Ok((stat_fd(&fd)?, fd))) {
            Ok(opened) => opened,
            Err(errno) => return unreadable(Operation::Stat, errno),
        };
        let is_there = || self.is_at_its_place(&sides.dst, name, &stat);
        if stat.kind == Kind::Socket || is_there() || self.is_barred(dir, &path, &handle, &stat) {
            return;
        }
        if matches!(stat.kind, Kind::File | Kind::Directory) {
            return self.changed(dir.target, path);
        }
        let link = match stat.kind {
            Kind::Symlink => match file::read_link(&handle) {
                Ok(text) => Some(text),
                Err(errno) => return unreadable(Operation::ReadSymlink, errno),
            },
            _ => None,
        };
        if let Some(text) = &link
            && self.leads_home(leaf, &path, text)
        {
            return;
        }
        let seen = leaf.seen(&path, &stat, Holder::handle(&handle));
        let mut row = self.expected(&seen, &sides.dst);
        row.link = link;
        self.look(&sides.dst, &dir.path, name, row);
    }

    /// Compares an open regular file.
    pub(super) fn file(&self, leaf: &LeafPair<'_>, fd: &OwnedFd, stat: &Stat) {
        let LeafPair { dir, sides, name, .. } = *leaf;
        let path = dir.path.join(name);
        if self.is_at_its_place(&sides.dst, name, stat) {
            return;
        }
        let seen = leaf.seen(&path, stat, Holder::file(fd));
        let mut row = self.expected(&seen, &sides.dst);
        // If the size differs or it is not a file, neither side need be read.
        let same_size = sides.dst.stat_at(name).is_ok_and(|there| there.size == stat.size);
        if self.verifier().depth == Depth::Content && !row.alias && same_size {
            let driver = self.drivers.of(stat.dev, fd);
            match reread::digest(fd.as_fd(), stat, driver.cached_pages(), &self.verifier().run.rate_limit) {
                Ok(digest) => row.digest = digest,
                Err(errno) => return self.unreadable(dir.target, path, Operation::ReadSource, errno),
            }
            if !stat_fd(fd).is_ok_and(|now| now.unchanged_since(stat)) {
                return self.changed(dir.target, path);
            }
        }
        if let Some(digest) = row.digest
            && stat.nlink > 1
            && ![Unpreserved::Links, Unpreserved::Apart]
                .iter()
                .any(|unpreserved| row.wanted.lost.contains(*unpreserved))
            && !self.volumes.of(stat.dev, || Ok::<_, Errno>(fd), |_, _| {}).proves_links()
            && let Ok(there) = sides.dst.stat_at(name)
        {
            let key = key_of(stat, dir.share, Some(&KnownContent::Digest(digest)));
            self.alike.add(key, stat.nlink, (dir.target, &path), there.ino);
        }
        self.look(&sides.dst, &dir.path, name, row);
    }

    fn changed(&self, target: u32, path: RelPath) {
        self.verifier().problem(target, Problem::new(path, ProblemKind::ChangedSource, Detail::ChangedWhileCompared));
    }

    /// True for a mount that is not to be entered; reports it.
    pub(super) fn is_barred(&self, dir: &ComparedDir, path: &RelPath, fd: impl AsFd, stat: &Stat) -> bool {
        let barred = self.selection().bars(stat);
        if barred {
            self.report_mount(dir, path, fd, stat);
        }
        barred
    }

    pub(super) fn report_mount(&self, dir: &ComparedDir, path: &RelPath, fd: impl AsFd, stat: &Stat) {
        match not_entered(path.clone(), fd, stat, (dir.dev, dir.dst.open().ok())) {
            NotEntered::Problem(problem) => self.verifier().problem(dir.target, *problem),
            NotEntered::Note(note) => self.verifier().run.problems.note(note),
        }
    }
}
