//! Removes a stale tree: exactly what runs of the plan made and nobody has changed since.
//!
//! Every name is judged right before it is removed, by the row that a run wrote for it, through the
//! descriptor of its directory. A directory goes when it is empty. Rows are forgotten after a syncfs,
//! so what a kill leaves is gone from both sides, which the next run forgets.

use super::rows::each_row;
use super::sticky::{LiftedDirs, LiftedFile};
use super::together::{Belonging, IsSettled};
use crate::base::path::{Name, RelPath};
use crate::engine::context::RunContext;
use crate::engine::events::counters::add;
use crate::engine::events::detail::{KeptBecause, KeptEntries};
use crate::engine::events::operation::Operation;
use crate::engine::events::stop::StopReason;
use crate::engine::journal::epoch::FileSystems;
use crate::engine::journal::{JournalError, Reader, Removals, Removed, Row, Unlinked};
use crate::engine::judge::{History, RemovalCase};
use crate::sys::dir::{TargetDir, open_target, read_batches};
use crate::sys::file::set_times;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, leads_nowhere};
use std::sync::Arc;

/// Kept entries that a message names.
const NAMED: usize = 16;

/// Removes stale trees, and forgets their rows.
pub(super) struct StaleRemoval<'a> {
    run: &'a RunContext,
    file_systems: &'a Arc<FileSystems>,
    removals: Removals,
    lifted: LiftedDirs,
    belonging: Belonging<'a>,
    history: History,
}

/// A recorded name of a directory of the target.
struct StaleName<'d> {
    dir: &'d TargetDir,
    path: RelPath,
    name: &'d Name,
    row: &'d Row,
    /// The directory stays, with its times.
    stays: bool,
}

/// What became of one name.
enum NameRemoval {
    Removed,
    Kept(KeptBecause),
    /// A directory that still holds something.
    NotEmpty,
}

/// What became of a stale tree.
#[derive(Default)]
pub(super) struct TreeRemoval {
    /// Nothing of it is left.
    pub(super) is_gone: bool,
    pub(super) kept: KeptEntries,
}

impl KeptEntries {
    fn keep(&mut self, path: RelPath, why: KeptBecause) {
        if self.named.len() < NAMED {
            self.named.push((path, why));
        }
        self.count += 1;
    }
}

impl<'a> StaleRemoval<'a> {
    pub(super) fn new(run: &'a RunContext, file_systems: &'a Arc<FileSystems>, is_settled: IsSettled<'a>) -> Self {
        let removals = Removals::new(Arc::clone(file_systems));
        // Whatever the target: an interrupted run may have lifted flags anywhere.
        let history = History { interrupted: run.journal.past().interrupted, ..History::default() };
        let belonging = Belonging::new(&run.mapping.root, history, &run.rate_limit, is_settled);
        Self { run, file_systems, removals, lifted: LiftedDirs::default(), belonging, history }
    }

    /// Forgets the row of `name`, which is gone from `dir`, at `path`.
    pub(super) fn gone(&mut self, dir: &TargetDir, path: RelPath, row: &Row) {
        self.forget_gone(dir, Removed::of(row, path));
    }

    /// The same where it was in use, so that its owner removed it: no run is to bring it back.
    pub(super) fn gone_in_use(&mut self, dir: &TargetDir, path: RelPath, row: &Row) {
        self.forget_gone(dir, Removed { in_use: Some(Box::new(row.clone())), ..Removed::of(row, path) });
    }

    fn forget_gone(&mut self, dir: &TargetDir, removed: Removed) {
        // If that fails, the next run forgets it.
        if let Ok(file_system) = self.file_system(dir) {
            self.forget(file_system, removed);
        }
    }

    /// Removes `name` of `dir`, which stays, and what is below it. `row` describes it.
    pub(super) fn tree(
        &mut self,
        reader: &Reader,
        (dir, above, name): (&TargetDir, &RelPath, &Name),
        row: &Row,
    ) -> Result<TreeRemoval, JournalError> {
        let mut tree = TreeRemoval::default();
        let lifted = match reader.directory(row.dir)? {
            Some(above_row) => self.lifted.lift(dir, above, &above_row),
            None => Ok(()),
        };
        if let Err(errno) = lifted {
            tree.kept.keep(above.clone(), KeptBecause::Failed(Operation::LiftFlags, errno));
            return Ok(tree);
        }
        let removed = self.with_what_is_below(reader, (dir, above, name), row, &mut tree.kept);
        let failed = self.lifted.put_back(&self.run.mapping.root, &mut self.removals);
        for problem in failed {
            self.run.problems.add(problem);
        }
        tree.is_gone = removed?;
        Ok(tree)
    }

    /// The same, while the directory that it is in lets names go.
    fn with_what_is_below(
        &mut self,
        reader: &Reader,
        (dir, above, name): (&TargetDir, &RelPath, &Name),
        row: &Row,
        kept: &mut KeptEntries,
    ) -> Result<bool, JournalError> {
        if row.id.is_some() {
            self.below(reader, above.join(name), row, kept)?;
        }
        if self.run.stop.is_set() {
            return Ok(false);
        }
        self.name(reader, &StaleName { dir, path: above.join(name), name, row, stays: true }, kept)
    }

    /// Removes what is recorded below the directory of `row` at `path`, the deepest directories first.
    fn below(&mut self, reader: &Reader, path: RelPath, row: &Row, kept: &mut KeptEntries) -> Result<(), JournalError> {
        let mut waiting = vec![(path, row.clone(), false)];
        while let Some((path, row, is_emptied)) = waiting.pop() {
            let Some(id) = row.id else { continue };
            if self.run.stop.is_set() {
                return Ok(());
            }
            let dir = match open_target(&self.run.mapping.root, &path) {
                Ok(dir) => dir,
                // Its own row tells.
                Err(errno) if leads_nowhere(errno) => continue,
                Err(errno) => {
                    kept.keep(path, KeptBecause::Failed(Operation::OpenDirectory, errno));
                    continue;
                }
            };
            // Its row is kept for the same reason.
            if dir.stat().is_ok_and(|stat| stat.mount_root) {
                continue;
            }
            if !is_emptied {
                waiting.push((path.clone(), row, true));
                each_row(reader, id, |below| {
                    if let (Some(_), Ok(name)) = (below.id, Name::new(&below.name)) {
                        waiting.push((path.join(&name), below, false));
                    }
                    Ok(())
                })?;
                continue;
            }
            if let Err(errno) = self.lifted.lift(&dir, &path, &row) {
                kept.keep(path, KeptBecause::Failed(Operation::LiftFlags, errno));
                continue;
            }
            each_row(reader, id, |row| {
                if let Ok(name) = Name::new(&row.name)
                    && !self.run.stop.is_set()
                {
                    let path = path.join(&name);
                    self.name(reader, &StaleName { dir: &dir, path, name: &name, row: &row, stays: false }, kept)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Removes one name, if it may be. True when it is gone.
    fn name(&mut self, reader: &Reader, stale: &StaleName<'_>, kept: &mut KeptEntries) -> Result<bool, JournalError> {
        let StaleName { dir, path, name, row, .. } = stale;
        let stat = match dir.stat_at(name) {
            Err(Errno::NOENT) => {
                self.gone(dir, path.clone(), row);
                return Ok(true);
            }
            Err(errno) => {
                kept.keep(path.clone(), KeptBecause::Failed(Operation::Stat, errno));
                return Ok(false);
            }
            Ok(stat) => stat,
        };
        let case = RemovalCase {
            dir,
            path,
            name,
            row,
            there: &stat,
            is_accepted: reader.is_accepted_there(row.dir, &row.name)?,
            is_lifted: self.lifted.has(row.id),
            history: self.history,
            rate_limit: &self.run.rate_limit,
        };
        let kept_because = match case.kept() {
            None => self.belonging.theirs(reader, (dir, path, name), row)?.map(KeptBecause::BelongsTo),
            kept => kept,
        };
        let removal = match kept_because {
            Some(why) => NameRemoval::Kept(why),
            None => self.remove(stale, &stat),
        };
        match removal {
            NameRemoval::Removed => {
                kept.removed += 1;
                return Ok(true);
            }
            NameRemoval::Kept(why) => kept.keep(path.clone(), why),
            NameRemoval::NotEmpty => unrecorded(reader, stale, kept)?,
        }
        Ok(false)
    }

    fn remove(&mut self, stale: &StaleName<'_>, stat: &Stat) -> NameRemoval {
        let StaleName { dir, path, name, row, stays } = stale;
        let failed = |errno| NameRemoval::Kept(KeptBecause::Failed(Operation::RemoveStale, errno));
        let begun = self.file_system(dir).and_then(|index| Ok((index, dir.stat()?)));
        let (file_system, before) = match begun {
            Ok(begun) => begun,
            Err(errno) => return failed(errno),
        };
        let linked = stat.nlink > 1 && stat.kind != Kind::Directory;
        let handle = if linked { dir.open_handle(name).ok() } else { None };
        let mut lifted = None;
        let removed = if stat.kind == Kind::Directory {
            dir.remove_dir(name)
        } else {
            // Reading it may have taken long.
            match dir.stat_at(name) {
                Ok(now)
                    if (now.ino, now.ctime, now.mtime, now.size) == (stat.ino, stat.ctime, stat.mtime, stat.size) =>
                {
                    LiftedFile::lift(dir, name, row, stat).and_then(|file| {
                        lifted = file;
                        dir.unlink(name)
                    })
                }
                Ok(_) => return NameRemoval::Kept(KeptBecause::Changed),
                Err(errno) => Err(errno),
            }
        };
        if let Some(file) = lifted.filter(|_| linked || removed.is_err())
            && let Err(errno) = file.put_back()
        {
            return NameRemoval::Kept(KeptBecause::Failed(Operation::SetFlags(row.wanted.flags), errno));
        }
        match removed {
            Ok(()) => {}
            // rmdir(2) may say either.
            Err(Errno::NOTEMPTY | Errno::EXIST) => return NameRemoval::NotEmpty,
            Err(errno) => return failed(errno),
        }
        if *stays {
            self.keep_times(dir, row.dir, &before);
        }
        let after = handle.and_then(|handle| stat_fd(&handle).ok());
        let unlinked = row.source.zip(after).map(|(source, after)| Unlinked {
            source: source.ino,
            ino: stat.ino,
            before: stat.ctime,
            after: after.ctime,
        });
        if let Some(tally) = self.run.counters.targets.get(row.target as usize) {
            add(&tally.deleted, 1);
            add(&tally.deleted_bytes, if stat.kind == Kind::File { stat.size } else { 0 });
        }
        self.forget(file_system, Removed { unlinked, ..Removed::of(row, path.clone()) });
        NameRemoval::Removed
    }

    /// Gives a directory that stays its times back, which are its source's.
    fn keep_times(&mut self, dir: &TargetDir, id: i64, before: &Stat) {
        let after = set_times(Holder::file(dir), Some(before.atime), before.mtime).and_then(|()| dir.stat());
        // Otherwise its times have moved as by anybody's removal.
        if let Ok(after) = after {
            self.removals.settle(id, before.ino, before.ctime, after.ctime);
        }
    }

    /// Must be asked before anything is removed there.
    fn file_system(&self, dir: &TargetDir) -> Result<usize, Errno> {
        self.file_systems.index(dir.stat()?.dev, dir)
    }

    fn forget(&mut self, file_system: usize, removed: Removed) {
        if self.removals.add(file_system, removed) {
            self.sync();
        }
    }

    /// Makes durable what was removed, and forgets it.
    pub(super) fn sync(&mut self) {
        match self.removals.sync() {
            Ok(removed) => removed.into_iter().for_each(|removed| self.run.writer.removed(removed)),
            Err(errno) => drop(self.run.stop.set(StopReason::NotDurable(errno, None))),
        }
    }
}

/// Names the content of a directory that no run has recorded; what is recorded was kept by itself.
fn unrecorded(reader: &Reader, stale: &StaleName<'_>, kept: &mut KeptEntries) -> Result<(), JournalError> {
    let StaleName { dir, path, name, row, .. } = stale;
    let (mut known, Some(id)) = (Ok(()), row.id) else { return Ok(()) };
    let read = dir.open_dir(name).and_then(|dir| {
        read_batches(&dir, 64, |batch| {
            for entry in batch {
                match reader.is_copied(id, &entry.name) {
                    Ok(true) => {}
                    Ok(false) => match reader.is_accepted_there(id, entry.name.as_bytes()) {
                        Ok(true) => kept.keep(path.join(&entry.name), KeptBecause::Accepted),
                        Ok(false) => kept.keep(path.join(&entry.name), KeptBecause::Unrecorded),
                        Err(error) => known = Err(error),
                    },
                    Err(error) => known = Err(error),
                }
            }
            known.is_ok()
        })
    });
    if let Err(errno) = read {
        kept.keep(path.clone(), KeptBecause::Failed(Operation::ReadDirectory, errno));
    }
    known
}
