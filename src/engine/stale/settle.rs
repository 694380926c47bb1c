//! What becomes of the entries that the source no longer has, after everything else is copied.

use super::in_source::stat_in_source;
use super::removal::{StaleRemoval, TreeRemoval};
use super::way::is_whole;
use crate::base::path::{Name, RelPath};
use crate::engine::context::RunContext;
use crate::engine::events::counters::add;
use crate::engine::events::detail::{Detail, Stale, StaleCause, StaleKept};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::words::Words;
use crate::engine::journal::epoch::FileSystems;
use crate::engine::journal::{JournalError, Reader, Row, StaleRecord};
use crate::engine::mapping::index::Index;
use crate::engine::tree::node::ENTRY;
use crate::sys::Errno;
use crate::sys::dir::{TargetDir, open_target};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, stat_at};
use std::sync::Arc;

/// Records that are read at once.
const PAGE: u32 = 256;

/// What that needs.
pub struct Settling<'a> {
    /// What all stages of the run share.
    pub run: &'a RunContext,
    /// The source, which is asked again before anything is removed.
    pub source: &'a Root,
    /// The target's file systems.
    pub file_systems: &'a Arc<FileSystems>,
    /// How problems are put into words.
    pub words: Words,
    /// What may be removed is removed.
    pub delete: bool,
}

/// Forgets what the target no longer has either; reports the rest, or removes it.
pub fn settle(settling: &Settling<'_>) -> Result<(), JournalError> {
    let RunContext { mapping, journal, writer, stop, problems, .. } = settling.run;
    writer.flush();
    let reader = journal.reader()?;
    let is_whole = is_whole(problems, &reader);
    let index = Index::new(mapping);
    let is_settled = |path: &RelPath, row: Option<&Row>| {
        let source = row.and_then(|_| stat_in_source((mapping, &index), settling.source, path));
        row.zip(source).is_some_and(|(row, source)| row.source_looks_the_same(&source))
    };
    let mut at_work = SettlingAtWork {
        of: settling,
        reader,
        removal: StaleRemoval::new(settling.run, settling.file_systems, &is_settled),
        index: &index,
        is_whole,
    };
    let mut last: Option<StaleRecord> = None;
    loop {
        let page = at_work.reader.stale_page(last.as_ref(), PAGE)?;
        let Some(end) = page.last() else { break };
        last = Some(end.clone());
        for record in page {
            if stop.is_set() {
                break;
            }
            at_work.record(&record)?;
        }
    }
    at_work.removal.sync();
    Ok(())
}

struct SettlingAtWork<'a> {
    of: &'a Settling<'a>,
    reader: Reader,
    removal: StaleRemoval<'a>,
    index: &'a Index,
    is_whole: bool,
}

/// What the source says when it is asked again.
enum InSource {
    Lacking,
    There,
    Unknown,
}

impl SettlingAtWork<'_> {
    fn record(&mut self, record: &StaleRecord) -> Result<(), JournalError> {
        let StaleRecord { path, cause, .. } = record;
        let Some(row) = self.reader.find_path(path)? else { return Ok(()) };
        if *cause == StaleCause::Emptied {
            let left = self.forget_gone_in(path, &row)?;
            if left > 0 {
                self.report(record, &row, left, None);
            }
            return Ok(());
        }
        // What is there now is the copy of what replaced the directory.
        let is_replaced = *cause == StaleCause::Retyped && row.kind() != Kind::Directory;
        let Some((dir, above, name)) = self.place(path).filter(|_| !is_replaced) else { return Ok(()) };
        if dir.stat_at(&name).is_err_and(|errno| errno == Errno::NOENT) {
            return self.gone(&dir, path.clone(), &row);
        }
        let entries = self.reader.entries_at(&row)?;
        let mut kept = None;
        if self.of.delete && matches!(cause, StaleCause::Name | StaleCause::Retyped) {
            match self.ask_source(record) {
                InSource::There => return Ok(()),
                InSource::Unknown => kept = Some(StaleKept::SourceUnknown),
                InSource::Lacking if !self.is_whole => {
                    kept = Some(StaleKept::CopyNotWhole);
                }
                InSource::Lacking => {
                    let removed = self.removal.tree(&self.reader, (&dir, &above, &name), &row)?;
                    if self.of.run.stop.is_set() {
                        return Ok(());
                    }
                    match removed {
                        TreeRemoval { is_gone: true, .. } => return self.settle_removed(record),
                        TreeRemoval { kept: entries, .. } => kept = Some(StaleKept::Some(entries)),
                    }
                    // What was kept may be all its owner's.
                    self.removal.sync();
                    self.of.run.writer.flush();
                    if self.reader.is_owners(&row)? {
                        return Ok(());
                    }
                }
            }
        }
        // Without --delete its own problem says what is in the way.
        if *cause != StaleCause::Retyped || kept.is_some() {
            self.report(record, &row, entries, kept);
        }
        Ok(())
    }

    fn place(&self, path: &RelPath) -> Option<(TargetDir, RelPath, Name)> {
        let (above, name) = (path.parent()?, path.last()?);
        // A directory that is gone or cannot be opened has a problem of its own.
        let dir = open_target(&self.of.run.mapping.root, &above).ok()?;
        Some((dir, above, name))
    }

    /// Forgets what is gone from `dir`, unless it was in use there.
    fn gone(&mut self, dir: &TargetDir, path: RelPath, row: &Row) -> Result<(), JournalError> {
        let above = self.reader.directory(row.dir)?;
        if row.was_in_place() || above.is_some_and(|above| above.was_in_place()) {
            self.removal.gone_in_use(dir, path, row);
        } else {
            self.removal.gone(dir, path, row);
        }
        Ok(())
    }

    /// Asks the source again, as long may have passed since the walk.
    fn ask_source(&self, record: &StaleRecord) -> InSource {
        let brought = self.index.brought_to(&self.of.run.mapping, &record.path);
        if brought.is_empty() {
            return InSource::Unknown;
        }
        for one in brought {
            let (Some(above), Some(name)) = (one.src.parent(), one.src.last()) else { return InSource::Unknown };
            let Ok(dir) = self.of.source.open_in(&above, ENTRY) else { return InSource::Unknown };
            match stat_at(&dir, &name) {
                Err(Errno::NOENT) if record.cause == StaleCause::Name => {}
                Ok(stat) if record.cause == StaleCause::Retyped && stat.kind != Kind::Directory => {}
                Ok(_) => return InSource::There,
                Err(_) => return InSource::Unknown,
            }
        }
        InSource::Lacking
    }

    /// What a removed directory made way for has not been copied yet.
    fn settle_removed(&mut self, record: &StaleRecord) -> Result<(), JournalError> {
        if record.cause == StaleCause::Retyped {
            // Forgetting the directory forgets the problems of its path.
            self.removal.sync();
            let problem = Problem::new(record.path.clone(), ProblemKind::Missing, Detail::WayCleared);
            self.add(problem.in_target(&record.target));
        }
        Ok(())
    }

    /// Forgets what is gone of the content of an emptied directory; returns how much is left.
    fn forget_gone_in(&mut self, path: &RelPath, row: &Row) -> Result<u64, JournalError> {
        let (mut left, mut after) = (0, Vec::new());
        let Some(id) = row.id else { return Ok(0) };
        loop {
            let rows = self.reader.rows_in(id, &after, PAGE)?;
            let Some(last) = rows.last() else { return Ok(left) };
            after.clone_from(&last.name);
            for row in rows {
                let Ok(name) = Name::new(&row.name) else { continue };
                let path = path.join(&name);
                match self.place(&path) {
                    Some((dir, _, name)) if dir.stat_at(&name).is_err_and(|errno| errno == Errno::NOENT) => {
                        self.gone(&dir, path, &row)?;
                    }
                    _ => left += self.reader.entries_at(&row)?,
                }
            }
        }
    }

    fn report(&self, record: &StaleRecord, row: &Row, entries: u64, kept: Option<StaleKept>) {
        if let Some(tally) = self.of.run.counters.targets.get(row.target as usize) {
            add(&tally.stale, entries);
        }
        let mut problem = Problem::stale(record.path.clone(), record.cause, entries).in_target(&record.target);
        let Some(kept) = kept else {
            self.of.run.problems.add(problem);
            return;
        };
        problem.detail = Detail::Stale(Box::new(Stale { cause: record.cause, entries, kept: Some(kept) }));
        self.add(problem);
    }

    /// Counts a problem, and records it in these words for later passes.
    fn add(&self, problem: Problem) {
        self.of.run.writer.problems(vec![problem.clone()], self.of.words);
        self.of.run.problems.add(problem);
    }
}
