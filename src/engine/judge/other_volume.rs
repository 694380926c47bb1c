//! A source on another file system than the one that a row was copied from: what a mount covered, or what a machine
//! without its mounts has made under the same path. Where it has something else than was copied, the copy stays.
//! So it does where the source is an older state of the recorded file system.

use super::leaf::LeafCase;
use super::logs::database_of;
use super::others::Incoming;
use super::source::SourceCase;
use crate::base::path::RelPath;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::value::Appearance;
use crate::engine::journal::{Row, State};
use crate::engine::volume::Volume;
use crate::sys::stat::{Kind, Stat, Time};

/// True when `volume` is certainly not what `row` was copied from. Of a subvolume of the same file system, snapshots
/// of which come one after the other, `born` tells, when the directory of the name was made: it cannot be younger than
/// what was copied from it.
pub(super) fn is_from_elsewhere(row: &Row, volume: &Volume, born: impl FnOnce() -> Option<Time>) -> bool {
    let recorded = row.source.filter(|source| !source.is_in_place());
    let Some((id, ctime)) = recorded.and_then(|source| Some((source.volume?, source.ctime))) else { return false };
    let is_other = || volume.is_relative_of(id) && born().is_some_and(|born| born > ctime);
    matches!(row.state, State::Done | State::Bad) && (volume.is_another_than(id) || is_other())
}

/// Another file system has something else in the place of what was copied; the target has `there`.
pub(super) fn from_elsewhere(path: RelPath, volume: &Volume, incoming: Incoming<'_>, there: Option<&Stat>) -> Problem {
    not_taken(path, Detail::OtherVolume(volume.kind.clone()), incoming, there)
}

fn not_taken(path: RelPath, detail: Detail, incoming: Incoming<'_>, there: Option<&Stat>) -> Problem {
    let mut problem = Problem::new(path, ProblemKind::ChangedSource, detail);
    problem.expected = Some(incoming.into());
    problem.found = there.map(|there| Appearance::from(there).into());
    problem
}

impl LeafCase<'_> {
    /// Why the source does not replace what the target has, if it lies elsewhere and is not what was copied.
    pub(super) fn kept_from_elsewhere(&self) -> Option<Problem> {
        if self.policy.overwrite {
            return None;
        }
        let copied = self.row.filter(|_| self.there.is_some());
        let detail = copied
            .and_then(|row| self.other_state(row))
            .or_else(|| self.is_log_of_another_database().then(|| self.other_volume()))?;
        Some(not_taken(self.at.path(), detail, Incoming::Leaf(self.source), self.there))
    }

    /// Why the source has something else than what was copied, if that is no change of it.
    fn other_state(&self, row: &Row) -> Option<Detail> {
        let detail = match self.is_older(row) {
            true => Detail::OlderSource,
            false if self.lies_elsewhere(row) => self.other_volume(),
            false => return None,
        };
        (!self.has_what_was_copied(row)).then_some(detail)
    }

    fn other_volume(&self) -> Detail {
        Detail::OtherVolume(self.in_source.volume(self.source).kind.clone())
    }

    /// True when the source is an earlier state of what was copied: a ctime only goes back with the whole file
    /// system, to an older snapshot or image of it.
    fn is_older(&self, row: &Row) -> bool {
        let (source, volume) = (self.source, self.in_source.volume(self.source));
        let recorded = row.source.filter(|source| !source.is_in_place());
        let is_earlier = recorded.is_some_and(|recorded| source.ctime < recorded.ctime)
            && row.wanted.mtime.is_some_and(|mtime| source.mtime < mtime);
        matches!(row.state, State::Done | State::Bad) && is_earlier && volume.clock_proves(source)
    }

    fn lies_elsewhere(&self, row: &Row) -> bool {
        row.source.is_some()
            && is_from_elsewhere(row, &self.in_source.volume(self.source), || self.in_source.dir_btime())
    }

    fn has_what_was_copied(&self, row: &Row) -> bool {
        let case = SourceCase { name: self.in_source, stat: self.source, row, rate_limit: self.policy.rate_limit };
        match self.source.kind {
            kind if kind != row.kind() => false,
            Kind::CharDevice | Kind::BlockDevice => self.source.rdev == row.rdev,
            Kind::Symlink => self.in_source.read_link().is_ok_and(|text| row.link == Some(text)),
            Kind::File => case.has_recorded_content(self.access),
            _ => true,
        }
    }

    /// True for a log from elsewhere whose database was copied: the copy may be another state of it.
    fn is_log_of_another_database(&self) -> bool {
        let database = database_of(self.at.name()).filter(|_| self.source.kind == Kind::File);
        let row = database.and_then(|name| self.at.row_of(&name));
        row.is_some_and(|row| row.kind() == Kind::File && self.lies_elsewhere(&row))
    }

    /// True when the source lies elsewhere and would take the place of a directory that was copied.
    pub(super) fn takes_directory_from_elsewhere(&self, row: &Row) -> bool {
        !self.policy.overwrite && self.lies_elsewhere(row)
    }
}
