//! From what was found of an entry to what is said of it, and what the journal learns.

use super::accept_attributes::{ATTRIBUTES, are_attributes};
use super::batch::RowOrigin;
use super::class::{Deviation, Traces, class, names_moved};
use super::place::{Accepting, Place};
use super::subject::{Looked, Subject};
use super::together::ReadBack;
use super::verdicts::{Moved, Verdicts, seen_as};
use super::{Depth, MarkPolicy, Scope, UsePolicy, Verifier};
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::{CheckedDir, unreachable};
use crate::engine::content::digest::chunks_of;
use crate::engine::events::counters::add;
use crate::engine::events::detail::{Advice, Detail, List};
use crate::engine::events::finding::{UseClass, UseFinding};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::{Row, RowChange, Seen, State};
use crate::sys::stat::{Kind, Stat};

impl Verifier {
    /// Looks at the entry of `row`; false if the run is ending.
    pub(super) fn row(&self, at: &Place<'_>, row: &Row, read: Option<ReadBack<'_>>, verdicts: &mut Verdicts) -> bool {
        let &Place { dir, path, name, .. } = at;
        let looked = match dir {
            Ok(dir) => self.entry(&Subject { dir, path, name, row }, Some(row), read),
            Err(errno) => Looked::Unreachable(unreachable(path, **errno)),
        };
        let found = match looked {
            Looked::Stopped => return false,
            Looked::LeftOut => {
                add(&self.left_out, 1);
                return true;
            }
            // Neither side has it any more; the next run that copies forgets it.
            Looked::Unreachable(problem) if problem.kind == ProblemKind::Missing && self.is_stale(path) => return true,
            // After a copy only what is known to be damaged is read again.
            Looked::At { stat, .. } if self.is_reread(at) && !row.still_damaged(&stat, Disk::usual(stat.dev)) => {
                return true;
            }
            Looked::Unreachable(problem) => self.unreached(at, row, problem, verdicts),
            Looked::At { stat, found, .. } if found.is_empty() => {
                self.passed(at, row, &stat, verdicts);
                found
            }
            Looked::At { stat, standing, found } => {
                // Of what the source no longer has nothing can be copied again.
                let is_beyond_repair = || standing != RowChange::AsRecorded && self.is_stale(path);
                if at.origin == RowOrigin::Copied && !is_beyond_repair() {
                    self.differed(row, &stat, standing, verdicts);
                }
                let found = match standing {
                    RowChange::Changed => self.changed(at, row, &stat, found),
                    _ => self.altered(at, row, (&stat, standing), found),
                };
                if at.origin == RowOrigin::Accepted && is_damage(standing, &found) {
                    verdicts.accepted_bad.push(seen_as(row, &stat));
                }
                found
            }
        };
        if let Some(tally) = self.run.counters.targets.get(row.target as usize) {
            add(&tally.verified, 1);
        }
        if let Ok(dir) = dir
            && self.scope != Scope::Unverified
        {
            self.extra_names(dir.dir, name, path, row);
        }
        let told = if at.origin == RowOrigin::Copied { |problem| problem } else { of_accepted };
        found.into_iter().for_each(|problem| self.problem(row.target, told(problem)));
        true
    }

    /// True for what was accepted and found damaged, after a copy.
    fn is_reread(&self, at: &Place<'_>) -> bool {
        at.origin == RowOrigin::Accepted && self.scope == Scope::Unverified
    }

    /// An entry that is gone, or cannot be opened: what of it is a problem.
    fn unreached(&self, at: &Place<'_>, row: &Row, problem: Problem, verdicts: &mut Verdicts) -> Vec<Problem> {
        let used = if problem.kind == ProblemKind::Missing {
            class(Deviation::Gone { names_moved: self.names_moved(at, row) }, self.is_declared(at.path))
        } else {
            None
        };
        let all = self.mend == MarkPolicy::Everything || self.in_use == UsePolicy::Problems;
        let marked = at.origin == RowOrigin::Copied && self.mend.is_wanted() && (used.is_none() || all);
        let seen = || Seen { dir: row.dir, name: row.name.clone(), ino: row.dst_ino, ctime: row.dst_ctime };
        verdicts.bad.extend(marked.then(seen));
        if at.origin == RowOrigin::Accepted && used.is_none() {
            verdicts.accepted_bad.push(seen());
        }
        match used {
            // Its owner has removed what was damaged.
            Some(_) if self.is_reread(at) => Vec::new(),
            Some(used) if !self.in_use.makes_problem_of(used) => {
                self.found_in_use(at.path, row, used, None);
                if self.in_use == UsePolicy::Accepted {
                    self.accept_removal(at, row);
                }
                Vec::new()
            }
            _ => vec![problem],
        }
    }

    /// An entry with other content, of which `found` tells: what of it is a problem.
    fn changed(&self, at: &Place<'_>, row: &Row, stat: &Stat, mut found: Vec<Problem>) -> Vec<Problem> {
        let Ok(dir) = at.dir else { return found };
        let (traces, declared) = (Traces::of(row, stat, dir.disk), self.is_declared(at.path));
        match class(Deviation::Other(traces), declared) {
            Some(used) if !self.in_use.makes_problem_of(used) => {
                self.found_in_use(at.path, row, used, Some(stat));
                if self.in_use == UsePolicy::Accepted {
                    let Place { path, name, .. } = *at;
                    self.accept(&Accepting { dir: (dir, row.dir), path, name, target: row.target }, stat);
                }
                return Vec::new();
            }
            Some(_) => {}
            None if traces.retyped && declared => {
                found.iter_mut().for_each(|problem| problem.detail = Detail::EntryRetyped(self.entries_at(row)));
            }
            None => found.iter_mut().for_each(|problem| problem.detail = Detail::ContentNotTimes),
        }
        found
    }

    /// An entry with the recorded content and other attributes, of which `found` tells: what of it is a problem.
    fn altered(
        &self,
        at: &Place<'_>,
        row: &Row,
        (stat, standing): (&Stat, RowChange),
        found: Vec<Problem>,
    ) -> Vec<Problem> {
        let accepts = self.in_use == UsePolicy::Accepted && are_attributes(standing, &found);
        if accepts && self.accept_attributes(at, row, stat) {
            // What is in a directory keeps its attributes.
            self.count_use(at.path, row, (UseClass::Changed, 1), Some(stat));
            return Vec::new();
        }
        found
    }

    /// Names that were accepted as removed: one that is back is new.
    pub(super) fn removed(&self, dir: &CheckedDir<'_>, above: &RelPath, rows: &[Row]) {
        for row in rows {
            let Ok(name) = &Name::new(&row.name) else { continue };
            let Ok(stat) = dir.dir.stat_at(name) else { continue };
            let (path, target) = (&above.join(name), row.target);
            if self.in_use.makes_problem_of(UseClass::New) {
                self.problem(target, Problem::new(path.clone(), ProblemKind::Extra, Detail::Unlisted(List::Manifest)));
                continue;
            }
            self.new_name(path.clone(), row);
            if self.in_use == UsePolicy::Accepted {
                self.accept(&Accepting { dir: (dir, row.dir), path, name, target }, &stat);
            }
        }
    }

    fn names_moved(&self, at: &Place<'_>, row: &Row) -> bool {
        let Ok(dir) = at.dir else { return false };
        *at.names_moved.get_or_init(|| {
            let accepted = self.ask(|reader| reader.accepted_directory(row.dir)).flatten();
            let copied = || self.ask(|reader| reader.directory(row.dir)).flatten();
            let recorded = accepted.map(|accepted| accepted.row).or_else(copied);
            recorded.zip(dir.dir.stat().ok()).is_some_and(|(row, stat)| names_moved(&row, &stat, dir.disk))
        })
    }

    /// True for a declared entry and for a directory on the way to one.
    fn is_declared(&self, path: &RelPath) -> bool {
        self.owned.find(path).is_some() || !self.owned.covers(path)
    }

    fn entries_at(&self, row: &Row) -> u64 {
        self.ask(|reader| reader.entries_at(row)).unwrap_or(1)
    }

    fn found_in_use(&self, path: &RelPath, row: &Row, class: UseClass, found: Option<&Stat>) {
        self.count_use(path, row, (class, self.entries_at(row)), found);
    }

    fn count_use(&self, path: &RelPath, row: &Row, (class, count): (UseClass, u64), found: Option<&Stat>) {
        let target = self.targets.get(row.target as usize).cloned().unwrap_or_default();
        let (path, found) = (path.clone(), found.map(Into::into));
        self.run.in_use.add(UseFinding { path, target, class, count, found });
    }

    /// Sorts an entry without differences.
    fn passed(&self, at: &Place<'_>, row: &Row, stat: &Stat, verdicts: &mut Verdicts) {
        let is_directory = row.kind() == Kind::Directory;
        let moved = at.dir.is_ok_and(|dir| is_directory && names_moved(row, stat, dir.disk));
        if moved && self.in_use == UsePolicy::Accepted && at.origin == RowOrigin::Copied {
            self.accept_names(at, row, stat);
        }
        if row.kind() == Kind::File && self.depth == Depth::Metadata {
            // The content was not read: it is not known to be good.
        } else if row.is_done_as(stat) && !(moved && at.origin == RowOrigin::Accepted) {
            verdicts.good.push(seen_as(row, stat));
        } else if at.origin == RowOrigin::Accepted {
            // The times of a directory go on telling that names may have been removed in it.
            if !moved || self.in_use == UsePolicy::Accepted && self.is_settled(stat) {
                self.accept_again(at, row, stat);
            }
        } else if row.state == State::Bad && self.mend.is_wanted() {
            // As recorded, but a comparison with the source may have found that the source differs: a
            // repair copies it again.
        } else if self.scope != Scope::Unverified && is_stamp_evidence(row, stat) {
            // Its recorded ctime goes on telling that names may have been removed in it.
        } else {
            verdicts.moved.push(Moved { dev: stat.dev, target: row.target, seen: seen_as(row, stat) });
        }
    }

    /// Sorts an entry with differences.
    fn differed(&self, row: &Row, stat: &Stat, standing: RowChange, verdicts: &mut Verdicts) {
        if !self.mend.covers(standing) {
            return;
        }
        if standing == RowChange::Changed && row.has_chunks() {
            // None of them describes what is there.
            self.run.writer.bad_chunks(row.dir, row.name.clone(), (0..chunks_of(row.size)).collect());
        }
        verdicts.bad.push(seen_as(row, stat));
    }
}

/// The problem of an accepted entry: nobody else has what it should be.
pub(super) fn of_accepted(mut problem: Problem) -> Problem {
    match problem.kind {
        ProblemKind::Missing => problem.detail = Detail::AcceptedGone,
        ProblemKind::Content => problem.advice = Some(Advice::RestoreOwn),
        kind if ATTRIBUTES.contains(&kind) => problem.advice = Some(Advice::AcceptAgain),
        // As the passes after this one, which know it for damage.
        ProblemKind::ChangedTarget if matches!(problem.detail, Detail::ContentNotTimes) => {
            (problem.kind, problem.detail) = (ProblemKind::Content, Detail::AcceptedNotTimes);
        }
        _ => {}
    }
    problem
}

/// True for what nobody did to an accepted entry.
pub(super) fn is_damage(standing: RowChange, found: &[Problem]) -> bool {
    let is_content =
        |problem: &Problem| problem.kind == ProblemKind::Content || matches!(problem.detail, Detail::ContentNotTimes);
    !found.is_empty() && (standing == RowChange::AsRecorded || found.iter().any(is_content))
}

/// True for a directory of which only the ctime is another one than recorded: that its time was set back after
/// names were removed is told by nothing else.
fn is_stamp_evidence(row: &Row, stat: &Stat) -> bool {
    row.kind() == Kind::Directory
        && row.state == State::Done
        && row.dst_ino == stat.ino
        && row.wanted.mtime == Some(stat.mtime)
}
