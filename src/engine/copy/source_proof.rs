//! Whether the source is still what an earlier run copied.
//!
//! Its stat proves it if the inode is the recorded one and the file system's ctime is
//! reliable. Otherwise an entry whose type, size and mtime match its row is read again: if
//! content and attributes are the same, nothing is copied, and the row gets the new inode. A
//! symlink's text is compared on every file system.

use super::context::CopyContext;
use super::entry::CopyEntry;
use super::evidence::{KnownContent, SourceAccess};
use super::link::Waiter;
use super::rules::Rules;
use super::source::SourceTree;
use crate::engine::compare::recorded::{KnownWanted, is_wanted};
use crate::engine::content::reread;
use crate::engine::events::counters::add;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Doubt, Proof, Row, SourceId};
use crate::engine::meta::{Attributes, Wanted};
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use std::sync::Arc;

/// Compares the source with its rows.
pub(super) struct SourceProof {
    pub(super) cx: Arc<CopyContext>,
    pub(super) source: Arc<SourceTree>,
    pub(super) rules: Arc<Rules>,
}

impl SourceProof {
    /// `row`, which the target matches, if it is what the source and the plan ask for. Its source
    /// may have got another inode meanwhile.
    pub(super) fn current(
        &self,
        entry: &CopyEntry<'_>,
        stat: &Stat,
        row: Row,
        access: SourceAccess<'_>,
    ) -> Option<Row> {
        if !row.source_looks_the_same(stat) {
            return None;
        }
        // The plan may ask for another owner or mode than when the row was written.
        let (attributes, known) = match self.named_acls(entry, stat, &row) {
            Some(attributes) => (attributes, KnownWanted::Acls),
            None => (Attributes::default(), KnownWanted::Stat),
        };
        let wanted = self.wanted(entry, stat, attributes);
        if !is_wanted(&row, &wanted, known) {
            return None;
        }
        self.cx.note_rights(&wanted, || entry.path());
        self.prove_source(entry, stat, row, access)
    }

    /// The source's attributes, if the row has an ACL with numbers that an earlier run may have
    /// remapped and this one would not, or the other way round.
    fn named_acls(&self, entry: &CopyEntry<'_>, stat: &Stat, row: &Row) -> Option<Attributes> {
        let xattrs = row.wanted.xattrs.as_ref().filter(|_| !self.cx.run.mapping.drift.is_empty())?;
        if !xattrs.have_named_acls() || row.wanted.lost.contains(Unpreserved::Acl) {
            return None;
        }
        let handle = entry.dir.src.open().and_then(|src| src.open_handle(entry.in_source())).ok()?;
        Some(Attributes::read(Holder::handle(&handle), stat).0)
    }

    /// True when the row of another name of the same inode has the owner and mode that this name
    /// is to have: an earlier run may have had another plan, or other numbers.
    pub(super) fn plan_stands(&self, waiter: &Waiter, row: &Row) -> bool {
        let wanted = self.wanted(&waiter.entry(), &waiter.stat, Attributes::default());
        is_wanted(row, &wanted, KnownWanted::Stat)
    }

    /// What the source and the plan ask for.
    fn wanted(&self, entry: &CopyEntry<'_>, stat: &Stat, attributes: Attributes) -> Wanted {
        let mut wanted = Wanted::from_source(stat, attributes, &self.cx.options.keep);
        self.rules.put_over_leaf(&mut wanted, entry, stat);
        wanted
    }

    /// `row`, if the entry with `stat` is what it was made from; it may have got another source
    /// inode meanwhile. Everything but the source has already been checked.
    fn prove_source(&self, entry: &CopyEntry<'_>, stat: &Stat, row: Row, access: SourceAccess<'_>) -> Option<Row> {
        let (src, name) = (&entry.dir.src, entry.in_source());
        let volume = match access {
            SourceAccess::Open(fd) => self.source.volume_of(entry.dir, stat, || Ok(fd)),
            _ => self.source.volume_at(entry, stat),
        };
        let text = || src.open().and_then(|src| src.read_link(name));
        if stat.kind == Kind::Symlink && !text().is_ok_and(|text| row.link == Some(text)) {
            return None;
        }
        let doubt = match row.source_proof(stat, &volume) {
            Proof::Changed => return None,
            Proof::Holds => None,
            Proof::Unproven(doubt) => Some(doubt),
        };
        if let Some(doubt) = doubt {
            let known = if let SourceAccess::Known(content) = access { Some(content) } else { None };
            let same = |holder: Holder<'_>| self.reads_the_same(entry, stat, &row, Witness { holder, known });
            let same = match access {
                SourceAccess::Open(fd) => same(Holder::file(fd)),
                _ if stat.kind == Kind::File => src.open_file(name).is_ok_and(|fd| same(Holder::file(&fd))),
                _ => src.open_handle(name).is_ok_and(|fd| same(Holder::handle(&fd))),
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
        let row = row.made_from(SourceId::of(stat, &volume), stat.nlink);
        self.cx.submit.send(Written::row(row.clone(), entry.node().file_system));
        Some(row)
    }

    /// True when a ctime, or reading the waiting name itself, shows that it has the content and
    /// all attributes that `row` was made from.
    pub(super) fn has_attributes_of(&self, waiter: &Waiter, row: &Row) -> bool {
        let (entry, stat) = (waiter.entry(), &waiter.stat);
        let Some(content) = &waiter.content else { return true };
        let same =
            |holder: Holder<'_>| self.reads_the_same(&entry, stat, row, Witness { holder, known: Some(content) });
        match stat.kind {
            Kind::File => entry.dir.src.open_file(entry.in_source()).is_ok_and(|fd| same(Holder::file(&fd))),
            _ => entry.dir.src.open_handle(entry.in_source()).is_ok_and(|fd| same(Holder::handle(&fd))),
        }
    }

    /// True when the inode of `witness` has the content and all attributes that `row` was made
    /// from. What cannot be read, or changes meanwhile, is left to the copy, which reports it.
    fn reads_the_same(&self, entry: &CopyEntry<'_>, stat: &Stat, row: &Row, witness: Witness<'_>) -> bool {
        let Witness { holder, known } = witness;
        let still = || stat_fd(holder.fd()).is_ok_and(|now| now.unchanged_since(stat));
        if !still() {
            return false;
        }
        let (attributes, problems) =
            self.source.drivers.attributes(holder, stat, || entry.dir.beside(), || entry.path());
        if !problems.is_empty() {
            return false;
        }
        if !is_wanted(row, &self.wanted(entry, stat, attributes), KnownWanted::All) {
            return false;
        }
        let same = match (stat.kind, row.digest) {
            _ if known.is_some() => known.is_some_and(|content| content.is_of(row)),
            (Kind::File, Some(digest)) => {
                let pages = self.source.drivers.of(stat.dev, holder.fd()).cached_pages();
                let found = reread::digest_as(digest.algorithm, holder.fd(), stat, pages, &self.cx.run.rate_limit);
                found.is_ok_and(|found| found == Some(digest))
            }
            (Kind::File, None) => false,
            _ => true,
        };
        same && still()
    }
}

/// An inode of the source to look at, and its content if that was read already.
struct Witness<'a> {
    holder: Holder<'a>,
    known: Option<&'a KnownContent>,
}
