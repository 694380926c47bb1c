//! Large files: 16 MiB chunks, copied a few at a time (`chunk_work.rs`) and recorded one by one, so
//! that a resume goes on at the first missing chunk and a repair copies only the
//! bad ones.
//!
//! A last chunk that is not a multiple of the block size is copied by itself at the end, through the
//! cache: its tail cannot be written with `O_DIRECT`.

use super::chunk_work::{ChunkWork, ChunkedFile, ReadAccess, Values};
use super::context::CopyContext;
use super::data::{FillFailure, Filled, has_hole, is_direct};
use super::entry::CopyEntry;
use super::immutable::ImmutableFlags;
use super::job::{Created, FileJob, OpenSource};
use super::slots::{DevicePair, Slots};
use super::source::SourceTree;
use crate::engine::content::buffer::ALIGN;
use crate::engine::content::digest::{Algorithm, CHUNK, ChunkValue, Digest, chunks_of, merge};
use crate::engine::content::medium::read_chunk;
use crate::engine::content::reread;
use crate::engine::events::counters::add;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{CHUNKED, Proof, Reader, Row, RowKey, SourceId, State};
use crate::engine::meta::{Attributes, Wanted};
use crate::engine::tree::temporary::temporary_name;
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::{Errno, effective_ids, file};
use rustix::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Chunks that are read again before the others are trusted.
const PROBED: usize = 2;

/// Those that the journal has, with their indices.
type IndexedChunks = Vec<(u64, ChunkValue)>;

/// True for a file that is copied in chunks.
pub(super) fn is_chunked(stat: &Stat) -> bool {
    let holes = stat.size.saturating_sub(stat.allocated);
    stat.size >= CHUNKED && Algorithm::for_holes(holes) == Algorithm::Blake3
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
    pub(super) slots: Arc<Slots>,
}

impl ChunkedFiles {
    /// What an earlier run left of a large file: the copy and its chunks. `None` when there is
    /// nothing, when it cannot be trusted, or when the run is ending.
    pub(super) fn unfinished(
        &self,
        entry: &CopyEntry<'_>,
        parent: &TargetDir,
        source: &OpenSource<'_>,
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
    fn retain_same(&self, source: &OpenSource<'_>, chunks: &mut IndexedChunks) -> Option<()> {
        let stat = &source.stat;
        if self.source.drivers.of(stat.dev, &source.fd).may_cache() {
            file::evict(&source.fd).ok()?;
        }
        let same = |index| reread::chunk(source.fd.as_fd(), index, stat.size, &self.cx.run.rate_limit).ok().flatten();
        chunks.retain(|(index, value)| same(*index) == Some(*value));
        Some(())
    }

    /// The digest of a source that is what `row` was made from: of the chunks that are known to be good it is that of
    /// the copy, the others are read. `None` when that fails, or when the run is ending.
    pub(super) fn digest(&self, source: &OpenSource<'_>, row: &Row) -> Option<Digest> {
        let size = source.stat.size;
        let mut values = vec![None; usize::try_from(chunks_of(size)).ok()?];
        let ask = |reader: &Reader| reader.chunks(row.dir, &row.name);
        for (index, value) in self.cx.records.with_reader(|reader| self.cx.records.ask(ask(reader?)))? {
            *values.get_mut(usize::try_from(index).ok()?)? = Some(value);
        }
        for (index, value) in (0..).zip(&mut values).filter(|(_, value)| value.is_none()) {
            *value = reread::chunk(source.fd.as_fd(), index, size, &self.cx.run.rate_limit).ok()?;
            value.as_ref()?;
        }
        merge(&values.into_iter().flatten().collect::<Vec<_>>(), size)
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

    /// Copies the chunks that `values` lacks; if `share` says so it shares the blocks of all.
    pub(super) fn fill(
        &self,
        job: FileJob<'_>,
        before: &Stat,
        values: Values,
        share: impl FnOnce(u64) -> Result<bool, FillFailure>,
    ) -> Result<Filled, FillFailure> {
        let FileJob { entry, source, created, .. } = job;
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
        let mut shared = false;
        if values.iter().any(Option::is_none) {
            shared = share(target.dev)?;
            if !sparse && !shared {
                reserve(to, size, &target).map_err(FillFailure::Write)?;
            }
            // Its whole size from the start: chunks come in any order, and a hole at the end needs nothing more.
            file::set_size(to, size).map_err(FillFailure::Write)?;
        }
        let aligned = |align| !sparse && is_direct(align);
        let missing = values.iter().zip(0..).filter(|(value, _)| value.is_none()).map(|(_, index)| index);
        let (tail, missing): (Vec<u64>, Vec<u64>) =
            missing.partition(|index| index + 1 == chunks && !size.is_multiple_of(ALIGN as u64));
        let pair = DevicePair { source: before.dev, target: target.dev, direct: aligned(target.dio_align), shared };
        let work = ChunkWork::new(ChunkedFile {
            cx: &self.cx,
            node: entry.node(),
            name: entry.name,
            source: from,
            target: to,
            size,
            sparse,
            shared,
            mended: created.mended,
            values,
        });
        let lane = self.slots.lane(pair);
        work.run(&lane, missing, ReadAccess { direct: aligned(before.dio_align) })?;
        // Its end goes through the cache: it is no whole block.
        work.run(&self.slots.lane(DevicePair { direct: false, ..pair }), tail, ReadAccess { direct: false })?;
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
