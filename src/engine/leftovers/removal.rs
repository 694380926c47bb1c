//! What becomes of the leftovers in one directory of the target.

use super::traces::{StillBrought, is_as_created, unlink_keeping_times};
use crate::base::path::{Name, RelPath};
use crate::engine::context::RunContext;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{JournalError, Reader, State};
use crate::engine::meta::mark::{self, Binding, Mark, Was};
use crate::engine::tree::temporary::temporary_name;
use crate::sys::dir::{TargetDir, open_target, read_batches};
use crate::sys::file::{chmod, chown, set_times};
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, effective_ids, leads_nowhere};
use rustix::fs::OFlags;

/// A partial copy smaller than this is left to the run that copies its file.
const HALF: u64 = 1 << 20;

/// What was found.
pub(super) struct LeftoverCount {
    /// Temporary names that were removed.
    pub(super) names: u64,
    pub(super) first: Option<RelPath>,
    /// Nothing is left that could come from an interrupted run.
    pub(super) all_gone: bool,
}

/// Names of one directory that an interrupted run may have left.
#[derive(Default)]
pub(super) struct Suspects {
    pub(super) temporaries: Vec<Name>,
    /// Files that may be partial copies.
    pub(super) halves: Vec<Name>,
}

/// True for a directory that only a run that is filling it has partial copies in.
pub(super) fn is_closed(stat: &Stat) -> bool {
    stat.uid == effective_ids().0 && stat.mode & 0o077 == 0
}

pub(super) struct LeftoverRemoval<'a> {
    run: &'a RunContext,
    pub(super) reader: Reader,
    brought: StillBrought<'a>,
    pub(super) found: LeftoverCount,
}

impl<'a> LeftoverRemoval<'a> {
    pub(super) fn new(run: &'a RunContext, reader: Reader) -> Self {
        let found = LeftoverCount { names: 0, first: None, all_gone: true };
        Self { run, reader, brought: StillBrought::new(&run.mapping), found }
    }

    /// The temporary name of an entry itself.
    pub(super) fn entry(&mut self, dst: &RelPath) -> Result<(), JournalError> {
        if let (Some(above), Some(name)) = (dst.parent(), dst.last()) {
            match open_target(&self.run.mapping.root, &above) {
                Ok(dir) => self.temporary(&dir, &above, &temporary_name(&name), Some(&name))?,
                Err(errno) => self.unreadable(&above, errno),
            }
        }
        Ok(())
    }

    /// What is missing contains nothing; where we may not read we have made nothing.
    pub(super) fn unreadable(&mut self, path: &RelPath, errno: Errno) {
        if !leads_nowhere(errno) && errno != Errno::ACCESS {
            self.failed(path.clone(), Operation::FindLeftovers, errno);
        }
    }

    fn failed(&mut self, path: RelPath, operation: Operation, errno: Errno) {
        self.found.all_gone = false;
        self.run.problems.add(Problem::failed(path, ProblemKind::Io, operation, errno));
    }

    /// Sees to what was read in `dir`.
    pub(super) fn directory(
        &mut self,
        (dir, path): (&TargetDir, &RelPath),
        stat: &Stat,
        read: Suspects,
    ) -> Result<(), JournalError> {
        for name in read.halves {
            self.half(dir, path, &name)?;
        }
        if !read.temporaries.is_empty() {
            for (temporary, name) in read.temporaries.iter().zip(&self.names_of(path, &read.temporaries)?) {
                self.temporary(dir, path, temporary, name.as_ref())?;
            }
        }
        if is_closed(stat) {
            self.give_back(dir, path, stat);
        }
        Ok(())
    }

    /// Gives back a directory that an interrupted run had closed, if no run will reach it any more:
    /// the backup does not have it.
    fn give_back(&mut self, dir: &TargetDir, path: &RelPath, stat: &Stat) {
        let holder = Holder::file(dir);
        let Ok(Mark::Ours(Was::Open { uid, gid, mode })) =
            mark::read(holder, || Binding::new(&self.run.mapping.name, path))
        else {
            return;
        };
        if self.brought.has(path) {
            return;
        }
        let given = chown(holder, uid, gid)
            .and_then(|()| chmod(holder, mode))
            .and_then(|()| set_times(holder, Some(stat.atime), stat.mtime))
            .and_then(|()| mark::remove(holder));
        match given {
            Ok(()) => self.run.problems.note(Note::Reopened(path.clone(), (uid, gid), mode)),
            Err(errno) => self.failed(path.clone(), Operation::FinishDirectory, errno),
        }
    }

    /// For each of `temporaries` the name that it belongs to, among those that the directory or its
    /// rows have.
    fn names_of(&mut self, path: &RelPath, temporaries: &[Name]) -> Result<Vec<Option<Name>>, JournalError> {
        let mut finals = vec![None; temporaries.len()];
        let mut see = |name: Name| {
            let temporary = temporary_name(&name);
            if let Some(at) = temporaries.iter().position(|t| *t == temporary) {
                finals[at] = Some(name);
            }
        };
        // Starts over.
        let read = open_target(&self.run.mapping.root, path).and_then(|dir| {
            read_batches(&dir, 1024, |batch| {
                batch.into_iter().for_each(|entry| see(entry.name));
                true
            })
        });
        let id = if path.is_root() { Some(0) } else { self.reader.find_path(path)?.and_then(|row| row.id) };
        if let Some(id) = id {
            self.reader.names(id, see)?;
        }
        if let Err(errno) = read {
            self.unreadable(path, errno);
        }
        Ok(finals)
    }

    /// Removes a temporary name, unless it is a partial copy that the journal knows. What is not known
    /// to be ours is kept and reported.
    fn temporary(
        &mut self,
        dir: &TargetDir,
        above: &RelPath,
        temporary: &Name,
        name: Option<&Name>,
    ) -> Result<(), JournalError> {
        let path = above.join(temporary);
        let stat = match dir.stat_at(temporary) {
            Ok(stat) => stat,
            Err(errno) => {
                self.unreadable(&path, errno);
                return Ok(());
            }
        };
        if let Some(name) = name
            && self.is_recorded(&above.join(name), &stat)?
        {
            return Ok(());
        }
        let removable = !matches!(stat.kind, Kind::Directory | Kind::Socket);
        if !removable || name.is_none() && !is_as_created(&stat) {
            self.found.all_gone = false;
            self.run.problems.add(Problem::new(
                path,
                ProblemKind::Extra,
                Detail::ForeignTemporary(stat.kind, stat.uid),
            ));
            return Ok(());
        }
        match unlink_keeping_times(dir, temporary) {
            Ok(()) => {
                self.found.names += 1;
                // Directories come in no order.
                self.found.first = Some(self.found.first.take().map_or(path.clone(), |first| first.min(path)));
            }
            Err(errno) => self.failed(path, Operation::RemoveLeftover, errno),
        }
        Ok(())
    }

    /// True when the journal has chunks of this inode: the run resumes it.
    fn is_recorded(&mut self, path: &RelPath, stat: &Stat) -> Result<bool, JournalError> {
        let row = self.reader.find_path(path)?;
        let Some(row) = row.filter(|row| row.is_resumable() && row.dst_ino == stat.ino) else { return Ok(false) };
        if row.state == State::Replacing {
            if !self.brought.has(path) {
                return Ok(false);
            }
            // If its source is gone before the next run, only this walk finds it.
            self.found.all_gone = false;
        }
        Ok(true)
    }

    /// Removes a partial copy under its own name that has no row: it takes space that its new copy, or
    /// an earlier file, may need.
    fn half(&mut self, dir: &TargetDir, above: &RelPath, name: &Name) -> Result<(), JournalError> {
        let path = above.join(name);
        let stat = match dir.stat_at(name) {
            Ok(stat) if is_as_created(&stat) && stat.allocated >= HALF => stat,
            Ok(_) => return Ok(()),
            Err(errno) => {
                self.unreadable(&path, errno);
                return Ok(());
            }
        };
        let bound = || Binding::new(&self.run.mapping.name, &path);
        let mark = dir.open_file(name, OFlags::empty()).and_then(|file| mark::read(Holder::file(&file), bound));
        match mark {
            Ok(Mark::Ours(_)) => {}
            Ok(Mark::None | Mark::Other) => return Ok(()),
            Err(errno) => {
                self.unreadable(&path, errno);
                return Ok(());
            }
        }
        if self.is_recorded(&path, &stat)? {
            return Ok(());
        }
        match unlink_keeping_times(dir, name) {
            Ok(()) => self.run.problems.note(Note::HalfRemoved(path, stat.allocated)),
            Err(errno) => self.failed(path, Operation::RemoveHalf, errno),
        }
        Ok(())
    }
}
