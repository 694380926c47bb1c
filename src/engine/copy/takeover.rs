//! What stands under a name on the target before this run writes there, held
//! against what earlier runs recorded.
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

use super::altered::altered;
use super::dir::OpenDir;
use super::node::DirNode;
use super::source_proof::Means;
use super::{Engine, Override};
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::{CheckedDir, changed, differences, has_same_content, seen};
use crate::engine::content::medium::ReadError;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Reader, Row, Standing, State};
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Stat, Time};
use crate::sys::{Errno, effective_ids};

/// What is to be done with a name.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing: an earlier run finished it as it stands there, and neither side has changed since.
    Finished(Box<Row>, Stat),
    /// It is to be copied, in the place of this if anything stands there.
    Copy(Option<Stat>),
    /// What stands there stays, and a problem says why.
    Kept,
}

/// What the runs before this one leave to know of a target of the plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct History {
    /// No run of this plan that came to its end has written there.
    pub first: bool,
    /// When the first of them began to write; nobody sets a ctime, so what has an older one
    /// stood there before.
    pub began: Option<Time>,
    /// The last run that wrote was stopped or killed.
    pub interrupted: bool,
    /// The records of earlier runs were set aside.
    pub restarted: bool,
}

impl Engine {
    pub(super) fn history(&self, target: u32) -> History {
        self.options.histories.get(target as usize).copied().unwrap_or_default()
    }

    /// Judges a name that is not a directory in the source, which looks like `stat`.
    pub(super) fn judge(
        &self,
        dir: &OpenDir,
        name: &Name,
        stat: &Stat,
        own: Override,
        reader: Option<&Reader>,
        means: Means<'_>,
    ) -> Verdict {
        let node = &dir.node;
        // Whatever earlier runs had in a directory that is new by now went with the old one.
        if node.fresh {
            return Verdict::Copy(None);
        }
        let there = match node.open().and_then(|target| found(target.stat_at(name))) {
            Ok(there) => there,
            Err(errno) => {
                self.target_failed(node.target, node.path().join(name), "look at", errno);
                return Verdict::Kept;
            }
        };
        let row = match reader {
            Some(reader) => match self.ask(reader.find(node.id, name)) {
                Some(row) => row,
                // The run is ending.
                None => return Verdict::Kept,
            },
            None => None,
        };
        match row {
            Some(row) if matches!(row.state, State::Done | State::Bad) => {
                // The content of a linked inode is verified under one name, which may have been found bad.
                let vouched =
                    !row.alias || reader.and_then(|reader| self.ask(reader.vouched_for(&row))).unwrap_or(false);
                match (self.judge_finished(node, name, row, there.as_ref(), stat), there) {
                    (Recorded::As(row), Some(there)) if vouched => {
                        match self.current(dir, name, stat, own, *row, means) {
                            Some(row) => Verdict::Finished(Box::new(row), there),
                            None => Verdict::Copy(Some(there)),
                        }
                    }
                    (Recorded::As(_) | Recorded::Replaceable, there) => Verdict::Copy(there),
                    (Recorded::Kept, _) => Verdict::Kept,
                }
            }
            Some(row) => match &there {
                Some(there) if !is_takeover(&row, there, stat, node) => self.keep_changed(node, name, &row, there),
                _ => Verdict::Copy(there),
            },
            None => match &there {
                Some(there) => self.judge_unrecorded(node, name, there, stat),
                None => Verdict::Copy(None),
            },
        }
    }

    /// Judges what a finished or damaged row speaks of.
    fn judge_finished(&self, node: &DirNode, name: &Name, row: Row, there: Option<&Stat>, source: &Stat) -> Recorded {
        let path = || node.path().join(name);
        let Some(there) = there else {
            // What `--repair` found gone it has marked to be copied.
            if row.state == State::Bad {
                return Recorded::Replaceable;
            }
            self.problem(node.target, gone(path()));
            return Recorded::Kept;
        };
        let replaceable =
            row.still_damaged(there, node.disk) || row.state == State::Bad && self.may_be_left(node, there, source);
        if replaceable {
            return Recorded::Replaceable;
        }
        let standing = match row.standing(there, node.disk) {
            Standing::AsRecorded if row.state == State::Bad => Standing::Touched,
            standing => standing,
        };
        match standing {
            // Its run could not give it all, and said so.
            Standing::AsRecorded if !row.target_unchanged(there, node.disk) => Recorded::Replaceable,
            Standing::AsRecorded => Recorded::As(Box::new(row)),
            Standing::Changed => self.kept(self.keep_changed(node, name, &row, there)),
            Standing::Touched => self.judge_touched(node, name, row, there),
        }
    }

    /// Its ctime, inode or attributes have moved: was its content changed?
    fn judge_touched(&self, node: &DirNode, name: &Name, row: Row, there: &Stat) -> Recorded {
        let path = node.path().join(name);
        let target = match node.open() {
            Ok(target) => target,
            Err(errno) => {
                self.target_failed(node.target, path, "open its directory", errno);
                return Recorded::Kept;
            }
        };
        let place = CheckedDir::on(&target, node.disk);
        let is_device = matches!(there.kind, Kind::CharDevice | Kind::BlockDevice);
        if is_device && there.rdev != row.rdev {
            return self.kept(self.keep_changed(node, name, &row, there));
        }
        match has_same_content(&place, name, &row, &self.rate_limit) {
            // Its run could not give it all, and what it gave is there.
            Ok(true) if row.source.is_none() => return Recorded::Replaceable,
            Ok(true) => {}
            Ok(false) => return self.kept(self.keep_changed(node, name, &row, there)),
            Err(ReadError::Stopped) => return Recorded::Kept,
            Err(ReadError::Failed(operation, errno)) => {
                self.target_failed(node.target, path, operation, errno);
                return Recorded::Kept;
            }
        }
        let found = differences(&place, &path, name, &row, there);
        // A run that was cut off had lifted its flags to replace it, or this one has by another name.
        let lifted = |p: &Problem| {
            let flags = row.wanted.flags.and(Flags::IMMUTABLE_OR_APPEND).each().map(|flag| flag.to_string());
            p.kind == ProblemKind::Flags && flags.into_iter().any(|flag| p.attribute.as_deref() == Some(flag.as_str()))
        };
        let by_us = self.history(node.target).interrupted || row.nlink > 1;
        if !found.is_empty() && by_us && found.iter().all(lifted) {
            return Recorded::Replaceable;
        }
        if found.is_empty() {
            // The same in every respect, under another inode or ctime: recorded as it is by now.
            let settled = Row { dst_ino: there.ino, dst_ctime: there.ctime, state: State::Done, ..row };
            self.submit.send(Written::row(settled.clone(), node.file_system));
            return Recorded::As(Box::new(settled));
        }
        found.into_iter().for_each(|problem| self.problem(node.target, altered(problem)));
        Recorded::Kept
    }

    /// True when nobody has changed what `row` speaks of; further names that this plan's runs
    /// gave its inode, or took from it, have moved its ctime.
    pub(super) fn is_the_same(
        &self,
        place: &CheckedDir<'_>,
        path: &RelPath,
        name: &Name,
        row: &Row,
        there: &Stat,
    ) -> bool {
        match row.standing(there, place.disk) {
            Standing::AsRecorded => true,
            Standing::Changed => false,
            Standing::Touched => {
                let found = differences(place, path, name, row, there);
                found.is_empty() && has_same_content(place, name, row, &self.rate_limit).unwrap_or(false)
            }
        }
    }

    /// Judges something that no run of this plan has recorded.
    fn judge_unrecorded(&self, node: &DirNode, name: &Name, there: &Stat, source: &Stat) -> Verdict {
        let path = || node.path().join(name);
        let same = is_alike(there, source) && there.mtime == source.mtime;
        // An empty directory makes way; one with content is a problem of its own.
        if same || there.kind == Kind::Directory || self.may_be_left(node, there, source) {
            return Verdict::Copy(Some(*there));
        }
        if self.is_replaceable(node, name, node.target, there, Some(source)) {
            return Verdict::Copy(Some(*there));
        }
        let mut problem = Problem::differs(path(), ProblemKind::ChangedTarget, seen(source), seen(there));
        problem.message = format!(
            "no run of this plan has recorded what stands here: {}; the backup has {}; it stays as it is, and \
             --overwrite replaces it",
            seen(there),
            seen(source)
        );
        self.problem(node.target, problem);
        Verdict::Kept
    }

    /// True for what the last run, which was cut off, may have left unrecorded: not finished, or
    /// finished, on a file system that may round times.
    fn may_be_left(&self, node: &DirNode, there: &Stat, source: &Stat) -> bool {
        let close = there.mtime.sec.abs_diff(source.mtime.sec) <= 2;
        self.history(node.target).interrupted
            && (is_alike(there, source) && close || is_leftover(there, source, node.disk.bare))
    }

    /// Whether what no run has recorded may be replaced; says so if it is.
    fn is_replaceable(&self, node: &DirNode, name: &Name, target: u32, there: &Stat, source: Option<&Stat>) -> bool {
        let History { first, interrupted, restarted, began } = self.history(target);
        let newer = restarted && source.is_none_or(|source| there.mtime > source.mtime);
        // What an earlier run was to replace and could not is still what it found.
        let before = !node.disk.bare && began.is_some_and(|began| there.ctime < began);
        // What came since a run that was cut off, and is not what that left, is somebody's.
        let first = before || first && (!interrupted || node.disk.bare);
        let replaceable = self.options.overwrite || first && !newer;
        if replaceable {
            let path = node.path().join(name);
            self.problems.note(format!("{path}: {} that no run of this plan wrote was replaced", seen(there)));
        }
        replaceable
    }

    /// The same where a directory is to be made.
    pub(super) fn may_replace_unrecorded(&self, above: &DirNode, name: &Name, target: u32, there: &Stat) -> bool {
        let replaceable = self.is_replaceable(above, name, target, there, None);
        if !replaceable {
            let path = above.path().join(name);
            let mut problem = Problem::differs(path, ProblemKind::ChangedTarget, Kind::Directory.words(), seen(there));
            problem.message = format!(
                "no run of this plan has recorded what stands here: {}; the backup has a directory; it stays as it \
                 is, and --overwrite replaces it",
                seen(there)
            );
            self.problem(target, problem);
        }
        replaceable
    }

    /// Reports what somebody has changed; `--overwrite` has it replaced.
    pub(super) fn keep_changed(&self, node: &DirNode, name: &Name, row: &Row, there: &Stat) -> Verdict {
        let path = node.path().join(name);
        if self.options.overwrite {
            // A directory with content stays, and is a problem.
            if there.kind != Kind::Directory {
                let what = seen(there);
                self.problems.note(format!("{path}: {what}, which somebody had changed on the target, was replaced"));
            }
            return Verdict::Copy(Some(*there));
        }
        self.problem(node.target, changed(&path, row, there));
        Verdict::Kept
    }

    fn kept(&self, verdict: Verdict) -> Recorded {
        match verdict {
            Verdict::Copy(_) => Recorded::Replaceable,
            Verdict::Finished(..) | Verdict::Kept => Recorded::Kept,
        }
    }
}

/// What a finished row and the target say together.
#[derive(Debug)]
pub(super) enum Recorded {
    /// Everything is as recorded.
    As(Box<Row>),
    /// What stands there may be replaced.
    Replaceable,
    /// It stays, and a problem says why.
    Kept,
}

/// `None` for nothing.
pub(super) fn found(stat: Result<Stat, Errno>) -> Result<Option<Stat>, Errno> {
    match stat {
        Err(Errno::NOENT) => Ok(None),
        stat => stat.map(Some),
    }
}

/// What was copied and has been removed since.
pub(super) fn gone(path: RelPath) -> Problem {
    let message = "it was copied and is gone from the target; --repair copies it again";
    Problem::new(path, ProblemKind::Missing, message).told_by_row()
}

/// Whether `there` is what an unfinished run left of `row`, or what it was about to replace.
fn is_takeover(row: &Row, there: &Stat, source: &Stat, node: &DirNode) -> bool {
    match row.state {
        State::Partial | State::Replacing if there.ino == row.dst_ino || node.disk.bare => {
            row.state == State::Partial || row.standing(there, node.disk) != Standing::Changed
        }
        // The older one, which stood there when the run was cut off.
        State::Partial | State::Replacing if row.dst_ctime != Time::default() && there.ctime == row.dst_ctime => true,
        State::Partial | State::Replacing if row.nlink.max(there.nlink) == 1 && row.dst_ctime != Time::default() => {
            false
        }
        // Where that is not recorded, or other names have moved it, what is newer is somebody's.
        State::Partial | State::Replacing => Some(there.mtime) <= row.wanted.mtime.max(Some(source.mtime)),
        State::Open | State::Ancestor | State::Done | State::Bad => true,
    }
}

/// True for the same type and size.
fn is_alike(there: &Stat, source: &Stat) -> bool {
    there.kind == source.kind && (there.kind != Kind::File || there.size == source.size)
}

/// A file that a run had not finished: closed, and not larger than its source. One that had its
/// name already, and with it its source's mtime, may have lost content with the power.
fn is_leftover(there: &Stat, source: &Stat, bare: bool) -> bool {
    let ours = bare || there.mode == 0o600 || there.mode & 0o077 == 0 && there.uid == effective_ids().0;
    match there.kind {
        kind if kind != source.kind => false,
        Kind::Symlink => there.size == source.size,
        _ => (ours || there.mtime == source.mtime) && there.size <= source.size,
    }
}
