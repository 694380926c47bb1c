//! Whether the source is still what an earlier run copied.
//!
//! Its stat proves it where the inode is the recorded one and the file system's clock
//! ticks. Elsewhere an entry whose type, size and mtime are those of its row is read
//! again: if content and attributes are the same, nothing is copied, and the row gets
//! the inode that stands there. A symlink's text is compared on every file system.

use super::dir::OpenDir;
use super::link::Waiter;
use super::{Engine, Override};
use crate::base::path::Name;
use crate::engine::content::reread;
use crate::engine::events::counters::add;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Doubt, Proof, Row, SourceId};
use crate::engine::meta::Wanted;
use crate::engine::volume::Volume;
use crate::sys::Errno;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What of an entry besides its stat is at hand to prove that it is the recorded one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Means<'a> {
    /// Its name in its directory.
    Name,
    /// It is open.
    Open(&'a OwnedFd),
    /// It was read in this run, and had this content.
    Known(&'a Content),
}

/// The content of an inode that has several names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Of a regular file.
    Digest(crate::engine::content::digest::Digest),
    /// Of a symlink.
    Text(Vec<u8>),
    /// A FIFO or device node: its stat says all.
    None,
}

impl Content {
    /// True when `row` was made of it.
    pub(super) fn is_of(&self, row: &Row) -> bool {
        match self {
            Self::Digest(digest) => row.digest == Some(*digest),
            Self::Text(text) => row.link.as_ref() == Some(text),
            Self::None => row.digest.is_none() && row.link.is_none(),
        }
    }
}

impl Engine {
    /// The file system of an entry of `dir`, of which `open` gives a descriptor.
    pub(super) fn volume_of<F: AsFd>(
        &self,
        dir: &OpenDir,
        stat: &Stat,
        open: impl FnOnce() -> Result<F, Errno>,
    ) -> Arc<Volume> {
        // A bind mount of one file, or an overlay, has another than the directory.
        if stat.dev == dir.dev { Arc::clone(&dir.volume) } else { self.volume(stat.dev, open) }
    }

    /// The same from its name. The handle of what is no regular file tells less than an open file.
    pub(super) fn volume_at(&self, dir: &OpenDir, name: &Name, stat: &Stat) -> Arc<Volume> {
        let open = || {
            if stat.kind == Kind::File {
                dir.src.open_file(dir.in_source(name))
            } else {
                dir.src.open_handle(dir.in_source(name))
            }
        };
        self.volume_of(dir, stat, open)
    }

    /// `row`, when the entry with `stat` is what it was made from; it may have got another
    /// source inode on the way. All but the source has been looked at.
    pub(super) fn prove_source(
        &self,
        dir: &OpenDir,
        name: &Name,
        stat: &Stat,
        own: Override,
        row: Row,
        means: Means<'_>,
    ) -> Option<Row> {
        let volume = match means {
            Means::Open(fd) => self.volume_of(dir, stat, || Ok(fd)),
            _ => self.volume_at(dir, name, stat),
        };
        if stat.kind == Kind::Symlink
            && !dir
                .src
                .open()
                .and_then(|src| src.read_link(dir.in_source(name)))
                .is_ok_and(|text| row.link == Some(text))
        {
            return None;
        }
        let doubt = match row.source_proof(stat, &volume) {
            Proof::Changed => return None,
            Proof::Holds => None,
            Proof::Unproven(doubt) => Some(doubt),
        };
        if let Some(doubt) = doubt {
            let known = if let Means::Known(content) = means { Some(content) } else { None };
            let same = |holder: Holder<'_>| self.reads_the_same(dir, name, stat, own, &row, known, holder);
            let same = match means {
                Means::Open(fd) => same(Holder::file(fd)),
                _ if stat.kind == Kind::File => {
                    dir.src.open_file(dir.in_source(name)).is_ok_and(|fd| same(Holder::file(&fd)))
                }
                _ => dir.src.open_handle(dir.in_source(name)).is_ok_and(|fd| same(Holder::handle(&fd))),
            };
            if !same {
                return None;
            }
            let reread = &volume.reread;
            add(if doubt == Doubt::Clock { &reread.clock } else { &reread.numbers }, 1);
        }
        let recorded = row.source.is_some_and(|source| source.volume.is_some());
        if recorded && doubt != Some(Doubt::Numbers) {
            return Some(row);
        }
        // Names that went from the source are on the target still, where each moves the ctime.
        let nlink = row.nlink.max(stat.nlink);
        // The name that its content was verified under may be of another inode by now.
        let verified = row.verified.filter(|_| !row.alias);
        let row = Row { source: Some(SourceId::of(stat, &volume)), nlink, alias: false, verified, ..row };
        self.submit.send(Written::row(row.clone(), dir.node.file_system));
        Some(row)
    }

    /// True when a ctime, or a look at the waiting name itself, tells that it has the content and
    /// all attributes that `row` was made of.
    pub(super) fn has_attributes_of(&self, waiter: &Waiter, row: &Row) -> bool {
        let Waiter { dir, name, stat, content, own, .. } = waiter;
        let Some(content) = content else { return true };
        let same = |holder: Holder<'_>| self.reads_the_same(dir, name, stat, *own, row, Some(content), holder);
        match stat.kind {
            Kind::File => dir.src.open_file(dir.in_source(name)).is_ok_and(|fd| same(Holder::file(&fd))),
            _ => dir.src.open_handle(dir.in_source(name)).is_ok_and(|fd| same(Holder::handle(&fd))),
        }
    }

    /// True when the inode behind `holder` has the content and all attributes that `row` was
    /// made of. What cannot be read, or changes meanwhile, is left to the copy, which says so.
    #[expect(clippy::too_many_arguments, reason = "an entry, its row, and what was read of it")]
    fn reads_the_same(
        &self,
        dir: &OpenDir,
        name: &Name,
        stat: &Stat,
        own: Override,
        row: &Row,
        known: Option<&Content>,
        holder: Holder<'_>,
    ) -> bool {
        let still = || stat_fd(holder.fd()).is_ok_and(|now| now.unchanged_since(stat));
        if !still() {
            return false;
        }
        let path = || dir.node.path().join(name);
        let (attributes, problems) = self.drivers.attributes(holder, stat, || dir.beside(), path);
        if !problems.is_empty() {
            return false;
        }
        let mut wanted = Wanted::from_source(stat, attributes, &self.options.keep);
        self.put_plan_over_leaf(&mut wanted, own, dir, name, stat);
        if !is_wanted_still(&wanted, &row.wanted) {
            return false;
        }
        let same = match (stat.kind, row.digest) {
            _ if known.is_some() => known.is_some_and(|content| content.is_of(row)),
            (Kind::File, Some(digest)) => {
                let pages = self.drivers.of(stat.dev, holder.fd()).cached_pages();
                let found = reread::digest_as(digest.algorithm, holder.fd(), stat, pages, &self.rate_limit);
                found.is_ok_and(|found| found == Some(digest))
            }

            (Kind::File, None) => false,
            _ => true,
        };
        same && still()
    }

    /// The content of a name whose inode number proves nothing: only names of equal content
    /// are linked. `None` where the run is ending, or it cannot be read as it stands.
    pub(super) fn content_of(&self, fd: BorrowedFd<'_>, stat: &Stat) -> Option<Content> {
        match stat.kind {
            Kind::File => {
                let pages = self.drivers.of(stat.dev, fd).cached_pages();
                let digest = reread::digest(fd, stat, pages, &self.rate_limit).ok().flatten()?;
                stat_fd(fd).is_ok_and(|now| now.unchanged_since(stat)).then_some(Content::Digest(digest))
            }
            Kind::Symlink => crate::sys::file::read_link(fd).ok().map(Content::Text),
            _ => Some(Content::None),
        }
    }
}

/// True when what the source asks for is what the row was made with, but for flags that the
/// target's file system does not know.
fn is_wanted_still(now: &Wanted, then: &Wanted) -> bool {
    let given_up = then.lost.contains(Unpreserved::Flags) && then.flags.without(now.flags).is_empty();
    (now.mode, now.owner, now.mtime, now.project) == (then.mode, then.owner, then.mtime, then.project)
        && now.xattrs == then.xattrs
        && (now.flags == then.flags || given_up)
}
