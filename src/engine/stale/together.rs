//! What is removed with all that it belongs to, or not at all: a log of a database, and what is in a
//! git repository. A reference that was packed in the source is gone from its own file; where
//! somebody has changed the packed ones on the target, that file is the only place that still has it.

use super::rows::each_row;
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::{CheckedDir, has_same_content};
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::journal::{JournalError, Reader, Row, RowChange, State};
use crate::engine::judge::{History, RemovalCase, database_files};
use crate::sys::dir::{TargetDir, open_target, read_batches};
use crate::sys::leads_nowhere;
use crate::sys::stat::Kind;
use std::collections::HashMap;
use std::path::Path;

/// Names that every git repository has.
const REPOSITORY: [(&[u8], Kind); 3] =
    [(b"HEAD", Kind::File), (b"objects", Kind::Directory), (b"refs", Kind::Directory)];

/// True when the content at a path is that of the source, or will be before anything is removed. The row is given where
/// the target has its content.
pub(crate) type IsSettled<'a> = &'a (dyn Fn(&RelPath, Option<&Row>) -> bool + 'a);

/// Finds what a stale name belongs to. What it found out about a repository holds for the run: it is
/// asked before the first name of it is removed.
pub(super) struct Belonging<'a> {
    pub(super) root: &'a Path,
    pub(super) history: History,
    pub(super) rate_limit: &'a RateLimit,
    is_settled: IsSettled<'a>,
    /// The repository that a directory is in; both by id.
    repositories: HashMap<i64, Option<i64>>,
    /// What somebody has made or changed in a repository.
    altered: HashMap<i64, Option<RelPath>>,
}

impl<'a> Belonging<'a> {
    pub(super) fn new(root: &'a Path, history: History, rate_limit: &'a RateLimit, is_settled: IsSettled<'a>) -> Self {
        Self { root, history, rate_limit, is_settled, repositories: HashMap::new(), altered: HashMap::new() }
    }

    /// What somebody has made or changed that the stale `name` of `dir`, at `path`, belongs to.
    pub(super) fn theirs(
        &mut self,
        reader: &Reader,
        (dir, path, name): (&TargetDir, &RelPath, &Name),
        row: &Row,
    ) -> Result<Option<RelPath>, JournalError> {
        if row.kind() == Kind::Directory {
            return Ok(None);
        }
        let above = path.parent().unwrap_or_default();
        for other in database_files(dir, name) {
            let path = above.join(&other);
            let found = reader.find(row.dir, &other)?;
            if self.is_theirs(reader, (dir, &path, &other), found.as_ref())? {
                return Ok(Some(path));
            }
        }
        let Some(repository) = self.repository(reader, row.dir)? else { return Ok(None) };
        if let Some(known) = self.altered.get(&repository) {
            return Ok(known.clone());
        }
        let altered = self.altered_in(reader, repository)?;
        self.altered.insert(repository, altered.clone());
        Ok(altered)
    }

    /// True unless `name` is as a run left it, or settled, or is not there.
    fn is_theirs(
        &self,
        reader: &Reader,
        (dir, path, name): (&TargetDir, &RelPath, &Name),
        row: Option<&Row>,
    ) -> Result<bool, JournalError> {
        let Ok(there) = dir.stat_at(name) else { return Ok(false) };
        let Some(row) = row else { return Ok(!(self.is_settled)(path, None)) };
        let (history, rate_limit) = (self.history, self.rate_limit);
        let (there, is_accepted) = (&there, reader.is_accepted_there(row.dir, &row.name)?);
        let case = RemovalCase { dir, path, name, row, there, is_accepted, is_lifted: false, history, rate_limit };
        if case.kept().is_none() {
            return Ok(false);
        }
        let checked = CheckedDir::of(dir);
        let has_content = row.state == State::Done
            && row.standing(there, checked.disk) != RowChange::Changed
            && has_same_content(&checked, name, row, rate_limit).is_ok_and(|same| same);
        Ok(!(self.is_settled)(path, Some(row).filter(|_| has_content)))
    }

    /// The innermost repository that the directory `id` is, or is in.
    fn repository(&mut self, reader: &Reader, id: i64) -> Result<Option<i64>, JournalError> {
        let (mut id, mut passed) = (id, Vec::new());
        let found = loop {
            if let Some(known) = self.repositories.get(&id) {
                break *known;
            }
            passed.push(id);
            let opened = open_target(self.root, &reader.path_of(id)?);
            let has = |dir: &TargetDir, (name, kind): (&[u8], Kind)| {
                Name::new(name).ok().and_then(|name| dir.stat_at(&name).ok()).is_some_and(|stat| {
                    // HEAD may be a symlink in an old repository.
                    stat.kind == kind || kind == Kind::File && stat.kind == Kind::Symlink
                })
            };
            if opened.is_ok_and(|dir| REPOSITORY.iter().all(|part| has(&dir, *part))) {
                break Some(id);
            }
            match reader.directory(id)? {
                Some(row) => id = row.dir,
                None => break None,
            }
        };
        self.repositories.extend(passed.into_iter().map(|id| (id, found)));
        Ok(found)
    }

    /// The first name in the repository `id` that is not as a run left it. One that is gone tells
    /// nothing: a run that was killed may have removed it.
    fn altered_in(&self, reader: &Reader, id: i64) -> Result<Option<RelPath>, JournalError> {
        let mut waiting = vec![(reader.path_of(id)?, id)];
        while let Some((path, id)) = waiting.pop() {
            if self.rate_limit.is_stopped() {
                return Ok(Some(path));
            }
            let dir = match open_target(self.root, &path) {
                Ok(dir) => dir,
                Err(errno) if leads_nowhere(errno) => continue,
                Err(_) => return Ok(Some(path)),
            };
            let mut altered = None;
            each_row(reader, id, |row| {
                if let (None, Ok(name)) = (&altered, Name::new(&row.name)) {
                    let path = path.join(&name);
                    if let Some(below) = row.id {
                        waiting.push((path, below));
                    } else if self.is_theirs(reader, (&dir, &path, &name), Some(&row))? {
                        altered = Some(path);
                    }
                }
                Ok(())
            })?;
            let mut failed = Ok(());
            let read = read_batches(&dir, 64, |batch| {
                for entry in batch {
                    match reader.is_copied(id, &entry.name) {
                        Ok(true) => {}
                        Ok(false) => altered = altered.take().or_else(|| Some(path.join(&entry.name))),
                        Err(error) => failed = Err(error),
                    }
                }
                altered.is_none() && failed.is_ok()
            });
            failed?;
            if read.is_err() {
                altered = altered.or(Some(path));
            }
            if altered.is_some() {
                return Ok(altered);
            }
        }
        Ok(None)
    }
}
