//! What a removal would do, without doing it: the same names, in the same order, judged in the same
//! way.

use super::rows::each_row;
use super::together::{Belonging, IsSettled};
use crate::base::path::{Name, RelPath};
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::journal::{JournalError, Reader, Row};
use crate::engine::judge::{History, RemovalCase};
use crate::sys::Errno;
use crate::sys::dir::{TargetDir, open_target, read_batches};
use crate::sys::leads_nowhere;
use crate::sys::stat::Kind;
use std::collections::HashSet;
use std::path::Path;

/// How many entries of a stale tree would be removed, and how many kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ForetoldRemoval {
    pub(crate) removed: u64,
    pub(crate) kept: u64,
}

/// What a removal asks and goes by.
pub(crate) struct RemovalForeteller<'a> {
    pub(crate) root: &'a Path,
    pub(crate) reader: &'a Reader,
    pub(crate) history: History,
    pub(crate) rate_limit: &'a RateLimit,
    pub(crate) is_settled: IsSettled<'a>,
}

/// A tree as far as it was looked at.
struct LookedAt<'a> {
    found: ForetoldRemoval,
    belonging: Belonging<'a>,
    /// Directories that would not be empty, by id.
    filled: HashSet<i64>,
}

impl RemovalForeteller<'_> {
    /// The tree of `row` at `path`.
    pub(crate) fn tree(&self, path: &RelPath, row: &Row) -> Result<ForetoldRemoval, JournalError> {
        let mut looked = LookedAt {
            found: ForetoldRemoval::default(),
            belonging: Belonging::new(self.root, self.history, self.rate_limit, self.is_settled),
            filled: HashSet::new(),
        };
        let (Some(above), Some(name)) = (path.parent(), path.last()) else { return Ok(looked.found) };
        let mut waiting = vec![(path.clone(), row.id, false)];
        while let Some((path, id, was_read)) = waiting.pop() {
            let Some(id) = id.filter(|_| !self.rate_limit.is_stopped()) else { continue };
            let dir = match open_target(self.root, &path) {
                Ok(dir) => dir,
                Err(errno) if leads_nowhere(errno) => continue,
                Err(_) => {
                    looked.filled.insert(id);
                    continue;
                }
            };
            if dir.stat().is_ok_and(|stat| stat.mount_root) {
                continue;
            }
            if !was_read {
                waiting.push((path.clone(), Some(id), true));
                each_row(self.reader, id, |row| {
                    if let (Some(below), Ok(name)) = (row.id, Name::new(&row.name)) {
                        waiting.push((path.join(&name), Some(below), false));
                    }
                    Ok(())
                })?;
                continue;
            }
            let before = looked.found.kept;
            each_row(self.reader, id, |row| match Name::new(&row.name) {
                Ok(name) => self.name((&dir, &path.join(&name), &name), &row, &mut looked),
                Err(_) => Ok(()),
            })?;
            if looked.found.kept > before || self.has_others(&dir, id)? {
                looked.filled.insert(id);
            }
        }
        if let Ok(dir) = open_target(self.root, &above) {
            self.name((&dir, path, &name), row, &mut looked)?;
        }
        Ok(looked.found)
    }

    fn name(
        &self,
        (dir, path, name): (&TargetDir, &RelPath, &Name),
        row: &Row,
        looked: &mut LookedAt<'_>,
    ) -> Result<(), JournalError> {
        let stays = match dir.stat_at(name) {
            Err(Errno::NOENT) => return Ok(()),
            Err(_) => true,
            Ok(there) => {
                let filled = there.kind == Kind::Directory && row.id.is_some_and(|id| looked.filled.contains(&id));
                let (history, rate_limit) = (self.history, self.rate_limit);
                let (there, is_accepted) = (&there, self.reader.is_accepted_there(row.dir, &row.name)?);
                let case =
                    RemovalCase { dir, path, name, row, there, is_accepted, is_lifted: false, history, rate_limit };
                filled
                    || case.kept().is_some()
                    || looked.belonging.theirs(self.reader, (dir, path, name), row)?.is_some()
            }
        };
        *(if stays { &mut looked.found.kept } else { &mut looked.found.removed }) += 1;
        Ok(())
    }

    /// True for a directory with names that no run has recorded.
    fn has_others(&self, dir: &TargetDir, id: i64) -> Result<bool, JournalError> {
        let mut known = Ok(true);
        let read = read_batches(dir, 64, |batch| {
            for entry in batch {
                if !matches!(known, Ok(true)) {
                    break;
                }
                known = self.reader.is_copied(id, &entry.name);
            }
            matches!(known, Ok(true))
        });
        Ok(!known? || read.is_err())
    }
}
