//! Large files: 16 MiB chunks, copied a few at a time and recorded one by one, so
//! that a resume goes on at the first missing chunk and a repair copies only the
//! bad ones.
//!
//! Both sides bypass the page cache where they can. A last chunk that is not a multiple of the
//! block size is copied by itself at the end, through the cache: its tail cannot be written
//! with `O_DIRECT`.

use super::context::CopyContext;
use super::data::{Fill, FillFailure, Filled, has_hole, is_direct, is_hole_filled};
use super::entry::CopyEntry;
use super::immutable::ImmutableFlags;
use super::job::{Created, FileJob, OpenSource};
use super::node::DirNode;
use super::source::SourceTree;
use crate::base::path::Name;
use crate::engine::content::buffer::{ALIGN, with_buffer};
use crate::engine::content::digest::{Algorithm, CHUNK, ChunkHasher, ChunkValue, chunks_of, merge};
use crate::engine::content::medium::read_chunk;
use crate::engine::content::reread;
use crate::engine::events::counters::add;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{CHUNKED, Chunk, Proof, Row, RowKey, SourceId, State};
use crate::engine::meta::{Attributes, Wanted};
use crate::engine::tree::temporary::temporary_name;
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::{Errno, effective_ids, file};
use rustix::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Chunks of one file that are copied at a time: enough to keep a device's queue filled.
const AT_ONCE: usize = 4;
/// Chunks that are read again before the others are trusted.
const PROBED: usize = 2;

/// The chunks that the target has, by index.
pub(super) type Values = Vec<Option<ChunkValue>>;

/// Those that the journal has, with their indices.
type IndexedChunks = Vec<(u64, ChunkValue)>;

/// True for a file that is copied in chunks.
pub(super) fn is_chunked(stat: &Stat) -> bool {
    let holes = stat.size.saturating_sub(stat.allocated);
    stat.size >= CHUNKED && Algorithm::for_holes(holes) == Algorithm::Blake3
}

/// The copy of one file.
struct ChunkWork<'a> {
    cx: &'a CopyContext,
    node: &'a DirNode,
    name: &'a Name,
    source: BorrowedFd<'a>,
    target: BorrowedFd<'a>,
    size: u64,
    sparse: bool,
    /// The target already has content, possibly in the holes too.
    mended: bool,
    /// The target is open with `O_DIRECT`.
    direct: bool,
    /// Indices that are missing, in their order.
    missing: Vec<u64>,
    next: AtomicUsize,
    done: Mutex<ChunksDone>,
    written: AtomicU64,
}

#[derive(Default)]
struct ChunksDone {
    values: Values,
    failure: Option<FillFailure>,
    /// The first large hole.
    hole: Option<u64>,
}

/// Reserves the blocks of the whole file, where that is possible; `target` is what it was before.
fn reserve(to: BorrowedFd<'_>, size: u64, target: &Stat) -> Result<(), Errno> {
    match file::reserve(to, size) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        // XFS wants the whole length free, even if an earlier run has reserved it. The writes will tell.
        Err(Errno::NOSPC | Errno::DQUOT) if target.allocated > 0 => Ok(()),
        Err(errno) => {
            // ext4 keeps what it got, beyond the end of the file: the whole disk, down to the journal's last block.
            file::set_size(to, target.size)?;
            Err(errno)
        }
    }
}

/// Copies files in chunks, and goes on with what an earlier run left of one.
pub(super) struct ChunkedFiles {
    pub(super) cx: Arc<CopyContext>,
    pub(super) source: Arc<SourceTree>,
    pub(super) flags: Arc<ImmutableFlags>,
}

impl ChunkedFiles {
    /// What an earlier run left of a large file: the copy and its chunks. `None` when there is
    /// nothing, when it cannot be trusted, or when the run is ending.
    pub(super) fn unfinished(
        &self,
        entry: &CopyEntry<'_>,
        parent: &TargetDir,
        source: &OpenSource,
    ) -> Option<(Created, Values)> {
        let (node, name, stat) = (entry.node(), entry.name, &source.stat);
        let volume = self.source.volume_of(entry.dir, stat, || Ok(&source.fd));
        let (row, mut chunks) = self.recorded(entry, |row| row.source_proof(stat, &volume) != Proof::Changed)?;
        let created = self.reopen(parent, entry, &row)?;
        let at = created.temporary.as_ref().unwrap_or(name);
        let holds = |(index, value): &(u64, ChunkValue)| {
            read_chunk(parent, at, *index, stat.size, &self.cx.run.rate_limit).is_ok_and(|found| found == *value)
        };
        let proof = row.source_proof(stat, &volume);
        let recorded = chunks.len();
        if matches!(proof, Proof::Unproven(_)) {
            self.retain_same(source, &mut chunks)?;
        }
        // A finished file is not repaired into another state of its source.
        let changed = proof == Proof::Changed || created.mended && chunks.len() < recorded;
        let begin = || self.cx.records.ask(self.cx.run.journal.begin_mending(node.id, name));
        let in_place = row.state == State::Replacing && created.temporary.is_none();
        let holding = chunks.iter().rev().take(PROBED).all(holds);
        if self.cx.run.stop.is_set() {
            // Reading again may have been cut short: that is no reason to give anything up.
            return None;
        }
        if changed || chunks.is_empty() || !holding {
            // The inode can still be used: its blocks are allocated, and nobody reads it. A finished
            // file is replaced as a whole instead.
            if in_place {
                begin()?;
            }
            let emptied = !created.mended && self.empty(entry, &created).is_ok();
            return emptied.then(|| (created, Values::new()));
        }
        // Writing moves the times, which would look like somebody's change to a later run.
        if created.mended || in_place && (chunks.len() as u64) < chunks_of(stat.size) {
            begin()?;
        }
        let mut values = vec![None; usize::try_from(chunks_of(stat.size)).ok()?];
        for (index, value) in &chunks {
            *values.get_mut(usize::try_from(*index).ok()?)? = Some(*value);
        }
        let present = chunks.iter().map(|(index, _)| CHUNK.min(stat.size.saturating_sub(index * CHUNK))).sum();
        add(&self.cx.tally(node.target).reused_bytes, present);
        Some((created, values))
    }

    /// The row of an unfinished copy, or of a finished one with bad chunks of the `same` state of
    /// the source, and its chunks.
    fn recorded(&self, entry: &CopyEntry<'_>, same: impl Fn(&Row) -> bool) -> Option<(Row, IndexedChunks)> {
        self.cx.records.with_reader(|reader| {
            let row = self.cx.records.ask(reader?.find(entry.node().id, entry.name)).flatten();
            // A partial copy of another state of the source is used as an empty one: its blocks are allocated.
            let usable = |row: &Row| row.is_resumable() || row.state == State::Bad && same(row) && row.has_chunks();
            let row = row.filter(usable)?;
            let chunks = self.cx.records.ask(reader?.chunks(row.dir, &row.name))?;
            Some((row, chunks))
        })
    }

    /// Keeps the chunks that the source, read again, has as well.
    fn retain_same(&self, source: &OpenSource, chunks: &mut IndexedChunks) -> Option<()> {
        let stat = &source.stat;
        if self.source.drivers.of(stat.dev, &source.fd).may_cache() {
            file::evict(&source.fd).ok()?;
        }
        let same = |index| reread::chunk(source.fd.as_fd(), index, stat.size, &self.cx.run.rate_limit).ok().flatten();
        chunks.retain(|(index, value)| same(*index) == Some(*value));
        Some(())
    }

    /// Empties the inode of an unfinished copy; the journal forgets its chunks first.
    pub(super) fn empty(&self, entry: &CopyEntry<'_>, created: &Created) -> Result<(), Errno> {
        self.cx.submit.flush();
        // A failing journal has already ended the run.
        self.cx.records.ask(self.cx.run.journal.forget_chunks(entry.node().id, entry.name)).ok_or(Errno::CANCELED)?;
        file::set_size(&created.fd, 0)
    }

    /// The inode of `row`, under its own or its temporary name.
    fn reopen(&self, parent: &TargetDir, entry: &CopyEntry<'_>, row: &Row) -> Option<Created> {
        let name = entry.name;
        let temporary = temporary_name(name);
        if row.state != State::Bad {
            // Still ours, or already its owner's if a kill came while metadata was applied; a file that
            // somebody else made under the same inode number is neither.
            let owners = [Some(effective_ids().0), row.wanted.owner.map(|(uid, _)| uid)];
            let ours =
                |stat: &Stat| (stat.kind, stat.ino) == (Kind::File, row.dst_ino) && owners.contains(&Some(stat.uid));
            for at in [Some(temporary), None] {
                let Ok(fd) = parent.open_to_write(at.as_ref().unwrap_or(name)) else { continue };
                if stat_fd(&fd).is_ok_and(|stat| ours(&stat)) {
                    return Some(Created { fd, temporary: at, mended: false, marked: true, stands: None });
                }
            }
            return None;
        }
        self.flags.lift_at(parent, entry.node().id, name).ok()?;
        let fd = parent.open_to_write(name).ok()?;
        let stat = stat_fd(&fd).ok()?;
        let same = (stat.kind, stat.size) == (Kind::File, row.size) && row.dst_ino == stat.ino;
        // Holes that were filled come back only with a new inode.
        (same && row.digest.is_some() && !row.is_dense(&stat)).then_some(Created {
            fd,
            temporary: None,
            mended: true,
            marked: false,
            stands: None,
        })
    }

    /// Copies the chunks that `values` lacks.
    pub(super) fn fill(&self, job: FileJob<'_>, before: &Stat, values: Values) -> Result<Filled, FillFailure> {
        let FileJob { entry, source, created } = job;
        let (from, to) = (source.fd.as_fd(), created.fd.as_fd());
        let target = stat_fd(to).map_err(FillFailure::Write)?;
        let size = before.size;
        let chunks = chunks_of(size);
        let values = if values.is_empty() { vec![None; usize::try_from(chunks).unwrap_or(usize::MAX)] } else { values };
        if values.iter().all(Option::is_none) {
            let id = SourceId::of(before, &self.source.volume_of(entry.dir, before, || Ok(from)));
            self.announce_unfinished(job, before, id, target.ino);
            if !created.marked {
                // Only its row identifies it when a kill leaves it with all its space reserved.
                self.cx.submit.flush();
            }
        }
        // If it cannot be read, what was announced is used.
        let sparse = before.allocated < size || has_hole(from, size)?;
        // A complete one keeps its times: a kill before it is recorded must not make it look changed.
        if values.iter().any(Option::is_none) {
            if !sparse {
                reserve(to, size, &target).map_err(FillFailure::Write)?;
            }
            // Its whole size from the start: chunks come in any order, and a hole at the end needs nothing more.
            file::set_size(to, size).map_err(FillFailure::Write)?;
        }
        let aligned = |align| !sparse && is_direct(align);
        // O_DIRECT may be refused; that only costs speed.
        let direct_source = aligned(before.dio_align) && file::set_direct(from, true).is_ok();
        let direct = aligned(target.dio_align) && file::set_direct(to, true).is_ok();
        let missing = values.iter().zip(0..).filter(|(value, _)| value.is_none()).map(|(_, index)| index);
        let (tail, missing): (Vec<u64>, Vec<u64>) =
            missing.partition(|index| index + 1 == chunks && !size.is_multiple_of(ALIGN as u64));
        let mut work = ChunkWork {
            cx: &self.cx,
            node: entry.node(),
            name: entry.name,
            source: from,
            target: to,
            size,
            sparse,
            mended: created.mended,
            direct,
            missing,
            next: AtomicUsize::new(0),
            done: Mutex::new(ChunksDone { values, ..ChunksDone::default() }),
            written: AtomicU64::new(0),
        };
        work.run(self.cx.options.threads.min(AT_ONCE));
        let cleared = [(direct_source, from), (direct, to)]
            .into_iter()
            .filter(|(set, _)| *set)
            .try_for_each(|(_, fd)| file::set_direct(fd, false));
        cleared.map_err(FillFailure::Write)?;
        work.direct = false;
        (work.missing, work.next) = (tail, AtomicUsize::new(0));
        work.run(1);
        // A large source file is not read again: its pages would only push out others.
        file::evict(from).ok();
        work.finish()
    }

    /// Tells the journal that the file is being copied, and that no chunk of an earlier attempt
    /// counts.
    fn announce_unfinished(&self, job: FileJob<'_>, source: &Stat, id: SourceId, ino: u64) {
        let (node, name, stands) = (job.entry.node(), job.entry.name, job.created.stands);
        let key = RowKey { dir: node.id, name: name.as_bytes(), target: node.target };
        let wanted = Wanted::from_source(source, Attributes::default(), &self.cx.options.keep);
        let row = Row::unfinished(key, (source, id), wanted, ino, stands);
        self.cx.submit.send(Written::row(row, node.file_system));
    }
}

impl ChunkWork<'_> {
    /// Copies the missing chunks, `at_once` of them at a time.
    fn run(&self, at_once: usize) {
        std::thread::scope(|scope| {
            for _ in 1..at_once.min(self.missing.len()) {
                let started = std::thread::Builder::new().name("chunks".into()).spawn_scoped(scope, || self.serve());
                if started.is_err() {
                    // The threads that did start, this one among them, copy all chunks.
                    break;
                }
            }
            self.serve();
        });
    }

    fn serve(&self) {
        while let Some(index) = self.missing.get(self.next.fetch_add(1, Relaxed)) {
            if self.done().failure.is_some() {
                return;
            }
            if let Err(failure) = self.copy(*index) {
                self.done().failure.get_or_insert(failure);
                return;
            }
        }
    }

    fn copy(&self, index: u64) -> Result<(), FillFailure> {
        let (from, end) = (index * CHUNK, self.size.min((index + 1) * CHUNK));
        // O_DIRECT leaves nothing dirty, but nothing durable either: the permit bounds what a kill repeats.
        let permit = self.cx.submit.gate.acquire(end - from);
        let (value, written, hole) = with_buffer(|buffer| {
            let mut fill = Fill {
                source: self.source,
                target: self.target,
                buffer,
                hasher: ChunkHasher::new(index),
                rate_limit: &self.cx.run.rate_limit,
                written: 0,
                hole: None,
                direct: self.direct,
            };
            // Where no hole can be punched, zeros are written into it.
            let hollow = !self.mended || file::punch_hole(self.target, from, end - from).is_ok();
            if self.sparse && hollow {
                fill.sparse(from, end)?;
            } else if fill.extent(from, end)? < end {
                // It has become shorter, which the next stat of the source will show.
                return Err(FillFailure::Length);
            }
            Ok((fill.hasher.finish(), fill.written, fill.hole))
        })?;
        self.written.fetch_add(written, Relaxed);
        let mut done = self.done();
        done.hole = done.hole.into_iter().chain(hole).min();
        if let Some(slot) = usize::try_from(index).ok().and_then(|i| done.values.get_mut(i)) {
            *slot = Some(value);
        }
        drop(done);
        let node = self.node;
        let chunk = Chunk::new(node.id, self.name, index, value);
        self.cx.submit.send(Written::chunk(chunk, node.file_system, written, permit));
        Ok(())
    }

    fn finish(self) -> Result<Filled, FillFailure> {
        let done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = done.failure {
            return Err(failure);
        }
        let values: Option<Vec<ChunkValue>> = done.values.into_iter().collect();
        // Every chunk is there when none has failed.
        let digest = values.and_then(|values| merge(&values, self.size)).ok_or(FillFailure::Stopped)?;
        let hole_filled = is_hole_filled(self.target, done.hole)?;
        Ok(Filled { digest, bytes: self.written.into_inner(), pending: 0, hole_filled })
    }

    fn done(&self) -> std::sync::MutexGuard<'_, ChunksDone> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
