//! Whether the source is still what an earlier run copied.
//!
//! Its stat proves it if the inode is the recorded one and the file system's ctime is
//! reliable. Otherwise an entry whose type, size and mtime match its row is read again: if
//! content and attributes are the same, nothing is copied, and the row gets the new inode. A
//! symlink's text is compared on every file system.

use super::evidence::{KnownContent, SourceAccess};
use crate::base::path::{Name, RelPath};
use crate::engine::compare::recorded::{KnownWanted, is_wanted};
use crate::engine::content::reread;
use crate::engine::driver::Drivers;
use crate::engine::events::counters::add;
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::{Doubt, Proof, Row, SourceId};
use crate::engine::meta::{Attributes, Wanted};
use crate::engine::volume::Volume;
use crate::sys::Errno;
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, Time, stat_fd};
use crate::sys::xattr::Holder;
use rustix::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A name of a directory of the source, as far as it must be looked into.
pub(crate) trait SourceName {
    /// Below the target's root.
    fn path(&self) -> RelPath;
    /// A descriptor on the regular file.
    fn open_file(&self) -> Result<OwnedFd, Errno>;
    /// A handle on anything.
    fn open_handle(&self) -> Result<OwnedFd, Errno>;
    /// The text of the symlink.
    fn read_link(&self) -> Result<Vec<u8>, Errno>;
    /// Another name of its directory, as the target calls it.
    fn other<'s>(&'s self, name: &'s Name) -> Box<dyn SourceName + 's>;
    /// What its directory has under the name that the target calls `name`; `None` where that is
    /// not known.
    fn stat_beside(&self, name: &Name) -> Option<Stat>;
    /// Its directory, to look at what lies beside it.
    fn beside(&self) -> Option<Root>;
    /// When its directory was made, if its file system tells.
    fn dir_btime(&self) -> Option<Time>;
    /// The file system of the inode with this stat.
    fn volume(&self, stat: &Stat) -> Arc<Volume>;
    /// How the source's file systems answer.
    fn drivers(&self) -> &Drivers;
    /// What source and plan ask for, as far as the attributes are known.
    fn wanted(&self, stat: &Stat, attributes: Attributes) -> Wanted;
    /// Some names have other numbers on the target, so ACLs may have been renumbered.
    fn numbers_drift(&self) -> bool;
}

/// An entry whose copy is intact, and what it was made from.
pub(crate) struct SourceCase<'a> {
    pub(crate) name: &'a dyn SourceName,
    pub(crate) stat: &'a Stat,
    pub(crate) row: &'a Row,
    pub(crate) rate_limit: &'a RateLimit,
}

/// A source that is what the row was made from.
#[derive(Debug)]
pub(crate) struct Current {
    /// What the plan asks for, as far as it was needed.
    pub(crate) wanted: Wanted,
    /// The row with another source inode, or with its volume.
    pub(crate) row: Option<Row>,
}

impl SourceCase<'_> {
    /// `None` when the row is not what source and plan ask for.
    pub(crate) fn current(&self, access: SourceAccess<'_>) -> Option<Current> {
        let Self { name, stat, row, .. } = *self;
        if !row.source_looks_the_same(stat) {
            return None;
        }
        // The plan may ask for another owner or mode than when the row was written.
        let (attributes, known) = match self.named_acls() {
            Some(attributes) => (attributes, KnownWanted::Acls),
            None => (Attributes::default(), KnownWanted::Stat),
        };
        let wanted = name.wanted(stat, attributes);
        if !is_wanted(row, &wanted, known) {
            return None;
        }
        let volume = name.volume(stat);
        if stat.kind == Kind::Symlink && !name.read_link().is_ok_and(|text| row.link == Some(text)) {
            return None;
        }
        let doubt = match row.source_proof(stat, &volume) {
            Proof::Changed => return None,
            Proof::Holds => None,
            Proof::Unproven(doubt) => Some(doubt),
        };
        if let Some(doubt) = doubt {
            if !self.reads_the_same(access) {
                return None;
            }
            let reread = &volume.reread;
            add(if doubt == Doubt::Clock { &reread.clock } else { &reread.numbers }, 1);
        }
        let recorded = row.source.is_some_and(|source| source.volume.is_some());
        let moved = !recorded || doubt == Some(Doubt::Numbers);
        let row = moved.then(|| row.clone().made_from(SourceId::of(stat, &volume), stat.nlink));
        Some(Current { wanted, row })
    }

    /// The source's attributes, if the row has an ACL with numbers that an earlier run may have
    /// remapped and this one would not, or the other way round.
    fn named_acls(&self) -> Option<Attributes> {
        let wanted = &self.row.wanted;
        let xattrs = wanted.xattrs.as_ref().filter(|_| self.name.numbers_drift())?;
        if !xattrs.have_named_acls() || wanted.lost.contains(Unpreserved::Acl) {
            return None;
        }
        let handle = self.name.open_handle().ok()?;
        Some(Attributes::read(Holder::handle(&handle), self.stat).0)
    }

    /// True when content and all attributes are those that the row was made from. What cannot be
    /// read, or changes meanwhile, is left to the copy, which reports it.
    pub(crate) fn reads_the_same(&self, access: SourceAccess<'_>) -> bool {
        let known = if let SourceAccess::Known(content) = access { Some(content) } else { None };
        match (access, self.stat.kind) {
            (SourceAccess::Open(fd), _) => self.holds_the_same(Holder::file(fd), known),
            (_, Kind::File) => self.name.open_file().is_ok_and(|fd| self.holds_the_same(Holder::file(&fd), known)),
            _ => self.name.open_handle().is_ok_and(|fd| self.holds_the_same(Holder::handle(&fd), known)),
        }
    }

    /// True when the regular file has the content that the row was made from, whatever its attributes.
    pub(super) fn has_recorded_content(&self, access: SourceAccess<'_>) -> bool {
        let Self { stat, row, .. } = *self;
        match access {
            _ if stat.kind != Kind::File || stat.size != row.size => false,
            SourceAccess::Known(content) => content.is_of(row),
            SourceAccess::Open(fd) => self.reads_recorded(fd),
            SourceAccess::Name => self.name.open_file().is_ok_and(|fd| self.reads_recorded(&fd)),
        }
    }

    fn reads_recorded(&self, fd: &OwnedFd) -> bool {
        let Self { name, stat, row, rate_limit } = *self;
        let Some(digest) = row.digest else { return false };
        let pages = name.drivers().of(stat.dev, fd).cached_pages();
        let found = reread::digest_as(digest.algorithm, fd.as_fd(), stat, pages, rate_limit);
        found.is_ok_and(|found| found == Some(digest)) && stat_fd(fd).is_ok_and(|now| now.unchanged_since(stat))
    }

    fn holds_the_same(&self, holder: Holder<'_>, known: Option<&KnownContent>) -> bool {
        let Self { name, stat, row, rate_limit } = *self;
        let still = || stat_fd(holder.fd()).is_ok_and(|now| now.unchanged_since(stat));
        if !still() {
            return false;
        }
        let (attributes, problems) = name.drivers().attributes(holder, stat, || name.beside(), || name.path());
        if !problems.is_empty() || !is_wanted(row, &name.wanted(stat, attributes), KnownWanted::All) {
            return false;
        }
        let same = match (stat.kind, row.digest) {
            _ if known.is_some() => known.is_some_and(|content| content.is_of(row)),
            (Kind::File, Some(digest)) => {
                let pages = name.drivers().of(stat.dev, holder.fd()).cached_pages();
                let found = reread::digest_as(digest.algorithm, holder.fd(), stat, pages, rate_limit);
                found.is_ok_and(|found| found == Some(digest))
            }
            (Kind::File, None) => false,
            _ => true,
        };
        same && still()
    }
}
