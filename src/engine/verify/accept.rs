//! `--accept`: what its owner changed, removed or made on the target is read from the medium and taken
//! into the manifest, so that the next verification guards it.
//!
//! A row is committed after a syncfs that followed the reading. What changed while the pass went on is left to
//! the next one: its row could not tell a later change from this one.

use super::Verifier;
use super::place::{Accepting, Listed, Place};
use crate::base::clock;
use crate::base::path::RelPath;
use crate::engine::compare::differences::CheckedDir;
use crate::engine::content::digest::{Algorithm, Digest};
use crate::engine::content::medium::{ReadError, Reading};
use crate::engine::events::counters::add;
use crate::engine::events::detail::{Advice, Detail};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Acceptance, AcceptedAs, AcceptedRow, Ascertained, InodePair, Row, RowKey, State};
use crate::engine::meta::{Keep, Owners, Wanted};
use crate::sys::dir::{TargetDir, open_target, read_batches};
use crate::sys::leads_nowhere;
use crate::sys::stat::{Kind, Stat};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

/// Times of file systems that keep whole seconds may be rounded by as much.
const COARSE: i64 = 2;

impl Verifier {
    /// Accepts what is under a name, which looks like `stat`, and everything below it.
    pub(super) fn accept(&self, at: &Accepting<'_>, stat: &Stat) {
        let mut waiting = Vec::new();
        self.accept_one(at, stat, &mut waiting);
        while let Some((path, id)) = waiting.pop() {
            if let Err(problem) = self.accept_below((&path, id), at.target, &mut waiting) {
                self.problem(at.target, *problem);
            }
        }
    }

    /// Accepts the names of a directory that was accepted itself.
    fn accept_below(
        &self,
        (path, id): (&RelPath, i64),
        target: u32,
        waiting: &mut Vec<(RelPath, i64)>,
    ) -> Result<(), Box<Problem>> {
        let failed =
            |operation| move |errno| Box::new(Problem::failed(path.clone(), ProblemKind::Io, operation, errno));
        let dir = match open_target(&self.run.mapping.root, path) {
            Err(errno) if leads_nowhere(errno) => return Ok(()),
            opened => opened.map_err(failed(Operation::OpenDirectory))?,
        };
        let stat = dir.stat().map_err(failed(Operation::Stat))?;
        let (checked, listed) = (CheckedDir::of(&dir), Listed { dir: &dir, stat: &stat, path, target });
        let read = read_batches(&dir, 512, |batch| {
            for entry in batch {
                if self.is_unplanned(&listed, &entry)
                    && let Ok(stat) = dir.stat_at(&entry.name)
                {
                    let (name, path) = (&entry.name, &path.join(&entry.name));
                    self.accept_one(&Accepting { dir: (&checked, id), path, name, target }, &stat, waiting);
                }
            }
            !self.run.stop.is_set()
        });
        read.map_err(failed(Operation::ReadDirectory))
    }

    /// Accepts one name; a directory waits with its id.
    fn accept_one(&self, at: &Accepting<'_>, stat: &Stat, waiting: &mut Vec<(RelPath, i64)>) {
        // A mount has a disk of its own: a syncfs of this one says nothing of it.
        let same_disk = stat.dev == at.dir.0.disk.dev;
        if !same_disk || self.run.stop.is_set() {
            return;
        }
        match self.row_of(at, stat) {
            Ok(Some(row)) => {
                waiting.extend(row.id.map(|id| (at.path.clone(), id)));
                if row.state == State::Bad {
                    let damaged = Problem::new(at.path.clone(), ProblemKind::Content, Detail::DamagedElsewhere);
                    self.problem(at.target, damaged.advising(Advice::RestoreOwn));
                } else {
                    self.run.in_use.accepted();
                }
                self.take(at.dir.0.dir, at.target, AcceptedRow { what: AcceptedAs::Content, row });
            }
            Ok(None) => self.leave(at.path),
            Err(ReadError::Stopped) => {}
            Err(ReadError::Failed(operation, errno)) => {
                self.problem(at.target, Problem::failed(at.path.clone(), ProblemKind::Io, operation, errno));
            }
        }
    }

    /// The row of what is there; `None` for what changes meanwhile.
    fn row_of(&self, at: &Accepting<'_>, stat: &Stat) -> Result<Option<Row>, ReadError> {
        let Accepting { dir: (checked, dir), name, target, .. } = *at;
        if !self.is_settled(stat) {
            return Ok(None);
        }
        let failed = |operation: Operation| move |errno| ReadError::Failed(operation, errno);
        let content = if stat.kind == Kind::File { Some(self.content_of(at, stat)?) } else { None };
        let attributes = self.attributes_of(at, stat)?;
        let text = match stat.kind {
            Kind::Symlink => Some(checked.dir.read_link(name).map_err(failed(Operation::ReadSymlink))?),
            _ => None,
        };
        if !checked.dir.stat_at(name).is_ok_and(|now| now.unchanged_since(stat)) {
            return Ok(None);
        }
        let wanted = Wanted::from_source(stat, attributes, &Keep { owner: Owners::Kept, atime: false });
        let key = RowKey { dir, name: name.as_bytes(), target };
        let row = match (content, text) {
            _ if stat.kind == Kind::Directory => {
                Row::directory(key, self.next_id.fetch_add(1, Relaxed), None, stat, wanted)
            }
            (Some(content), _) => {
                let row = Row::file(key, same(stat, wanted), content.found);
                return Ok(Some(match content.lost {
                    Some(digest) => row.damaged_since(digest),
                    None => row.of_owner(clock::now().unix()),
                }));
            }
            (_, Some(text)) => Row::symlink(key, same(stat, wanted), text),
            _ => Row::special(key, same(stat, wanted)),
        };
        Ok(Some(row.of_owner(clock::now().unix())))
    }

    /// Reads a file. Under another name than the recorded one it has to have the recorded content all the same, as
    /// long as nobody has written it: damage must not pass for a change where a damaged file is renamed or linked.
    fn content_of(&self, at: &Accepting<'_>, stat: &Stat) -> Result<AcceptedContent, ReadError> {
        let recorded = if at.dir.0.disk.bare { None } else { self.ask(|reader| reader.recorded_as(stat)).flatten() };
        let recorded = recorded.and_then(|row| row.digest);
        let reading = Reading::open(at.dir.0.dir, at.name)?;
        let for_holes = || Algorithm::for_holes(stat.size.saturating_sub(stat.allocated));
        let algorithm = recorded.map_or_else(for_holes, |digest| digest.algorithm);
        let digest = reading.digest(algorithm, &self.run.rate_limit)?;
        let bytes = reading.finish(at.dir.0.backing, &self.medium);
        if let Some(tally) = self.run.counters.targets.get(at.target as usize) {
            add(&tally.verified_bytes, bytes);
        }
        Ok(AcceptedContent { found: digest, lost: recorded.filter(|recorded| *recorded != digest) })
    }

    /// Accepts that the entry of `row` is gone.
    pub(super) fn accept_removal(&self, at: &Place<'_>, row: &Row) {
        let Ok(dir) = at.dir else { return };
        let recorded = self.ask(|reader| reader.find_copied(row.dir, at.name)).flatten();
        let learned = match recorded {
            // The source has it: a run that copies must know that it was removed.
            Some(row) => Acceptance::Taken(Box::new(AcceptedRow { what: AcceptedAs::Removed, row })),
            None => Acceptance::Dropped { dir: row.dir, name: row.name.clone() },
        };
        self.learn(dir.dir, row.target, learned);
        self.run.in_use.accepted();
    }

    /// Accepts that names came and went in the copied directory of `row`, so that a name that is lost from here
    /// on is missed.
    pub(super) fn accept_names(&self, at: &Place<'_>, row: &Row, stat: &Stat) {
        let (Ok(dir), true) = (at.dir, self.is_settled(stat)) else { return };
        self.take(
            dir.dir,
            row.target,
            AcceptedRow { what: AcceptedAs::Names, row: row.clone().verified_as(stat, clock::now().unix()) },
        );
    }

    /// Records an accepted entry that is whole in another state than recorded.
    pub(super) fn accept_again(&self, at: &Place<'_>, row: &Row, stat: &Stat) {
        let Ok(dir) = at.dir else { return };
        self.take(
            dir.dir,
            row.target,
            AcceptedRow { what: AcceptedAs::Content, row: row.clone().verified_as(stat, clock::now().unix()) },
        );
    }

    pub(super) fn take(&self, dir: &TargetDir, target: u32, accepted: AcceptedRow) {
        self.learn(dir, target, Acceptance::Taken(Box::new(accepted)));
    }

    /// Keeps it until a syncfs.
    fn learn(&self, dir: &TargetDir, target: u32, learned: Acceptance) {
        let kept = dir.stat().and_then(|stat| {
            let found = [Ascertained::Accepted(learned)];
            self.unconfirmed.add((stat.dev, dir), clock::now().unix(), found)
        });
        match kept {
            Ok(true) => self.confirm(),
            Ok(false) => {}
            Err(errno) => {
                let failed = Problem::failed(RelPath::root(), ProblemKind::Io, Operation::OpenDirectory, errno);
                self.problem(target, failed);
            }
        }
    }

    /// True when the last change lies before this pass, so that a later one shows.
    pub(super) fn is_settled(&self, stat: &Stat) -> bool {
        let (ctime, began) = (stat.ctime, self.began);
        // A clock that was ahead: what is written from here on gets an earlier time.
        let ahead = ctime.sec > crate::sys::clock::coarse_time().sec + COARSE;
        let coarse = (stat.mtime.nsec, ctime.nsec) == (0, 0);
        ahead || if coarse { ctime.sec + COARSE < began.sec } else { ctime < began }
    }

    /// Counts what is left to the next pass.
    pub(super) fn leave(&self, path: &RelPath) {
        let mut left = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        left.get_or_insert((path.clone(), 0)).1 += 1;
    }
}

/// What a file holds that is accepted.
struct AcceptedContent {
    found: Digest,
    /// What it held when it was recorded, if it has lost that.
    lost: Option<Digest>,
}

/// An inode that is to be as it is.
fn same(stat: &Stat, wanted: Wanted) -> InodePair<'_> {
    InodePair { source: stat, id: None, target: stat, wanted }
}
