//! What a name of the target has before this run writes there, compared with what earlier
//! runs recorded.
//!
//! | recorded | found | what happens |
//! |---|---|---|
//! | finished | as recorded | replaced if the source has changed |
//! | finished | gone | stays so: `missing` |
//! | finished | other content | stays: `changed-target`, or replaced by `--overwrite` |
//! | finished | other attributes alone | stay, and are reported |
//! | damaged | as verification found it | copied again |
//! | unfinished | ours | taken over |
//! | nothing | anything, after a run that came to its end | stays: `changed-target` |
//! | nothing | anything, before | replaced with a note |

use super::context::CopyContext;
use super::entry::{CopyEntry, TargetName};
use super::evidence::SourceAccess;
use super::node::DirNode;
use super::precedence::{Judgement, Precedence, altered, found, gone};
use super::source_proof::SourceProof;
use crate::engine::compare::differences::{CheckedDir, differences, has_same_content, without_moved_times};
use crate::engine::content::medium::ReadError;
use crate::engine::content::reread;
use crate::engine::events::counters::add;
use crate::engine::events::detail::{Detail, StaleCause};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::value::Appearance;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Row, RowAnswer, RowChange, State};
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Stat, Time};
use crate::sys::{effective_ids, file};
use rustix::fs::OFlags;
use std::sync::Arc;

/// Tells what to do with a name.
pub(super) struct Takeover {
    pub(super) cx: Arc<CopyContext>,
    pub(super) precedence: Arc<Precedence>,
    pub(super) proof: Arc<SourceProof>,
}

impl Takeover {
    /// Judges a name that is not a directory in the source, which looks like `stat`.
    pub(super) fn judge(&self, entry: &CopyEntry<'_>, stat: &Stat, access: SourceAccess<'_>) -> Judgement {
        let (node, name, at) = (entry.node(), entry.name, entry.at());
        // What earlier runs had in a directory that is new now went with the old one.
        if node.fresh {
            return Judgement::Copy(None);
        }
        let there = match node.open().and_then(|target| found(target.stat_at(name))) {
            Ok(there) => there,
            Err(errno) => {
                self.cx.target_failed(node.target, at.path(), Operation::Stat, errno);
                return Judgement::Kept;
            }
        };
        let row = match (entry.recorded, entry.reader) {
            (RowAnswer::Known(row), _) => row.as_deref().cloned(),
            (RowAnswer::Unasked, Some(reader)) => match self.cx.records.ask(reader.find(node.id, name)) {
                Some(row) => row,
                // The run is ending.
                None => return Judgement::Kept,
            },
            (RowAnswer::Unasked, None) => None,
        };
        if row.as_ref().is_some_and(|row| row.id.is_some()) && there.is_some_and(|there| there.kind == Kind::Directory)
        {
            // If it has content it stays, and only --delete removes it.
            let retyped = Problem::stale(at.path(), StaleCause::Retyped, 1);
            let target = self.cx.run.mapping.targets.get(node.target as usize).map_or("", |target| &target.name);
            self.cx.run.problems.record_only(retyped.in_target(target));
        }
        match row {
            Some(row) if matches!(row.state, State::Done | State::Bad) => {
                // A linked inode's content is verified under one name, which may have been found bad.
                let vouched = !row.alias
                    || entry.reader.and_then(|reader| self.cx.records.ask(reader.vouched_for(&row))).unwrap_or(false);
                match (self.judge_finished(entry, row, there.as_ref(), stat), there) {
                    (Recorded::As(row), Some(there)) if vouched => {
                        match self.proof.current(entry, stat, *row, access) {
                            Some(row) => Judgement::Finished(Box::new(row), there),
                            None => Judgement::Copy(Some(there)),
                        }
                    }
                    (Recorded::As(_) | Recorded::Replaceable, there) => Judgement::Copy(there),
                    (Recorded::Kept, _) => Judgement::Kept,
                }
            }
            Some(row) => match &there {
                Some(there) if !is_takeover(&row, there, stat, node) => self.precedence.keep_changed(at, &row, there),
                _ => Judgement::Copy(there),
            },
            None => match &there {
                Some(there) => self.judge_unrecorded(entry, there, stat),
                None => Judgement::Copy(None),
            },
        }
    }

    /// Judges what a finished or damaged row describes.
    fn judge_finished(&self, entry: &CopyEntry<'_>, row: Row, there: Option<&Stat>, source: &Stat) -> Recorded {
        let (node, at) = (entry.node(), entry.at());
        // An interrupted run may have removed the empty directory to make way for another type.
        let made_way =
            row.kind() == Kind::Directory && source.kind != Kind::Directory && self.cx.history(node.target).interrupted;
        let Some(there) = there else {
            // `--repair` found it missing and marked it to be copied.
            if row.state == State::Bad || made_way {
                return Recorded::Replaceable;
            }
            if !self.is_accepted(entry, &row, None, source) {
                self.cx.problem(node.target, gone(at.path()));
            }
            return Recorded::Kept;
        };
        let replaceable = row.still_damaged(there, node.disk)
            || (row.state == State::Bad || made_way) && self.may_be_left(entry, there, source);
        if replaceable {
            return Recorded::Replaceable;
        }
        let standing = match row.standing(there, node.disk) {
            RowChange::AsRecorded if row.state == State::Bad => RowChange::Touched,
            standing => standing,
        };
        if standing != RowChange::AsRecorded && self.is_accepted(entry, &row, Some(there), source) {
            return Recorded::Kept;
        }
        match standing {
            // Its run could not apply everything, and reported that.
            RowChange::AsRecorded if !row.target_unchanged(there, node.disk) => Recorded::Replaceable,
            RowChange::AsRecorded => Recorded::As(Box::new(row)),
            RowChange::Changed => kept(self.precedence.keep_changed(at, &row, there)),
            RowChange::Touched => self.judge_touched(at, row, there),
        }
    }

    /// True when `--accept` took what is there into the manifest, and the source has nothing newer than what was
    /// copied: then it stays, and is no problem.
    fn is_accepted(&self, entry: &CopyEntry<'_>, row: &Row, there: Option<&Stat>, source: &Stat) -> bool {
        let (Some(reader), false) = (entry.reader, self.cx.options.overwrite) else { return false };
        let node = entry.node();
        let accepted = self.cx.records.ask(reader.accepted(node.id, entry.name)).flatten();
        let covers = accepted.is_some_and(|accepted| accepted.covers(there, node.disk));
        let kept = covers && row.source_looks_the_same(source);
        if kept && let Some(tally) = self.cx.run.counters.targets.get(node.target as usize) {
            add(&tally.accepted, 1);
        }
        kept
    }

    /// Its ctime, inode or attributes have changed: has its content, too?
    fn judge_touched(&self, at: TargetName<'_>, row: Row, there: &Stat) -> Recorded {
        let (node, name, path) = (at.above, at.name, at.path());
        let target = match node.open() {
            Ok(target) => target,
            Err(errno) => {
                self.cx.target_failed(node.target, path, Operation::OpenParent, errno);
                return Recorded::Kept;
            }
        };
        let checked = CheckedDir::on(&target, node.disk);
        let is_device = matches!(there.kind, Kind::CharDevice | Kind::BlockDevice);
        if is_device && there.rdev != row.rdev {
            return kept(self.precedence.keep_changed(at, &row, there));
        }
        match has_same_content(&checked, name, &row, &self.cx.run.rate_limit) {
            // Its run could not apply everything, and what it applied is intact.
            Ok(true) if row.source.is_none() => return Recorded::Replaceable,
            Ok(true) => {}
            Ok(false) => return kept(self.precedence.keep_changed(at, &row, there)),
            Err(ReadError::Stopped) => return Recorded::Kept,
            Err(ReadError::Failed(operation, errno)) => {
                self.cx.target_failed(node.target, path, operation, errno);
                return Recorded::Kept;
            }
        }
        let mut found = differences(&checked, &path, name, &row, there);
        without_moved_times(&mut found, RowChange::Touched, &row);
        // An interrupted run had lifted its flags to replace it, or this one has under another name.
        let lifted = |p: &Problem| {
            let flags = row.wanted.flags.intersection(Flags::IMMUTABLE_OR_APPEND).each().map(|flag| flag.to_string());
            p.kind == ProblemKind::Flags && flags.into_iter().any(|flag| p.attribute.as_deref() == Some(flag.as_str()))
        };
        let by_us = self.cx.history(node.target).interrupted || row.nlink > 1;
        if !found.is_empty() && by_us && found.iter().all(lifted) {
            return Recorded::Replaceable;
        }
        if found.is_empty() {
            // The same in every respect but inode or ctime: those are recorded.
            let settled = row.settled(there);
            self.cx.submit.send(Written::row(settled.clone(), node.file_system));
            return Recorded::As(Box::new(settled));
        }
        found.into_iter().for_each(|problem| self.cx.problem(node.target, altered(problem)));
        Recorded::Kept
    }

    /// Judges something that no run of this plan has recorded.
    fn judge_unrecorded(&self, entry: &CopyEntry<'_>, there: &Stat, source: &Stat) -> Judgement {
        let at = entry.at();
        let same = is_alike(there, source) && there.mtime == source.mtime && leads_where_it_shall(entry, there);
        let same = same && !(self.cx.options.newer_kept && self.hides_other_content(entry, there));
        // An empty directory makes way; one with content is a problem of its own.
        if same || there.kind == Kind::Directory || self.may_be_left(entry, there, source) {
            return Judgement::Copy(Some(*there));
        }
        if self.precedence.is_replaceable(at, there, Some(source)) {
            return Judgement::Copy(Some(*there));
        }
        let mut problem =
            Problem::differs(at.path(), ProblemKind::ChangedTarget, Appearance::from(source), Appearance::from(there));
        problem.detail = Detail::Unrecorded;
        self.cx.problem(at.target, problem);
        Judgement::Kept
    }

    /// True unless the file that is there, with the source's size and time, is read to be the same.
    fn hides_other_content(&self, entry: &CopyEntry<'_>, there: &Stat) -> bool {
        let source = || entry.dir.src.open_file(entry.in_source());
        let target = || entry.node().open()?.open_file(entry.name, OFlags::empty());
        there.kind == Kind::File && !reread::is_same(source, target, &self.cx.run.rate_limit)
    }

    /// True for what the last run, which was interrupted, may have left unrecorded: unfinished, or
    /// finished on a file system that may round times.
    fn may_be_left(&self, entry: &CopyEntry<'_>, there: &Stat, source: &Stat) -> bool {
        let node = entry.node();
        let close = there.mtime.sec.abs_diff(source.mtime.sec) <= 2;
        self.cx.history(node.target).interrupted
            && (is_alike(there, source) && close || is_leftover(there, source, node.disk.bare))
            && leads_where_it_shall(entry, there)
    }
}

fn kept(judgement: Judgement) -> Recorded {
    match judgement {
        Judgement::Copy(_) => Recorded::Replaceable,
        Judgement::Finished(..) | Judgement::Kept => Recorded::Kept,
    }
}

/// The result of comparing a finished row with the target.
#[derive(Debug)]
enum Recorded {
    /// Everything is as recorded.
    As(Box<Row>),
    /// It may be replaced.
    Replaceable,
    /// It is kept; a problem says why.
    Kept,
}

/// Whether `there` is what an interrupted run left of `row`, or what it was about to replace.
fn is_takeover(row: &Row, there: &Stat, source: &Stat, node: &DirNode) -> bool {
    match row.state {
        State::Partial | State::Replacing if there.ino == row.dst_ino || node.disk.bare => {
            row.state == State::Partial || row.standing(there, node.disk) != RowChange::Changed
        }
        // The older one, which was there when the run was interrupted.
        State::Partial | State::Replacing if row.dst_ctime != Time::default() && there.ctime == row.dst_ctime => true,
        State::Partial | State::Replacing if row.nlink.max(there.nlink) == 1 && row.dst_ctime != Time::default() => {
            false
        }
        // If that is not recorded, or links have moved it, anything newer is somebody else's.
        State::Partial | State::Replacing => Some(there.mtime) <= row.wanted.mtime.max(Some(source.mtime)),
        State::Open | State::Ancestor | State::Done | State::Bad => true,
    }
}

/// True unless there is a symlink with another text than the source's: a symlink is made with
/// its text, so none of ours ever had another.
fn leads_where_it_shall(entry: &CopyEntry<'_>, there: &Stat) -> bool {
    if there.kind != Kind::Symlink {
        return true;
    }
    let wanted = entry.dir.src.open_handle(entry.in_source()).and_then(file::read_link);
    let found = entry.node().open().and_then(|target| target.read_link(entry.name));
    matches!((wanted, found), (Ok(wanted), Ok(found)) if wanted == found)
}

/// True for the same type and size.
fn is_alike(there: &Stat, source: &Stat) -> bool {
    there.kind == source.kind && (there.kind != Kind::File || there.size == source.size)
}

/// A file that a run had not finished: closed, and not larger than its source. One that already
/// had its name, and so its source's mtime, may have lost content in a power cut.
fn is_leftover(there: &Stat, source: &Stat, bare: bool) -> bool {
    let ours = bare || there.mode == 0o600 || there.mode & 0o077 == 0 && there.uid == effective_ids().0;
    match there.kind {
        kind if kind != source.kind => false,
        Kind::Symlink => there.size == source.size,
        _ => (ours || there.mtime == source.mtime) && there.size <= source.size,
    }
}
