//! What the source and the plan ask for, for the judge to compare with what was recorded.

use super::context::CopyContext;
use super::entry::CopyEntry;
use super::link::Waiter;
use super::rules::Rules;
use super::source::SourceTree;
use crate::base::path::{Name, RelPath};
use crate::engine::compare::recorded::{KnownWanted, is_wanted};
use crate::engine::driver::Drivers;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Row, RowAnswer};
use crate::engine::judge::{SourceAccess, SourceCase, SourceName};
use crate::engine::meta::{Attributes, Wanted};
use crate::engine::volume::Volume;
use crate::sys::Errno;
use crate::sys::root::Root;
use crate::sys::stat::{Stat, Time};
use rustix::fd::OwnedFd;
use std::sync::Arc;

/// Compares the source with its rows.
pub(super) struct SourceProof {
    pub(super) cx: Arc<CopyContext>,
    pub(super) source: Arc<SourceTree>,
    pub(super) rules: Arc<Rules>,
}

/// An entry, and the parts that know its source.
pub(super) struct EntrySource<'a> {
    proof: &'a SourceProof,
    entry: CopyEntry<'a>,
}

impl SourceProof {
    pub(super) fn of<'a>(&'a self, entry: CopyEntry<'a>) -> EntrySource<'a> {
        EntrySource { proof: self, entry }
    }

    /// `row`, which the target matches, if it is what the source and the plan ask for. Its source
    /// may have got another inode meanwhile.
    pub(super) fn current(
        &self,
        entry: &CopyEntry<'_>,
        stat: &Stat,
        row: Row,
        access: SourceAccess<'_>,
    ) -> Option<Row> {
        let (name, rate_limit) = (&self.of(*entry), &self.cx.run.rate_limit);
        let current = SourceCase { name, stat, row: &row, rate_limit }.current(access)?;
        self.cx.note_rights(&current.wanted, || entry.path());
        let Some(moved) = current.row else { return Some(row) };
        self.cx.submit.send(Written::row(moved.clone(), entry.node().file_system));
        Some(moved)
    }

    /// True when the row of another name of the same inode has the owner and mode that this name
    /// is to have: an earlier run may have had another plan, or other numbers.
    pub(super) fn plan_stands(&self, waiter: &Waiter, row: &Row) -> bool {
        let wanted = self.of(waiter.entry()).wanted(&waiter.stat, Attributes::default());
        is_wanted(row, &wanted, KnownWanted::Stat)
    }

    /// True when a ctime, or reading the waiting name itself, shows that it has the content and
    /// all attributes that `row` was made from.
    pub(super) fn has_attributes_of(&self, waiter: &Waiter, row: &Row) -> bool {
        let Some(content) = &waiter.content else { return true };
        let (name, rate_limit) = (&self.of(waiter.entry()), &self.cx.run.rate_limit);
        SourceCase { name, stat: &waiter.stat, row, rate_limit }.reads_the_same(SourceAccess::Known(content))
    }
}

impl SourceName for EntrySource<'_> {
    fn path(&self) -> RelPath {
        self.entry.path()
    }

    fn open_file(&self) -> Result<OwnedFd, Errno> {
        self.entry.dir.src.open_file(self.entry.in_source())
    }

    fn open_handle(&self) -> Result<OwnedFd, Errno> {
        self.entry.dir.src.open_handle(self.entry.in_source())
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        self.entry.dir.src.open()?.read_link(self.entry.in_source())
    }

    fn other<'s>(&'s self, name: &'s Name) -> Box<dyn SourceName + 's> {
        let entry = CopyEntry { name, recorded: &RowAnswer::Unasked, ..self.entry };
        Box::new(EntrySource { entry, ..*self })
    }

    fn stat_beside(&self, name: &Name) -> Option<Stat> {
        let dir = self.entry.dir;
        if dir.renamed.is_some() { None } else { dir.src.stat_at(name).ok() }
    }

    fn beside(&self) -> Option<Root> {
        self.entry.dir.beside()
    }

    fn dir_btime(&self) -> Option<Time> {
        self.entry.dir.src.open().and_then(|dir| dir.stat()).ok()?.btime
    }

    fn volume(&self, stat: &Stat) -> Arc<Volume> {
        self.proof.source.volume_at(&self.entry, stat)
    }

    fn drivers(&self) -> &Drivers {
        &self.proof.source.drivers
    }

    fn wanted(&self, stat: &Stat, attributes: Attributes) -> Wanted {
        let mut wanted = Wanted::from_source(stat, attributes, &self.proof.cx.options.keep);
        self.proof.rules.put_over_leaf(&mut wanted, &self.entry, stat);
        wanted
    }

    fn numbers_drift(&self) -> bool {
        !self.proof.cx.run.mapping.drift.is_empty()
    }
}
