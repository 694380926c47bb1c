//! What becomes of a name that is not a directory in the source.
//!
//! | recorded | found | what happens |
//! |---|---|---|
//! | finished | as recorded | replaced if the source has changed; stays if the source with other content is on another file system (`other_volume.rs`) |
//! | finished, and its owner's state was accepted | that | stays; so does anything else, with the problem that it is |
//! | finished | gone | stays so: `missing` |
//! | finished | other content | stays: `changed-target`, or replaced by `--overwrite` |
//! | finished | other attributes alone | stay, and are reported; `--overwrite` replaces them if the source has newer content |
//! | damaged | as verification found it | copied again |
//! | unfinished | ours | taken over |
//! | nothing | anything, after a run that came to its end | stays: `changed-target` |
//! | nothing | anything, before | replaced with a note |
//!
//! A database and its logs are brought together or not at all (`database.rs`).

use super::accepted::accepted;
use super::decision::{FinishedName, JudgedLeaf, NameDecision};
use super::evidence::SourceAccess;
use super::fate::Untold;
use super::history::Policy;
use super::others::{Incoming, altered, changed_since, removed, unrecorded};
use super::source::{Current, SourceCase, SourceName};
use crate::engine::compare::differences::{CheckedDir, differences, has_same_content, without_moved_times};
use crate::engine::content::medium::ReadError;
use crate::engine::content::reread;
use crate::engine::events::detail::Advice;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Row, RowChange, State};
use crate::sys::effective_ids;
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Stat, Time};
use rustix::fs::OFlags;

/// A name, what was recorded of it, and what both sides have there.
pub(crate) struct LeafCase<'a> {
    pub(crate) policy: Policy<'a>,
    pub(crate) at: &'a dyn JudgedLeaf,
    pub(crate) row: Option<&'a Row>,
    /// On the target; `None` for nothing.
    pub(crate) there: Option<&'a Stat>,
    /// In the source.
    pub(crate) source: &'a Stat,
    pub(crate) in_source: &'a dyn SourceName,
    pub(crate) access: SourceAccess<'a>,
}

/// What became of the copy that a row describes.
enum CopyState {
    /// It is intact. Its row, if that has to say another inode or ctime.
    Intact(Option<Box<Row>>),
    /// It may be replaced.
    Replaceable(Option<Note>),
    /// Its content is; somebody has changed its attributes, which these report.
    Altered(Vec<Problem>),
    /// The rest.
    Decided(NameDecision),
}

/// Whether a file of the target is or becomes what the source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileStanding {
    /// It is, or the run would bring it.
    Same,
    /// Somebody has made or changed it, and it stays.
    Changed,
    /// It stays gone, or with attributes that hold newer content back.
    Waiting,
}

impl From<NameDecision> for CopyState {
    fn from(decision: NameDecision) -> Self {
        match decision {
            NameDecision::Copy(note, _) => Self::Replaceable(note),
            decision => Self::Decided(decision),
        }
    }
}

impl LeafCase<'_> {
    /// Decides what becomes of it.
    pub(crate) fn judge(&self) -> NameDecision {
        match (self.state(), self.row) {
            (CopyState::Decided(decision), _) => decision,
            (CopyState::Altered(problems), _) => NameDecision::Keep(problems),
            (CopyState::Replaceable(note), _) => self.bring(note),
            (CopyState::Intact(settled), Some(row)) => match self.current(settled.as_deref().unwrap_or(row)) {
                Some(Current { wanted, row }) => NameDecision::Finished(Box::new(FinishedName {
                    wanted,
                    row: row.or(settled.map(|settled| *settled)),
                })),
                None => self.bring(None),
            },
            (CopyState::Intact(_), None) => self.bring(None),
        }
    }

    /// What became of what an earlier run did.
    fn state(&self) -> CopyState {
        match (self.row, self.there) {
            (Some(row), there) if matches!(row.state, State::Done | State::Bad) => self.finished(row, there),
            (Some(row), Some(there)) if !self.is_takeover(row, there) => {
                changed_since(&self.policy, self.at, row, there).into()
            }
            (None, Some(there)) => self.unrecorded(there).into(),
            (_, _) => CopyState::Replaceable(None),
        }
    }

    /// How it stands by itself, whatever it belongs to.
    pub(super) fn standing(&self) -> Result<FileStanding, Untold> {
        match self.state() {
            CopyState::Intact(_) | CopyState::Replaceable(_) if self.kept_from_elsewhere().is_some() => {
                Ok(FileStanding::Waiting)
            }
            CopyState::Intact(_) | CopyState::Altered(_) | CopyState::Replaceable(_) => Ok(FileStanding::Same),
            CopyState::Decided(NameDecision::Failed(operation, errno)) => Err(Untold::Failed(operation, errno)),
            CopyState::Decided(NameDecision::Ending) => Err(Untold::Ending),
            CopyState::Decided(NameDecision::Keep(problems)) => {
                let is_waiting = |problem: &Problem| problem.kind != ProblemKind::ChangedTarget;
                let waits = !problems.is_empty() && problems.iter().all(is_waiting);
                Ok(if waits { FileStanding::Waiting } else { FileStanding::Changed })
            }
            CopyState::Decided(_) => Ok(FileStanding::Changed),
        }
    }

    /// Compares the source with `row`, which describes an intact copy.
    fn current(&self, row: &Row) -> Option<Current> {
        // Names of one inode in the source are several by now: those with a new inode leave the
        // group. Of names that a driver numbers anew some are gone.
        let (source, there) = (self.source, self.there?);
        let has_left = row.source.is_some_and(|recorded| recorded.ino != source.ino)
            && source.kind != Kind::Directory
            && source.nlink < row.nlink
            && source.nlink < there.nlink;
        if has_left {
            return None;
        }
        let case = SourceCase { name: self.in_source, stat: source, row, rate_limit: self.policy.rate_limit };
        case.current(self.access)
    }

    /// It is to be copied, if the logs of a database allow that.
    fn bring(&self, note: Option<Note>) -> NameDecision {
        if let Some(problem) = self.kept_from_elsewhere() {
            return NameDecision::keep(problem);
        }
        if self.source.kind != Kind::File || self.there.is_some_and(|there| there.kind != Kind::File) {
            return NameDecision::copy(note);
        }
        match self.together() {
            Ok(Ok(logs)) => NameDecision::Copy(note, logs),
            Ok(Err(problem)) => NameDecision::keep(problem),
            Err(untold) => untold.into(),
        }
    }

    /// True when it was a directory of this plan, which is still there.
    pub(crate) fn is_retyped(&self) -> bool {
        self.there.is_some_and(|there| there.kind == Kind::Directory)
            && self.row.is_some_and(|row| row.id.is_some() && !self.takes_directory_from_elsewhere(row))
    }

    /// Judges what a finished or damaged row describes.
    fn finished(&self, row: &Row, there: Option<&Stat>) -> CopyState {
        let disk = self.at.disk();
        // An interrupted run may have removed the empty directory to make way for another type.
        let made_way =
            row.kind() == Kind::Directory && self.source.kind != Kind::Directory && self.policy.history.interrupted;
        // Of most names nothing was accepted, and their stat tells: the journal is not asked.
        let is_copy = |there: &Stat| row.state == State::Done && row.standing(there, disk) == RowChange::AsRecorded;
        if !there.is_some_and(is_copy)
            && let Some(decision) = self.accepted(row)
        {
            return match decision {
                NameDecision::Keep(problems) if self.is_accepted_copy(row, &problems) => CopyState::Altered(problems),
                decision => decision.into(),
            };
        }
        let Some(there) = there else {
            // `--repair` found it missing and marked it to be copied.
            if row.state == State::Bad || made_way {
                return CopyState::Replaceable(None);
            }
            return match self.is_missed_log() {
                Ok(true) => CopyState::Replaceable(None),
                Ok(false) => NameDecision::keep(removed(self.at)).into(),
                Err(untold) => NameDecision::from(untold).into(),
            };
        };
        if row.still_damaged(there, disk) || (row.state == State::Bad || made_way) && self.may_be_left(there) {
            return CopyState::Replaceable(None);
        }
        let standing = match row.standing(there, disk) {
            RowChange::AsRecorded if row.state == State::Bad => RowChange::Touched,
            standing => standing,
        };
        let state = match standing {
            // Its run could not apply everything, and reported that.
            RowChange::AsRecorded if !row.target_unchanged(there, disk) => CopyState::Replaceable(None),
            RowChange::AsRecorded => CopyState::Intact(None),
            RowChange::Changed => changed_since(&self.policy, self.at, row, there).into(),
            RowChange::Touched => self.touched(row, there),
        };
        match state {
            // A linked inode's content is verified under one name, which may have been found bad.
            CopyState::Intact(_) if row.alias && !self.at.is_vouched_for(row) => CopyState::Replaceable(None),
            state => state,
        }
    }

    /// What was accepted decides, while the source has nothing newer than what was copied.
    fn accepted(&self, row: &Row) -> Option<NameDecision> {
        let decides = !self.policy.overwrite && row.source_looks_the_same(self.source);
        if decides { accepted(&self.policy, self.at, self.there) } else { None }
    }

    /// True where only attributes were accepted, and its content is still that of the copy.
    fn is_accepted_copy(&self, row: &Row, found: &[Problem]) -> bool {
        let is_content = |problem: &Problem| {
            matches!(problem.kind, ProblemKind::ChangedTarget | ProblemKind::Missing | ProblemKind::Content)
        };
        let accepted = self.at.accepted().filter(|_| self.there.is_some() && !found.iter().any(is_content));
        row.digest.is_some() && accepted.is_some_and(|accepted| accepted.row.digest == row.digest)
    }

    /// Its ctime, inode or attributes have changed: has its content, too?
    fn touched(&self, row: &Row, there: &Stat) -> CopyState {
        let (name, path) = (self.at.name(), self.at.path());
        let target = match self.at.open() {
            Ok(target) => target,
            Err(errno) => return NameDecision::Failed(Operation::OpenParent, errno).into(),
        };
        let checked = CheckedDir::on(&target, self.at.disk());
        let is_device = matches!(there.kind, Kind::CharDevice | Kind::BlockDevice);
        if is_device && there.rdev != row.rdev {
            return changed_since(&self.policy, self.at, row, there).into();
        }
        match has_same_content(&checked, name, row, self.policy.rate_limit) {
            // Its run could not apply everything, and what it applied is intact.
            Ok(true) if row.source.is_none() => return CopyState::Replaceable(None),
            Ok(true) => {}
            Ok(false) => return changed_since(&self.policy, self.at, row, there).into(),
            Err(ReadError::Stopped) => return NameDecision::Ending.into(),
            Err(ReadError::Failed(operation, errno)) => return NameDecision::Failed(operation, errno).into(),
        }
        let mut found = differences(&checked, &path, name, row, there);
        without_moved_times(&mut found, RowChange::Touched, row);
        // The same in every respect but inode or ctime: those are recorded.
        if found.is_empty() {
            return CopyState::Intact(Some(Box::new(row.clone().settled(there))));
        }
        // An interrupted run had lifted its flags to replace it, or this one has under another name.
        let by_us = self.policy.history.interrupted || row.nlink > 1;
        if by_us && found.iter().all(|problem| is_lifted(row, problem)) {
            return CopyState::Replaceable(None);
        }
        if row.source_looks_the_same(self.source) {
            return CopyState::Altered(found.into_iter().map(altered).collect());
        }
        // The attributes alone do not hold back what the source has newer.
        if self.policy.overwrite {
            return CopyState::Replaceable(Some(Note::ChangedReplaced(path, there.into())));
        }
        let is_accepted = self.at.accepted().is_some_and(|accepted| accepted.is_instead());
        let advice = if is_accepted { Advice::NewerThanAccepted } else { Advice::NewerWaits };
        let waiting = |problem| altered(problem).advising(advice);
        NameDecision::Keep(found.into_iter().map(waiting).collect()).into()
    }

    /// Judges something that no run of this plan has recorded.
    fn unrecorded(&self, there: &Stat) -> NameDecision {
        let source = self.source;
        let same = is_alike(there, source) && there.mtime == source.mtime && self.leads_where_it_shall(there);
        let same = same && !(self.policy.newer_kept && self.hides_other_content(there));
        // An empty directory makes way; one with content is a problem of its own.
        if same || there.kind == Kind::Directory || self.may_be_left(there) {
            return NameDecision::copy(None);
        }
        unrecorded(&self.policy, self.at, there, Incoming::Leaf(source))
    }

    /// True unless the file that is there, with the source's size and time, is read to be the same.
    fn hides_other_content(&self, there: &Stat) -> bool {
        let target = || self.at.open()?.open_file(self.at.name(), OFlags::empty());
        there.kind == Kind::File && !reread::is_same(|| self.in_source.open_file(), target, self.policy.rate_limit)
    }

    /// True for what the last run, which was interrupted, may have left unrecorded: unfinished, or
    /// finished on a file system that may round times.
    fn may_be_left(&self, there: &Stat) -> bool {
        let source = self.source;
        let close = there.mtime.sec.abs_diff(source.mtime.sec) <= 2;
        self.policy.history.interrupted
            && (is_alike(there, source) && close || is_leftover(there, source, self.at.disk().bare))
            && self.leads_where_it_shall(there)
    }

    /// True unless there is a symlink with another text than the source's: a symlink is made with
    /// its text, so none of ours ever had another.
    fn leads_where_it_shall(&self, there: &Stat) -> bool {
        if there.kind != Kind::Symlink {
            return true;
        }
        let found = self.at.open().and_then(|target| target.read_link(self.at.name())).ok();
        found.is_some() && found == self.in_source.read_link().ok()
    }

    /// Whether `there` is what an interrupted run left of `row`, or what it was about to replace.
    fn is_takeover(&self, row: &Row, there: &Stat) -> bool {
        let disk = self.at.disk();
        match row.state {
            State::Partial | State::Replacing if there.ino == row.dst_ino || disk.bare => {
                row.state == State::Partial || row.standing(there, disk) != RowChange::Changed
            }
            // The older one, which was there when the run was interrupted.
            State::Partial | State::Replacing if row.dst_ctime != Time::default() && there.ctime == row.dst_ctime => {
                true
            }
            State::Partial | State::Replacing
                if row.nlink.max(there.nlink) == 1 && row.dst_ctime != Time::default() =>
            {
                false
            }
            // If that is not recorded, or links have moved it, anything newer is somebody else's.
            State::Partial | State::Replacing => Some(there.mtime) <= row.wanted.mtime.max(Some(self.source.mtime)),
            State::Open | State::Ancestor | State::Done | State::Bad => true,
        }
    }
}

/// True for a flag of `row` that is missing, and only a run of this plan lifts.
pub(super) fn is_lifted(row: &Row, problem: &Problem) -> bool {
    let flags = row.wanted.flags.intersection(Flags::IMMUTABLE_OR_APPEND).each().map(|flag| flag.to_string());
    problem.kind == ProblemKind::Flags
        && flags.into_iter().any(|flag| problem.attribute.as_deref() == Some(flag.as_str()))
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
