//! The life of one regular file, from top to bottom: open the source, create
//! (0600), copy and hash, look at the source again, owner, attributes, times,
//! mode, hand to the epoch.

use super::context::{AppliedMetadata, Context};
use super::create::make_beside;
use super::data::{self, FillFailure, Filled};
use super::directories::Directories;
use super::entry::Entry;
use super::hand_in::hand_in;
use super::immutable::ImmutableFlags;
use super::job::{Created, FileJob, OpenSource};
use super::large::{ChunkedFiles, Values, is_chunked};
use super::link::CopyResult;
use super::rules::Rules;
use super::settled::{QUIET, SourceLook, TICK, look, until_settled};
use super::source::SourceTree;
use crate::base::path::{Name, RelPath};
use crate::engine::content::reread;
use crate::engine::events::counters::add;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::epoch::{Permit, Written};
use crate::engine::journal::{Row, SourceId, State};
use crate::engine::meta::mark::Was;
use crate::engine::meta::{self, Attributes, Wanted, mark};
use crate::engine::volume::Volume;
use crate::sys::dir::TargetDir;
use crate::sys::raw::close;
use crate::sys::stat::{Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use rustix::fd::AsFd;
use std::sync::Arc;

/// A source that changes while it is read is read this often.
const ATTEMPTS: u32 = 3;

/// Files with at least this many bytes of data are marked before they get room: what a kill
/// leaves of a smaller one is no room that anybody misses.
const MARKED: u64 = 1 << 20;

/// Copies regular files.
pub(super) struct Files {
    pub(super) cx: Arc<Context>,
    pub(super) source: Arc<SourceTree>,
    pub(super) rules: Arc<Rules>,
    pub(super) directories: Arc<Directories>,
    pub(super) flags: Arc<ImmutableFlags>,
    pub(super) chunked: ChunkedFiles,
}

impl Files {
    /// Copies the open `source`, whatever its links.
    pub(super) fn copy(&self, entry: &Entry<'_>, source: &OpenSource) -> CopyResult {
        let (node, name, mut own) = (entry.node(), entry.name, entry.own);
        let Ok(parent) = self
            .directories
            .open_to_fill(node)
            .map_err(|e| self.cx.target_failed(node.target, node.path(), "open the directory", e))
        else {
            return CopyResult::Failed;
        };
        let chunked = is_chunked(&source.stat);
        let made = self.cx.submit.room_made();
        let unfinished = if chunked { self.chunked.unfinished(entry, &parent, source) } else { None };
        // Chunks have permits of their own.
        let dirty = source.stat.size.min(source.stat.allocated);
        let mut permit = (!chunked).then(|| self.cx.submit.gate.acquire(dirty));
        let (mut created, values) = match unfinished {
            Some(unfinished) => unfinished,
            None => match self.create(entry, &parent, dirty).or_else(|errno| {
                let again = self.cx.submit.makes_room(errno, made);
                if again { self.create(entry, &parent, dirty) } else { Err(errno) }
            }) {
                Ok(created) => (created, Values::new()),
                Err(errno) => {
                    self.cx.target_failed(node.target, entry.path(), "create the file", errno);
                    return CopyResult::Failed;
                }
            },
        };
        created.stands = own.stands.filter(|_| created.temporary.is_some());
        let job = FileJob { entry, source, created: &created };
        match self.fill(job, values, &mut permit) {
            Filling::Done(content) => {
                if let Some(temporary) = &created.temporary
                    && let Err(errno) = self
                        .flags
                        .lift_at(&parent, node.id, name)
                        .and_then(|()| look_again(&parent, name, &mut own.stands))
                {
                    self.cx.target_failed(node.target, entry.path(), "lift the flags", errno);
                    // What stays is 0600, and the next attempt finds it by its name.
                    parent.unlink(temporary).ok();
                    return CopyResult::Failed;
                }
                let volume = self.source.volume_of(entry.dir, &source.stat, || Ok(&source.fd));
                self.finish(&entry.with(own), FilledFile { content: *content, volume, created, permit })
            }
            // The journal knows its chunks, and it is 0600.
            Filling::Unfinished => CopyResult::Failed,
            Filling::Nothing => {
                // What is half there must not look like a file: gone, unless even that fails, then 0600.
                if !created.mended {
                    parent.unlink(created.temporary.as_ref().unwrap_or(name)).ok();
                }
                CopyResult::Failed
            }
        }
    }

    /// Makes the file, and marks it as ours before it takes much room.
    fn create(&self, entry: &Entry<'_>, dir: &TargetDir, bytes: u64) -> Result<Created, Errno> {
        let (node, name) = (entry.node(), entry.name);
        let (fd, temporary) = make_beside(dir, name, node.fresh, |name| dir.make_file(name))?;
        let marked = bytes >= MARKED
            && !node.disk.bare
            && mark::set(Holder::file(&fd), self.cx.binding(&entry.path()), Was::Created).is_ok();
        Ok(Created { fd, temporary, mended: false, marked, stands: None })
    }

    /// Copies the content until the source holds still.
    fn fill(&self, job: FileJob<'_>, mut values: Values, permit: &mut Option<Permit>) -> Filling {
        let FileJob { entry, source, created } = job;
        let path = || entry.path();
        let (node, target) = (entry.node(), entry.node().target);
        let unreadable = |errno| {
            self.cx.problem(target, Problem::failed(path(), ProblemKind::Unreadable, "look at again", errno));
            Filling::Nothing
        };
        let driver = self.source.drivers.of(source.stat.dev, &source.fd);
        let SourceLook { stat: mut before, mut settled } = match look(source, source.stat) {
            Ok(look) => look,
            Err(errno) => return unreadable(errno),
        };
        if !before.unchanged_since(&source.stat) {
            // The chunks are those of what it was when it was opened.
            if created.mended {
                return self.never_still(target, path(), 1);
            }
            values.clear();
            // A half that was taken up again holds another state.
            if is_chunked(&source.stat)
                && let Err(errno) = self.chunked.empty(entry, created)
            {
                self.cx.target_failed(target, path(), "truncate", errno);
                return Filling::Nothing;
            }
        }
        for attempt in 1.. {
            let made = self.cx.submit.room_made();
            // Read before the content: if the ctime still stands afterwards, they belong together.
            let attributes = self.source.attributes_of(entry, Holder::file(&source.fd), &before);
            if attempt == 1 && !created.mended {
                meta::apply_at_creation(&created.fd, attributes.flags, node.handed);
            }
            let chunked = is_chunked(&before);
            // Pages of the cache may be older than the stat.
            if driver.may_cache()
                && let Err(errno) = file::evict(&source.fd)
            {
                return unreadable(errno);
            }
            let filled = if chunked {
                // One that grew to this size must not hold what its chunks wait for.
                drop(permit.take());
                self.chunked.fill(job, &before, std::mem::take(&mut values))
            } else {
                data::fill(source.fd.as_fd(), &before, created.fd.as_fd(), &self.cx.rate_limit)
            };
            let twice = !settled || driver.may_hide_changes(&before);
            let filled = if twice { self.read_again(source, &before, filled) } else { filled };
            let filled = if driver.is_fuse() { ends_as_said(source, &before, filled) } else { filled };
            // A write that is under way shows as one change at its beginning; the next one tells.
            let quiet = if driver.may_cache() { QUIET } else { TICK };
            if let Some(left) = until_settled(&before, quiet).filter(|_| filled.is_ok()) {
                std::thread::sleep(left);
            }
            let after = match stat_fd(&source.fd) {
                Ok(after) => after,
                Err(errno) => return unreadable(errno),
            };
            let still = after.unchanged_since(&before);
            let mut again = attempt < ATTEMPTS;
            match filled {
                Ok(filled) if still => {
                    add(&self.source.drivers.read_twice, u64::from(twice && settled));
                    return Filling::Done(Box::new(StillContent { stat: before, attributes, filled }));
                }
                Err(FillFailure::Stopped) if chunked && still => return Filling::Unfinished,
                Err(FillFailure::Stopped) => return Filling::Nothing,
                // Replacements that were not in place yet took their room twice.
                Err(FillFailure::Write(errno))
                    if !created.mended && still && self.cx.submit.makes_room(errno, made) =>
                {
                    again = true;
                }
                Err(FillFailure::Write(errno)) => {
                    self.cx.target_failed(target, path(), "write", errno);
                    let keep = chunked && still && self.cx.stop.is_set();
                    return if keep { Filling::Unfinished } else { Filling::Nothing };
                }
                Err(FillFailure::Read(errno)) if still => {
                    let mut problem = Problem::failed(path(), ProblemKind::Unreadable, "read the source", errno);
                    if chunked && !created.mended {
                        problem.message.push_str("; what could be read stays under its name, unfinished and 0600, and the next run goes on with it");
                    }
                    self.cx.problem(target, problem);
                    // What could be read of a large file need not be read again.
                    return if chunked { Filling::Unfinished } else { Filling::Nothing };
                }
                Err(FillFailure::Length) if still && attempt == ATTEMPTS => {
                    let message = format!(
                        "the source's file system says that it has {} bytes, and reading gives fewer or more; not copied",
                        before.size
                    );
                    self.cx.problem(target, Problem::new(path(), ProblemKind::Unreadable, message));
                    return Filling::Nothing;
                }
                Ok(_) | Err(FillFailure::Read(_) | FillFailure::Length | FillFailure::Differs) => {}
            }
            // What is mended must not become a mixture of two states of the source.
            if !again || created.mended {
                return self.never_still(target, path(), attempt);
            }
            let emptied = if chunked { self.chunked.empty(entry, created) } else { file::set_size(&created.fd, 0) };
            if let Err(errno) = emptied {
                self.cx.target_failed(target, path(), "truncate", errno);
                return Filling::Nothing;
            }
            // As it was opened: the next attempt may see it larger, or with holes.
            if let Err(errno) = file::set_direct(&source.fd, false) {
                return unreadable(errno);
            }
            SourceLook { stat: before, settled } = match look(source, after) {
                Ok(look) => look,
                Err(errno) => return unreadable(errno),
            };
        }
        Filling::Nothing
    }

    /// Reads the source a second time; it counts as changed when that gives other bytes.
    fn read_again(
        &self,
        source: &OpenSource,
        stat: &Stat,
        filled: Result<Filled, FillFailure>,
    ) -> Result<Filled, FillFailure> {
        let filled = filled?;
        // The first reading may have gone past the cache, block by block.
        file::set_direct(&source.fd, false).map_err(FillFailure::Read)?;
        match reread::digest(source.fd.as_fd(), stat, reread::CachedPages::MayBeOld, &self.cx.rate_limit)
            .map_err(FillFailure::Read)?
        {
            Some(digest) if digest == filled.digest => Ok(filled),
            Some(_) => Err(FillFailure::Differs),
            None => Err(FillFailure::Stopped),
        }
    }

    fn never_still(&self, target: u32, path: RelPath, attempts: u32) -> Filling {
        let message = format!(
            "the source changed while it was read ({attempts} times) and was not copied; \
             stop what writes to it, or mount the backup read-only, and run again"
        );
        self.cx.problem(target, Problem::new(path, ProblemKind::ChangedSource, message));
        Filling::Nothing
    }

    fn finish(&self, entry: &Entry<'_>, done: FilledFile) -> CopyResult {
        let (node, name, own) = (entry.node(), entry.name, entry.own);
        let path = || entry.path();
        let StillContent { stat: source, attributes, filled } = done.content;
        let id = SourceId::of_whole(&source, &done.volume, &attributes);
        let mut wanted = Wanted::from_source(&source, attributes, &self.cx.options.keep);
        let fixup = self.rules.put_over_leaf(&mut wanted, entry, &source);
        let holder = Holder::file(&done.created.fd);
        let applied = self.cx.apply_metadata(node, holder, &mut wanted, path);
        let unmarked = |applied: AppliedMetadata| {
            if !done.created.marked {
                return Ok(applied);
            }
            mark::remove(holder)?;
            Ok(AppliedMetadata { stat: stat_fd(&done.created.fd)?, ..applied })
        };
        let AppliedMetadata { stat: target, whole } = match applied.and_then(unmarked) {
            Ok(applied) => applied,
            Err(errno) => {
                self.cx.target_failed(node.target, path(), "finish the copy", errno);
                return CopyResult::Failed;
            }
        };
        if filled.hole_filled && wanted.lost.insert(Unpreserved::Holes) {
            self.cx.lost(node, path(), Unpreserved::Holes);
        }
        own.apart.map(|unpreserved| wanted.lost.insert(unpreserved));
        self.cx.note_rights(&wanted, path);
        fixup.into_iter().for_each(|f| self.rules.fixup_changed(f));
        if let Err(errno) = close(done.created.fd) {
            self.cx.target_failed(node.target, path(), "close", errno);
            return CopyResult::Failed;
        }
        let index = entry.target();
        let tally = self.cx.tally(index);
        add(&tally.copied, 1);
        add(&tally.copied_bytes, filled.bytes);
        let row = Row {
            dir: node.id,
            name: name.as_bytes().to_vec(),
            id: None,
            target: index,
            state: State::Done,
            size: source.size,
            rdev: 0,
            nlink: source.nlink,
            source: id.filter(|_| whole && !own.stopgap),
            dst_ino: target.ino,
            dst_ctime: target.ctime,
            allocated: target.allocated,
            alias: false,
            digest: Some(filled.digest),
            link: None,
            wanted,
            verified: None,
        };
        let replace = done.created.temporary.map(|temporary| node.replacing(temporary, name, own.stands));
        let written = Written::row(row, node.file_system).replacing(replace);
        hand_in(&self.cx.submit, entry, Written { bytes: filled.pending, permit: done.permit, ..written })
    }
}

/// Flags that were lifted have moved the ctime by which a later run knows what stands there.
fn look_again(dir: &TargetDir, name: &Name, stands: &mut Option<Stat>) -> Result<(), Errno> {
    if let Some(then) = stands
        && then.is_immutable_or_append()
    {
        let now = dir.stat_at(name)?;
        if (now.ino, now.size, now.mtime) == (then.ino, then.size, then.mtime) {
            *then = now;
        }
    }
    Ok(())
}

fn ends_as_said(source: &OpenSource, stat: &Stat, filled: Result<Filled, FillFailure>) -> Result<Filled, FillFailure> {
    let filled = filled?;
    match reread::ends_as_said(source.fd.as_fd(), stat).map_err(FillFailure::Read)? {
        true => Ok(filled),
        false => Err(FillFailure::Length),
    }
}

/// What came of filling a file.
enum Filling {
    Done(Box<StillContent>),
    /// The run is ending; the chunks that are there stay for the next one.
    Unfinished,
    /// Nothing to keep; a problem says why, or the run is ending.
    Nothing,
}

/// A source that holds still, and what was read from it.
struct StillContent {
    stat: Stat,
    attributes: Attributes,
    filled: Filled,
}

/// A file that has its content, and neither its metadata nor a row.
struct FilledFile {
    content: StillContent,
    volume: Arc<Volume>,
    created: Created,
    permit: Option<Permit>,
}
