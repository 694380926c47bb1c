//! What the target shall have of one entry, as the backup is now.

use super::{ComparedDir, ComparisonWalk, DirPair};
use crate::base::path::{Name, RelPath};
use crate::engine::content::reread;
use crate::engine::copy::mount::{NotEntered, not_entered};
use crate::engine::copy::{KnownContent, key_of};
use crate::engine::driver::missing_subvolume;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::{Disk, Unpreserved};
use crate::engine::journal::{Proof, Row, RowChange, RowKey, SourceId};
use crate::engine::mapping::explicit::{self, Explicit};
use crate::engine::meta::{Rights, Wanted};
use crate::engine::selection::SelectionSink;
use crate::engine::verify::Depth;
use crate::sys::dir::{SourceDir, TargetDir};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use rustix::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;

/// A name that is not a directory, on both sides.
#[derive(Clone, Copy)]
pub(super) struct LeafPair<'a> {
    pub(super) dir: &'a ComparedDir,
    pub(super) sides: &'a DirPair,
    pub(super) name: &'a Name,
    /// What the plan says of it itself.
    pub(super) own: Explicit,
}

/// One entry of the backup.
pub(super) struct BackupEntry<'a> {
    pub(super) name: &'a Name,
    pub(super) path: &'a RelPath,
    pub(super) target: u32,
    /// The journal's id of the directory.
    pub(super) dir: Option<i64>,
    /// Of its directory.
    pub(super) share: u32,
    pub(super) stat: &'a Stat,
    pub(super) holder: Holder<'a>,
    /// The directory that it lies in, of what is no directory itself.
    pub(super) near: Option<&'a SourceDir>,
    /// What the plan says of an entry itself.
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
        }
    }
}

impl ComparisonWalk<'_> {
    /// The journal's id of the directory at `path`.
    pub(super) fn id_of(&self, path: &RelPath) -> Option<i64> {
        if path.is_root() {
            return Some(0);
        }
        self.verifier().ask(|reader| reader.find_path(path)).flatten()?.id
    }

    pub(super) fn recorded(&self, dir: Option<i64>, name: &Name) -> Option<Row> {
        let dir = dir?;
        self.verifier().ask(|reader| reader.find(dir, name)).flatten()
    }

    /// The row that a copier would write, but for the content.
    pub(super) fn expected(&self, seen: &BackupEntry<'_>, dst: &TargetDir) -> Row {
        let BackupEntry { name, path, target, stat, .. } = *seen;
        let near = || match seen.near {
            Some(near) => Root::again(near).ok(),
            None => Root::again(seen.holder.fd()).ok(),
        };
        let (attributes, problems) = self.drivers.attributes(seen.holder, stat, near, || path.clone());
        problems.into_iter().for_each(|problem| self.verifier().problem(target, problem));
        let mut wanted = Wanted::from_source(stat, attributes, &self.of.keep);
        wanted.override_with(seen.own);
        if self.drivers.is_empty_subvolume(stat, seen.holder.fd()) {
            self.verifier().problem(target, missing_subvolume(path.clone()));
            wanted.mtime = None;
        }
        wanted.override_with(explicit::of_path(&self.verifier().run.mapping, path, wanted.kind));
        wanted.override_with(self.of.groups.say(stat, seen.share));
        if wanted.rights.taken {
            self.verifier().run.problems.note_each(Rights::WORDS, path.clone());
        }
        let recorded = self.recorded(seen.dir, name);
        if let Some(row) = &recorded {
            wanted.give_up(&row.wanted);
        }
        let volume = self.volumes.of(stat.dev, || Ok::<_, Errno>(seen.holder.fd()), |_, _| {});
        // Only what was copied from this very state of the source tells about its links and blocks.
        let same = |row: &Row| match row.source_proof(stat, &volume) {
            Proof::Holds => true,
            Proof::Unproven(_) => !volume.proves_links(),
            Proof::Changed => false,
        };
        let recorded = recorded.filter(same);
        // Elsewhere one number may stand for several inodes.
        let is_linked = stat.nlink > 1 && stat.kind != Kind::Directory && volume.proves_links();
        let key = RowKey { dir: seen.dir.unwrap_or(-1), name: name.as_bytes(), target };
        let mut row = Row::expected(key, stat, SourceId::of(stat, &volume), wanted);
        match &recorded {
            Some(recorded) => {
                // One whose inode was touched is read under each of its names.
                let is_untouched = || {
                    let there = dst.stat_at(name);
                    there.is_ok_and(|there| {
                        recorded.standing(&there, Disk { dev: there.dev, bare: false }) == RowChange::AsRecorded
                    })
                };
                row.alias = is_linked && recorded.alias && is_untouched() && self.verifier().is_vouched_for(recorded);
                row = row.made_as(recorded);
            }
            None => {
                let ino = dst.stat_at(name).map_or(0, |there| there.ino);
                let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
                row.dst_ino =
                    if is_linked { *linked.entry((stat.dev, stat.ino, seen.share)).or_insert(ino) } else { ino };
            }
        }
        row
    }

    /// Compares the metadata of a directory; gives its id in the journal.
    pub(super) fn directory(&self, seen: &BackupEntry<'_>, above: &RelPath, dst: &TargetDir) -> Option<i64> {
        let row = self.expected(seen, dst);
        self.look(dst, above, seen.name, row);
        self.recorded(seen.dir, seen.name).and_then(|row| row.id)
    }

    /// Compares what is not a directory.
    pub(super) fn leaf(&self, leaf: &LeafPair<'_>, kind: Kind) {
        let LeafPair { dir, sides, name, .. } = *leaf;
        let path = dir.path.join(name);
        let unreadable = |operation, errno| self.unreadable(dir.target, path.clone(), operation, errno);
        if kind == Kind::File {
            match sides.src.open_file(name).and_then(|fd| Ok((stat_fd(&fd)?, fd))) {
                Ok((stat, fd)) if stat.kind == Kind::File => {
                    if !self.is_barred(dir, &path, &fd, &stat) {
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
        if stat.kind == Kind::Socket || self.is_barred(dir, &path, &handle, &stat) {
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
        let seen = leaf.seen(&path, &stat, Holder::handle(&handle));
        let mut row = self.expected(&seen, &sides.dst);
        row.link = link;
        self.look(&sides.dst, &dir.path, name, row);
    }

    /// Compares an open regular file.
    pub(super) fn file(&self, leaf: &LeafPair<'_>, fd: &OwnedFd, stat: &Stat) {
        let LeafPair { dir, sides, name, .. } = *leaf;
        let path = dir.path.join(name);
        let seen = leaf.seen(&path, stat, Holder::file(fd));
        let mut row = self.expected(&seen, &sides.dst);
        // Another size or no file at all is said without reading either.
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

    /// True for a mount that was not to be entered; says so.
    pub(super) fn is_barred(&self, dir: &ComparedDir, path: &RelPath, fd: impl AsFd, stat: &Stat) -> bool {
        let barred = self.selection().bars(stat);
        if barred {
            self.report_mount(dir, path, fd, stat);
        }
        barred
    }

    pub(super) fn report_mount(&self, dir: &ComparedDir, path: &RelPath, fd: impl AsFd, stat: &Stat) {
        match not_entered(path.clone(), fd, stat, dir.dev) {
            NotEntered::Problem(problem) => self.verifier().problem(dir.target, problem),
            NotEntered::Note(note) => self.verifier().run.problems.note(note),
        }
    }
}
