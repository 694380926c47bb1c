//! The source side: its file systems, what their drivers report of an inode, and what is not
//! entered.

use super::context::CopyContext;
use super::entry::CopyEntry;
use super::job::OpenSource;
use super::mount::{NotEntered, not_entered, subvolume_note};
use super::node::DirNode;
use super::open_dir::OpenDir;
use crate::base::path::{Name, RelPath};
use crate::engine::content::reread;
use crate::engine::driver::Drivers;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::Row;
use crate::engine::judge::KnownContent;
use crate::engine::mapping::index::is_barred;
use crate::engine::meta::Attributes;
use crate::engine::tree::budget::FdBudget;
use crate::engine::volume::{Volume, Volumes};
use crate::sys::Errno;
use crate::sys::file::read_link;
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use rustix::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// The backup tree as the copier reads it.
pub(super) struct SourceTree {
    pub(super) cx: Arc<CopyContext>,
    pub(super) root: Arc<Root>,
    pub(super) drivers: Drivers,
    pub(super) volumes: Volumes,
    /// Of descriptors of its directories.
    pub(super) budget: Arc<FdBudget>,
}

impl SourceTree {
    /// The attributes of a source inode, which lies in the directory that `near` opens or is that
    /// directory; what cannot be read is a problem of `target` and left out.
    pub(super) fn attributes(
        &self,
        target: u32,
        (holder, stat): (Holder<'_>, &Stat),
        near: impl Fn() -> Option<Root>,
        path: impl Fn() -> RelPath,
    ) -> Attributes {
        let (attributes, problems) = self.drivers.attributes(holder, stat, near, &path);
        problems.into_iter().for_each(|problem| self.cx.problem(target, problem));
        if attributes.marked {
            self.cx.run.problems.note(Note::MarkNotCopied(path()));
        }
        attributes
    }

    /// The attributes of an entry that is not a directory.
    pub(super) fn attributes_of(&self, entry: &CopyEntry<'_>, holder: Holder<'_>, stat: &Stat) -> Attributes {
        self.attributes(entry.node().target, (holder, stat), || entry.dir.beside(), || entry.path())
    }

    /// The file system with device number `dev`; `open` gives a descriptor on it.
    pub(super) fn volume<F: AsFd>(&self, dev: u64, open: impl FnOnce() -> Result<F, Errno>) -> Arc<Volume> {
        self.volumes.of(dev, open, |id, key| self.cx.run.writer.volume(id, key.to_string()))
    }

    /// The file system of an entry of `dir`; `open` gives a descriptor on it.
    pub(super) fn volume_of<F: AsFd>(
        &self,
        dir: &OpenDir,
        stat: &Stat,
        open: impl FnOnce() -> Result<F, Errno>,
    ) -> Arc<Volume> {
        // For a bind-mounted file, or in an overlay, it differs from the directory's.
        if stat.dev == dir.dev { Arc::clone(&dir.volume) } else { self.volume(stat.dev, open) }
    }

    /// The same by name. An O_PATH handle, for anything but a regular file, tells less.
    pub(super) fn volume_at(&self, entry: &CopyEntry<'_>, stat: &Stat) -> Arc<Volume> {
        let open = || match stat.kind {
            Kind::File => entry.dir.src.open_file(entry.in_source()),
            _ => entry.dir.src.open_handle(entry.in_source()),
        };
        self.volume_of(entry.dir, stat, open)
    }

    /// True for the root of a mount that is not to be entered.
    pub(super) fn is_barred(&self, stat: &Stat) -> bool {
        is_barred(stat, self.cx.options.cross_mounts)
    }

    /// Reports the mount `name` in `dir`, which is not entered.
    pub(super) fn skip_mount(&self, dir: &OpenDir, name: &Name, fd: impl AsFd, stat: &Stat) {
        match not_entered(dir.node.path().join(name), fd, stat, (dir.dev, dir.node.open().ok())) {
            NotEntered::Problem(problem) => self.cx.problem(dir.node.target, *problem),
            NotEntered::Note(note) => self.cx.run.problems.note(note),
        }
    }

    /// A subvolume is data of the same file system, though its device number differs.
    pub(super) fn note_subvolume(&self, path: &RelPath, fd: impl AsFd, stat: &Stat) {
        self.cx.run.problems.note(subvolume_note(path, fd, stat));
    }

    /// An entry that an earlier run finished is skipped, but its losses are reported again. For an
    /// inode with several names they are reported once, as when it was copied.
    pub(super) fn lost_before(&self, node: &DirNode, name: &Name, row: &Row) {
        if row.alias {
            return;
        }
        for unpreserved in row.wanted.lost.each() {
            self.cx.lost(node, node.path().join(name), unpreserved);
        }
        if let Some(xattrs) = row.xattrs() {
            self.drivers.see(xattrs, || node.path().join(name));
        }
    }

    /// The content of a name whose inode number proves nothing: only names with equal content are
    /// linked. `None` when the run is ending or the content cannot be read.
    pub(super) fn content_of(&self, fd: BorrowedFd<'_>, stat: &Stat) -> Option<KnownContent> {
        match stat.kind {
            Kind::File => {
                let pages = self.drivers.of(stat.dev, fd).cached_pages();
                let digest = reread::digest(fd, stat, pages, &self.cx.run.rate_limit).ok().flatten()?;
                stat_fd(fd).is_ok_and(|now| now.unchanged_since(stat)).then_some(KnownContent::Digest(digest))
            }
            Kind::Symlink => read_link(fd).ok().map(KnownContent::Text),
            _ => Some(KnownContent::None),
        }
    }

    /// Opens a regular file of the source; `None` after reporting a problem.
    pub(super) fn open_file(&self, entry: &CopyEntry<'_>) -> Option<OpenSource<'static>> {
        let path = || entry.path();
        let target = entry.node().target;
        let opened = entry
            .dir
            .src
            .open_file(entry.in_source())
            .and_then(|fd| stat_fd(&fd).map(|stat| OpenSource::new(fd, stat)));
        match opened {
            Ok(source) if source.stat.kind == Kind::File => Some(source),
            Ok(source) => {
                self.cx.problem(
                    target,
                    Problem::new(path(), ProblemKind::ChangedSource, Detail::FileReplaced(source.stat.kind)),
                );
                None
            }
            Err(errno @ (Errno::NOENT | Errno::LOOP | Errno::NXIO)) => {
                self.cx
                    .problem(target, Problem::failed(path(), ProblemKind::ChangedSource, Operation::OpenSource, errno));
                None
            }
            Err(errno) => {
                self.cx.problem(target, Problem::failed(path(), ProblemKind::Unreadable, Operation::OpenSource, errno));
                None
            }
        }
    }
}
