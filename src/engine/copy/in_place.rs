//! What is in its place already: recorded as it is and never written, so that later verification guards
//! it, and a later run from another source (an installer, to which the same mounts are not there, sees
//! what lies under them) does not put something older over it.

use super::context::CopyContext;
use super::dir_metadata::PostVisit;
use super::entry::CopyEntry;
use super::leaf::Leaves;
use super::node::DirNode;
use crate::base::path::RelPath;
use crate::engine::content::digest::Algorithm;
use crate::engine::content::reread::{self, CachedPages};
use crate::engine::events::counters::add;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::in_place::{LinkAt, is_in_place, was_in_place};
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{InodePair, Row, RowAnswer, RowChange, RowKey, State};
use crate::engine::judge::{History, SourceAccess, found, gone};
use crate::engine::meta::{Keep, Owners, Wanted};
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use std::ops::Not;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

impl CopyContext {
    /// Counts an entry that is in its place; names it unless the directory above is, too.
    pub(super) fn count_in_place(&self, target: u32, above: &DirNode, path: impl FnOnce() -> RelPath) {
        add(&self.tally(target).in_place, 1);
        if !matches!(above.post_visit, PostVisit::InPlace(_)) {
            self.run.problems.note(Note::InPlace(path()));
            self.run.writer.finds_in_place();
        }
    }

    /// The same of a directory that a symlink of the source leads to: it is not walked.
    fn count_led_home(&self, target: u32, path: RelPath) {
        add(&self.tally(target).in_place, 1);
        self.run.problems.note(Note::InPlaceUnrecorded(path));
        self.run.writer.finds_in_place();
    }

    /// What is recorded of the metadata of an inode that is in its place: all of its own.
    pub(super) fn keep_as_it_is(&self) -> Keep {
        let owner = if self.options.keep.owner.are_kept() { Owners::Kept } else { Owners::Left };
        Keep { owner, atime: false }
    }
}

/// In seconds since the epoch.
pub(super) fn now() -> Option<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

impl Leaves {
    /// True when the source's path of `entry`, which looks like `stat`, leads to the inode that the target has in
    /// its place, or that cannot be told: [`Self::settle_in_place`] reports it.
    pub(super) fn may_be_in_place(&self, entry: &CopyEntry<'_>, stat: &Stat) -> bool {
        self.in_place(entry, stat).is_ok_and(|there| there.is_none()).not()
    }

    fn in_place(&self, entry: &CopyEntry<'_>, stat: &Stat) -> Result<Option<Stat>, (Operation, Errno)> {
        let node = entry.node();
        let is_link = stat.kind == Kind::Symlink;
        if node.fresh || !(is_link || stat.dev == node.disk.dev) {
            return Ok(None);
        }
        let Some(there) = self.there(entry)? else { return Ok(None) };
        let leads_there = is_in_place(stat, &there)
            || is_link && there.kind != Kind::Symlink && self.leads_home(entry, Some(&there))?;
        Ok(leads_there.then_some(there))
    }

    /// What the target has under the name.
    fn there(&self, entry: &CopyEntry<'_>) -> Result<Option<Stat>, (Operation, Errno)> {
        let there = entry.node().open().and_then(|dir| found(dir.stat_at(entry.name)));
        there.map_err(|errno| (Operation::Stat, errno))
    }

    /// True for a symlink that leads to its own place on the target, where `there` is.
    fn leads_home(&self, entry: &CopyEntry<'_>, there: Option<&Stat>) -> Result<bool, (Operation, Errno)> {
        let name = entry.in_source();
        let ask = || {
            let dir = entry.dir.src.open()?;
            let text = dir.read_link(name)?;
            LinkAt { source: &self.source.root, dir: &dir, name, text: &text }.leads_to(&entry.path(), there)
        };
        ask().map_err(|errno| (Operation::ReadSymlink, errno))
    }

    /// Settles an entry that is in its place, or that an earlier run found there; false if it is neither.
    pub(super) fn settle_in_place(&self, entry: &CopyEntry<'_>, stat: &Stat) -> bool {
        let settled = self.in_place(entry, stat).and_then(|there| match there {
            Some(there) => {
                if there.kind == Kind::Directory {
                    self.cx.count_led_home(entry.target(), entry.path());
                } else {
                    self.cx.count_in_place(entry.target(), entry.node(), || entry.path());
                }
                self.record_in_place(entry, &there)?;
                Ok(true)
            }
            None if self.cx.options.overwrite => Ok(false),
            None => self.keep_in_place(entry, stat),
        });
        settled.unwrap_or_else(|(operation, errno)| {
            // Whether it may be replaced is not known.
            self.cx.target_failed(entry.target(), entry.path(), operation, errno);
            true
        })
    }

    /// True when only [`Self::settle_in_place`] may handle the entry.
    pub(super) fn needs_in_place(&self, entry: &CopyEntry<'_>, stat: &Stat) -> bool {
        let may_have_been = match entry.recorded {
            RowAnswer::Known(Some(row)) => row.was_in_place(),
            _ => self.cx.history(entry.node().target).in_place,
        };
        may_have_been || self.may_be_in_place(entry, stat)
    }

    /// Keeps what an earlier run found in its place, unless the source has the very same. What is not recorded
    /// and stood there before the first run is kept if a run found something in its place: one that was
    /// interrupted may not have come to it.
    fn keep_in_place(&self, entry: &CopyEntry<'_>, stat: &Stat) -> Result<bool, (Operation, Errno)> {
        let History { in_place, began, .. } = self.cx.history(entry.node().target);
        if entry.node().fresh || !in_place {
            return Ok(false);
        }
        let row = self.cx.records.row_of(entry).flatten().map(Arc::unwrap_or_clone);
        let was = row.as_ref().is_some_and(Row::was_in_place);
        if row.is_some() && !was {
            return Ok(false);
        }
        let there = match self.there(entry)? {
            Some(there) if was || began.is_some_and(|began| there.ctime < began) => there,
            Some(_) => return Ok(false),
            None => {
                was.then(|| self.cx.problem(entry.target(), gone(entry.path())));
                return Ok(was);
            }
        };
        let standing = |row: &Row| row.standing(&there, entry.node().disk);
        let same = row.filter(|row| row.state == State::Done && standing(row) == RowChange::AsRecorded);
        if same.and_then(|row| self.takeover.proof.current(entry, stat, row, SourceAccess::Name)).is_none() {
            self.cx.problem(entry.target(), was_in_place(entry.path(), stat.into(), &there));
        }
        self.cx.count_skipped(entry.target(), stat);
        Ok(true)
    }

    /// Records `there` as it is, unless its row says so.
    fn record_in_place(&self, entry: &CopyEntry<'_>, there: &Stat) -> Result<(), (Operation, Errno)> {
        if there.kind == Kind::Directory || there.kind == Kind::Socket {
            return Ok(());
        }
        let recorded = self
            .cx
            .records
            .row_of(entry)
            .flatten()
            .map(Arc::unwrap_or_clone)
            .filter(|row| matches!(row.state, State::Done | State::Bad));
        let row = match recorded {
            Some(row) => self.renewed(entry, row, there)?,
            None => self.row_in_place(entry, there, None)?,
        };
        if let Some(row) = row {
            self.cx.submit.send(Written::row(row, entry.node().file_system));
        }
        Ok(())
    }

    /// What has to be recorded where `row` was written by a run that copied it or found it in its place.
    fn renewed(&self, entry: &CopyEntry<'_>, row: Row, there: &Stat) -> Result<Option<Row>, (Operation, Errno)> {
        let disk = entry.node().disk;
        let turned = |row: Row| (!row.was_in_place()).then(|| row.found_in_place(there));
        let is_whole = row.state == State::Done && row.source.is_some() && row.target_unchanged(there, disk);
        if is_whole || row.still_damaged(there, disk) {
            return Ok(turned(row));
        }
        if row.standing(there, disk) == RowChange::Changed {
            return self.row_in_place(entry, there, None);
        }
        // Other content under the same size and time is no use that anybody made of it.
        let algorithm = row.digest.map(|digest| digest.algorithm);
        let found = self.row_in_place(entry, there, algorithm)?;
        Ok(match found {
            Some(found) if found.digest != row.digest => turned(row),
            found => found,
        })
    }

    /// The row of `there`, with a digest by `algorithm` if one is given; `None` if it is another inode by now,
    /// or the run is ending.
    fn row_in_place(
        &self,
        entry: &CopyEntry<'_>,
        there: &Stat,
        algorithm: Option<Algorithm>,
    ) -> Result<Option<Row>, (Operation, Errno)> {
        let (node, name) = (entry.node(), entry.name);
        let dir = node.open().map_err(|errno| (Operation::OpenParent, errno))?;
        let open = |errno| (Operation::Open, errno);
        let key = RowKey { dir: node.id, name: name.as_bytes(), target: entry.target() };
        let row = if there.kind == Kind::File {
            let fd = dir.open_file(name, OFlags::empty()).map_err(open)?;
            let Some((stat, wanted)) = self.as_it_is(entry, Holder::file(&fd), there)? else { return Ok(None) };
            let (pages, rate_limit) = (CachedPages::MayBeOld, &self.cx.run.rate_limit);
            let digest = match algorithm {
                Some(algorithm) => reread::digest_as(algorithm, fd.as_fd(), &stat, pages, rate_limit),
                None => reread::digest(fd.as_fd(), &stat, pages, rate_limit),
            };
            let digest = digest.map_err(|errno| (Operation::Read, errno))?;
            digest.map(|digest| Row::file(key, InodePair::in_place(&stat, wanted), digest))
        } else {
            let handle = dir.open_handle(name).map_err(open)?;
            let Some((stat, wanted)) = self.as_it_is(entry, Holder::handle(&handle), there)? else { return Ok(None) };
            let inodes = InodePair::in_place(&stat, wanted);
            Some(match stat.kind {
                Kind::Symlink => {
                    let text = file::read_link(&handle).map_err(|errno| (Operation::ReadSymlink, errno))?;
                    Row::symlink(key, inodes, text)
                }
                _ => Row::special(key, inodes),
            })
        };
        // A live file may change before the run ends, which is no difference of a copy.
        Ok(row.map(|row| row.as_found(now())))
    }

    /// The stat and the metadata of an opened inode, if it is still the one with the stat `there`.
    fn as_it_is(
        &self,
        entry: &CopyEntry<'_>,
        holder: Holder<'_>,
        there: &Stat,
    ) -> Result<Option<(Stat, Wanted)>, (Operation, Errno)> {
        let stat = stat_fd(holder.fd()).map_err(|errno| (Operation::Stat, errno))?;
        if !stat.is_inode_of(there) {
            return Ok(None);
        }
        let attributes = self.source.attributes_of(entry, holder, &stat);
        // Fixups are applied to it later, as to all that was there before.
        Ok(Some((stat, Wanted::from_source(&stat, attributes, &self.cx.keep_as_it_is()))))
    }
}
