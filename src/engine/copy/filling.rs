//! A file's content on its way: copied, and copied again until the source holds still.

use super::chunk_work::Values;
use super::context::CopyContext;
use super::data::{self, FillFailure, Filled};
use super::job::{FileJob, OpenSource};
use super::large::{ChunkedFiles, is_chunked};
use super::settled::{QUIET, SourceLook, TICK, look, until_settled};
use super::sharing::Sharing;
use super::source::SourceTree;
use crate::base::path::RelPath;
use crate::engine::content::reread;
use crate::engine::driver::Driver;
use crate::engine::events::counters::add;
use crate::engine::events::detail::Advice;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::epoch::Permit;
use crate::engine::meta::{self, Attributes};
use crate::sys::stat::{Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use rustix::fd::AsFd;
use std::sync::Arc;

/// How often a source that changes while it is read is tried.
const ATTEMPTS: u32 = 3;
/// Chunks of a large file that are read a second time at once.
const REREAD_AT_ONCE: usize = 8;

/// Fills new files.
pub(super) struct Contents {
    pub(super) cx: Arc<CopyContext>,
    pub(super) source: Arc<SourceTree>,
    pub(super) chunked: ChunkedFiles,
    pub(super) sharing: Sharing,
}

/// What came of filling a file.
pub(super) enum Filling {
    Done(Box<StillContent>),
    /// The run is ending; chunks already copied are kept for the next one.
    Unfinished,
    /// Nothing to keep; a problem says why, or the run is ending.
    Nothing,
}

/// A source that did not change meanwhile, and what was read from it.
pub(super) struct StillContent {
    pub(super) stat: Stat,
    pub(super) attributes: Attributes,
    pub(super) filled: Filled,
}

/// What an earlier run left that a new copy may still use.
struct Chunks<'a> {
    /// Those that the target has.
    values: Values,
    /// For the bytes of a file that is copied as a whole.
    permit: &'a mut Option<Permit>,
}

/// One reading of the source, when it has ended.
struct Attempt {
    number: u32,
    /// What the source looked like before.
    before: Stat,
    /// It looks the same afterwards.
    still: bool,
    /// Space that replacements had freed before.
    made: u64,
}

impl Contents {
    /// Copies the content until the source holds still.
    pub(super) fn fill(&self, job: FileJob<'_>, values: Values, permit: &mut Option<Permit>) -> Filling {
        self.until_still(job, Chunks { values, permit }).unwrap_or_else(|ended| ended)
    }

    /// An error is how it ended without complete content.
    fn until_still(&self, job: FileJob<'_>, mut chunks: Chunks<'_>) -> Result<Filling, Filling> {
        let FileJob { entry, source, created, .. } = job;
        let driver = self.source.drivers.of(source.stat.dev, &source.fd);
        let mut seen = self.look(job, source.stat)?;
        if !seen.stat.unchanged_since(&source.stat) {
            // The chunks belong to the state that the source had when it was opened.
            if created.mended {
                return Err(self.never_still(entry.node().target, entry.path(), 1));
            }
            chunks.values.clear();
            // A resumed partial copy holds another state.
            if is_chunked(&source.stat) {
                self.truncated(job, self.chunked.empty(entry, created))?;
            }
        }
        let mut number = 1;
        loop {
            let made = self.cx.submit.room_made();
            // Read before the content: if the ctime is the same afterwards, they belong together.
            let attributes = self.source.attributes_of(entry, Holder::file(&source.fd), &seen.stat);
            if number == 1 && !created.mended {
                meta::apply_at_creation(&created.fd, attributes.flags, entry.node().handed);
            }
            let (filled, twice) = self.read(job, &seen, &driver, &mut chunks)?;
            let after = stat_fd(&source.fd).map_err(|errno| self.unreadable(job, errno))?;
            let attempt = Attempt { number, before: seen.stat, still: after.unchanged_since(&seen.stat), made };
            let again = match filled {
                Ok(filled) if attempt.still => {
                    add(&self.source.drivers.read_twice, u64::from(twice && seen.settled));
                    return Ok(Filling::Done(Box::new(StillContent { stat: seen.stat, attributes, filled })));
                }
                Ok(_) => number < ATTEMPTS,
                Err(failure) => self.is_worth_another(job, &attempt, failure)?,
            };
            // A repaired file must not become a mixture of two states of the source.
            if !again || created.mended {
                return Err(self.never_still(entry.node().target, entry.path(), number));
            }
            let chunked = is_chunked(&seen.stat);
            let emptied = if chunked { self.chunked.empty(entry, created) } else { file::set_size(&created.fd, 0) };
            self.truncated(job, emptied)?;
            // Reset to how it was opened: the next attempt may find it larger, or with holes.
            file::set_direct(&source.fd, false).map_err(|errno| self.unreadable(job, errno))?;
            seen = self.look(job, after)?;
            number += 1;
        }
    }

    /// Reads and writes everything once, and reads it a second time where one reading may
    /// deceive; true if it did.
    fn read(
        &self,
        job: FileJob<'_>,
        seen: &SourceLook,
        driver: &Driver,
        chunks: &mut Chunks<'_>,
    ) -> Result<(Result<Filled, FillFailure>, bool), Filling> {
        let FileJob { source, created, may_share, .. } = job;
        let before = &seen.stat;
        // Pages of the cache may be older than the stat.
        if driver.may_cache() {
            file::evict(&source.fd).map_err(|errno| self.unreadable(job, errno))?;
        }
        let is_as_opened = seen.settled && before.unchanged_since(&source.stat);
        let ahead = source.ahead.filter(|_| is_as_opened);
        let share = |dev| {
            let wanted = may_share && before.size > 0 && self.sharing.is_wanted(driver, seen.settled);
            if wanted {
                self.sharing.share((source.fd.as_fd(), before.dev), (created.fd.as_fd(), dev))
            } else {
                Ok(false)
            }
        };
        let filled = if is_chunked(before) {
            // A file that grew to this size must not hold what its own chunks wait for.
            drop(chunks.permit.take());
            self.chunked.fill(job, before, std::mem::take(&mut chunks.values), share)
        } else {
            share(job.entry.node().disk.dev).and_then(|shared| {
                data::fill((source, ahead), before, (created.fd.as_fd(), shared), &self.cx.run.rate_limit)
            })
        };
        let twice = !seen.settled || driver.may_hide_changes(before);
        let filled = if twice { self.read_again(source, before, filled) } else { filled };
        let filled = if driver.is_fuse() { ends_as_said(source, before, filled) } else { filled };
        // A write in progress shows as a single change at its beginning; only the next one tells.
        let quiet = if driver.may_cache() { QUIET } else { TICK };
        if let Some(left) = until_settled(before, quiet).filter(|_| filled.is_ok()) {
            std::thread::sleep(left);
        }
        Ok((filled, twice))
    }

    /// Whether to try again after a failed attempt; an error means no, and says what is left of
    /// the copy.
    fn is_worth_another(&self, job: FileJob<'_>, attempt: &Attempt, failure: FillFailure) -> Result<bool, Filling> {
        let FileJob { entry, created, .. } = job;
        let target = entry.node().target;
        let Attempt { number, before, still, made } = *attempt;
        let chunked = is_chunked(&before);
        let keep_chunks = |keep| if keep { Filling::Unfinished } else { Filling::Nothing };
        match failure {
            FillFailure::Stopped => Err(keep_chunks(chunked && still)),
            // Replacements that were not yet renamed into place took their space twice.
            FillFailure::Write(errno) if !created.mended && still && self.cx.submit.makes_room(errno, made) => Ok(true),
            FillFailure::Write(errno) => {
                self.cx.target_failed(target, entry.path(), Operation::Write, errno);
                Err(keep_chunks(chunked && still && self.cx.run.stop.is_set()))
            }
            FillFailure::Read(errno) if still => {
                let mut problem = Problem::failed(entry.path(), ProblemKind::Unreadable, Operation::ReadSource, errno);
                if chunked && !created.mended {
                    problem.advice = Some(Advice::GoesOn);
                }
                self.cx.problem(target, problem);
                // Chunks of a large file that could be read need not be read again.
                Err(keep_chunks(chunked))
            }
            FillFailure::Unshared(errno) => {
                let mut problem =
                    Problem::failed(entry.path(), ProblemKind::Unsupported, Operation::ShareBlocks, errno);
                problem.advice = Some(Advice::CopyBlocks);
                self.cx.problem(target, problem);
                Err(Filling::Nothing)
            }
            FillFailure::Length if still && number == ATTEMPTS => {
                self.cx.problem(
                    target,
                    Problem::new(entry.path(), ProblemKind::Unreadable, Detail::WrongLength(before.size)),
                );
                Err(Filling::Nothing)
            }
            FillFailure::Read(_) | FillFailure::Length | FillFailure::Differs => Ok(number < ATTEMPTS),
        }
    }

    fn look(&self, job: FileJob<'_>, stat: Stat) -> Result<SourceLook, Filling> {
        look(job.source, stat).map_err(|errno| self.unreadable(job, errno))
    }

    fn unreadable(&self, job: FileJob<'_>, errno: Errno) -> Filling {
        let problem = Problem::failed(job.entry.path(), ProblemKind::Unreadable, Operation::StatAgain, errno);
        self.cx.problem(job.entry.node().target, problem);
        Filling::Nothing
    }

    fn truncated(&self, job: FileJob<'_>, result: Result<(), Errno>) -> Result<(), Filling> {
        result.map_err(|errno| {
            self.cx.target_failed(job.entry.node().target, job.entry.path(), Operation::Truncate, errno);
            Filling::Nothing
        })
    }

    /// Reads the source a second time; different bytes count as a change.
    fn read_again(
        &self,
        source: &OpenSource<'_>,
        stat: &Stat,
        filled: Result<Filled, FillFailure>,
    ) -> Result<Filled, FillFailure> {
        let filled = filled?;
        // The first reading may have gone past the cache, block by block.
        file::set_direct(&source.fd, false).map_err(FillFailure::Read)?;
        let (fd, limit) = (source.fd.as_fd(), &self.cx.run.rate_limit);
        let again = if is_chunked(stat) {
            reread::digest_by_chunks(fd, stat, self.cx.options.threads.min(REREAD_AT_ONCE), limit)
        } else {
            reread::digest(fd, stat, reread::CachedPages::MayBeOld, limit)
        };
        match again.map_err(FillFailure::Read)? {
            Some(digest) if digest == filled.digest => Ok(filled),
            Some(_) => Err(FillFailure::Differs),
            None => Err(FillFailure::Stopped),
        }
    }

    fn never_still(&self, target: u32, path: RelPath, attempts: u32) -> Filling {
        self.cx.problem(target, Problem::new(path, ProblemKind::ChangedSource, Detail::ChangedWhileRead(attempts)));
        Filling::Nothing
    }
}

fn ends_as_said(
    source: &OpenSource<'_>,
    stat: &Stat,
    filled: Result<Filled, FillFailure>,
) -> Result<Filled, FillFailure> {
    let filled = filled?;
    match reread::ends_as_said(source.fd.as_fd(), stat).map_err(FillFailure::Read)? {
        true => Ok(filled),
        false => Err(FillFailure::Length),
    }
}
