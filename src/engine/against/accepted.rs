//! What its owner has in the place of what was copied, and was accepted: while the source has nothing newer, the
//! target is compared with that.

use super::expect::BackupEntry;
use super::walk::{ComparedDir, ComparisonWalk};
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::CheckedDir;
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::{AcceptedAs, AcceptedRow, Row, RowChange, State};
use crate::engine::verify::Subject;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat};

impl ComparisonWalk<'_> {
    /// What was accepted under `name`, if that decides: `expected` is what the source asks for, `recorded` what was
    /// copied.
    fn accepted(&self, name: &Name, expected: &Row, recorded: Option<&Row>) -> Option<AcceptedRow> {
        let recorded = recorded.filter(|row| matches!(row.state, State::Done | State::Bad))?;
        let accepted = self.verifier().ask(|reader| reader.accepted(recorded.dir, name)).flatten()?;
        let same_size = expected.kind() != Kind::File || expected.size == recorded.size;
        // A directory's own time says nothing where names came and went in it.
        let (then, now) = (recorded.wanted.mtime, expected.wanted.mtime);
        let same_time = then == now || then.is_none() && expected.kind() == Kind::Directory;
        (expected.kind() == recorded.kind() && same_size && same_time && accepted.is_instead()).then_some(accepted)
    }

    /// True when what was accepted at `path` decides what is said of it, and that is said.
    pub(super) fn is_told_as_accepted(
        &self,
        checked: &CheckedDir<'_>,
        (path, name): (&RelPath, &Name),
        expected: &Row,
        recorded: Option<&Row>,
    ) -> bool {
        match self.accepted(name, expected, recorded) {
            Some(AcceptedRow { what: AcceptedAs::Content, row }) => {
                self.verifier().accepted_entry(&Subject { dir: checked, path, name, row: &row });
                true
            }
            Some(AcceptedRow { what: AcceptedAs::Removed, .. }) => {
                checked.dir.stat_at(name).is_err_and(|errno| errno == Errno::NOENT)
            }
            _ => false,
        }
    }

    /// True for a name that its owner made, which was accepted.
    pub(super) fn is_accepted_there(&self, dir: &ComparedDir, name: &Name) -> bool {
        let asked = dir.id.and_then(|id| self.verifier().ask(|reader| reader.is_accepted_there(id, name.as_bytes())));
        asked.unwrap_or(false)
    }

    /// True for a directory that its owner made in the place of the copied one: what was in that is gone.
    pub(super) fn is_owners_directory(&self, seen: &BackupEntry<'_>, dst: &TargetDir) -> bool {
        let recorded = self.recorded(seen.dir, seen.name);
        // It may have the inode number of the removed one.
        let is_other = |there: Stat| {
            let as_recorded = |row: &Row| row.standing(&there, Disk::usual(there.dev)) == RowChange::AsRecorded;
            recorded.as_ref().is_some_and(|row| !as_recorded(row))
        };
        if !dst.stat_at(seen.name).is_ok_and(is_other) {
            return false;
        }
        let expected = self.expected(seen, dst);
        let accepted = self.accepted(seen.name, &expected, recorded.as_ref());
        accepted
            .zip(recorded)
            .is_some_and(|(accepted, copied)| accepted.what == AcceptedAs::Content && accepted.replaces(&copied))
    }
}
