//! The chunks of one large file on their way: read, hashed and written by as many threads as have a slot
//! (`slots.rs`), in the way that is in use.

use super::context::CopyContext;
use super::data::{Fill, FillFailure, Filled, is_hole_filled};
use super::node::DirNode;
use super::slots::{Lane, Slot};
use crate::base::path::Name;
use crate::engine::content::digest::{CHUNK, ChunkHasher, ChunkValue, merge};
use crate::engine::journal::Chunk;
use crate::engine::journal::epoch::Written;
use crate::sys::file;
use crate::sys::raw::wait_written;
use rustix::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

/// The chunks that the target has, by index.
pub(super) type Values = Vec<Option<ChunkValue>>;

/// A file whose chunks are copied.
pub(super) struct ChunkedFile<'a> {
    pub(super) cx: &'a CopyContext,
    pub(super) node: &'a DirNode,
    pub(super) name: &'a Name,
    pub(super) source: BorrowedFd<'a>,
    pub(super) target: BorrowedFd<'a>,
    pub(super) size: u64,
    pub(super) sparse: bool,
    /// The target has every byte already, in blocks that it shares with the source.
    pub(super) shared: bool,
    /// The target already has content, possibly in the holes too.
    pub(super) mended: bool,
    /// The chunks that the target has.
    pub(super) values: Values,
}

/// How the source is read.
#[derive(Clone, Copy)]
pub(super) struct ReadAccess {
    /// With `O_DIRECT`, unless that is refused.
    pub(super) direct: bool,
}

/// The copy of one file.
pub(super) struct ChunkWork<'a> {
    file: ChunkedFile<'a>,
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

/// Chunks that are still to be copied.
struct Missing {
    /// Their indices, in order.
    chunks: Vec<u64>,
    next: AtomicUsize,
}

impl Missing {
    fn next(&self) -> Option<u64> {
        self.chunks.get(self.next.fetch_add(1, Relaxed)).copied()
    }

    fn is_empty(&self) -> bool {
        self.next.load(Relaxed) >= self.chunks.len()
    }
}

impl<'a> ChunkWork<'a> {
    pub(super) fn new(mut file: ChunkedFile<'a>) -> Self {
        let values = std::mem::take(&mut file.values);
        Self { file, done: Mutex::new(ChunksDone { values, ..ChunksDone::default() }), written: AtomicU64::new(0) }
    }

    /// Copies these chunks, unless one fails. Both files are without `O_DIRECT` afterwards.
    pub(super) fn run(&self, lane: &Lane<'_>, chunks: Vec<u64>, access: ReadAccess) -> Result<(), FillFailure> {
        if chunks.is_empty() {
            return Ok(());
        }
        let ChunkedFile { source, target, .. } = self.file;
        let missing = Missing { chunks, next: AtomicUsize::new(0) };
        // O_DIRECT may be refused; that only costs speed.
        let direct_source = access.direct && file::set_direct(source, true).is_ok();
        let mut direct_target = false;
        while !missing.is_empty() && self.done().failure.is_none() {
            let slot = lane.take();
            // All threads write to one open file, so it is changed while there is only this one.
            let wanted = slot.way().kind.is_direct() && !self.file.shared;
            if wanted != direct_target {
                match file::set_direct(target, wanted) {
                    Ok(()) => direct_target = wanted,
                    Err(_) if wanted => {}
                    Err(errno) => return Err(FillFailure::Write(errno)),
                }
            }
            let crew = Crew { lane, missing: &missing, direct: direct_target };
            std::thread::scope(|scope| self.serve(scope, crew, slot));
        }
        [(direct_source, source), (direct_target, target)]
            .into_iter()
            .filter(|(set, _)| *set)
            .try_for_each(|(_, fd)| file::set_direct(fd, false))
            .map_err(FillFailure::Write)
    }

    /// Copies chunks until there are none, or until the way is another.
    fn serve<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, crew: Crew<'scope>, mut slot: Slot<'scope>) {
        while self.done().failure.is_none()
            && let Some(index) = crew.missing.next()
        {
            if !crew.missing.is_empty()
                && let Some(another) = crew.lane.try_take(slot.way().kind)
            {
                let serve = move || self.serve(scope, crew, another);
                // If no thread can be started, those that were copy all chunks.
                std::thread::Builder::new().name("chunks".into()).spawn_scoped(scope, serve).ok();
            }
            if let Err(failure) = self.copy(index, &mut slot, crew.direct) {
                self.done().failure.get_or_insert(failure);
            }
            if !slot.may_go_on() {
                return;
            }
        }
    }

    fn copy(&self, index: u64, slot: &mut Slot<'_>, direct: bool) -> Result<(), FillFailure> {
        let ChunkedFile { cx, node, name, source, target, size, sparse, shared, mended, .. } = self.file;
        let (from, end) = (index * CHUNK, size.min((index + 1) * CHUNK));
        let (value, written, hole) = slot.with_buffer(|buffer, slot| {
            let mut fill = Fill {
                source,
                target,
                buffer,
                hasher: ChunkHasher::new(index),
                rate_limit: &cx.run.rate_limit,
                shared,
                written: 0,
                hole: None,
                direct,
                slot: Some(slot),
            };
            // Where no hole can be punched, zeros are written into it.
            let hollow = !mended || file::punch_hole(target, from, end - from).is_ok();
            if sparse && hollow {
                fill.sparse(from, end)?;
            } else if fill.extent(from, end)? < end {
                // It has become shorter, which the next stat of the source will show.
                return Err(FillFailure::Length);
            }
            Ok((fill.hasher.finish(), fill.written, fill.hole))
        })?;
        if !direct && !shared {
            // What is written at once need not be written at the end of the epoch, nor kept in memory.
            wait_written(target, from, end - from).map_err(FillFailure::Write)?;
            file::evict_range(target, from, end - from).ok();
        }
        self.written.fetch_add(written, Relaxed);
        let mut done = self.done();
        done.hole = done.hole.into_iter().chain(hole).min();
        if let Some(slot) = usize::try_from(index).ok().and_then(|i| done.values.get_mut(i)) {
            *slot = Some(value);
        }
        drop(done);
        // Written is not durable: the permit bounds what a kill repeats.
        let permit = cx.submit.gate.acquire(end - from);
        cx.submit.send(Written::chunk(Chunk::new(node.id, name, index, value), node.file_system, written, permit));
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Filled, FillFailure> {
        let done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = done.failure {
            return Err(failure);
        }
        let values: Option<Vec<ChunkValue>> = done.values.into_iter().collect();
        // Every chunk is there when none has failed.
        let digest = values.and_then(|values| merge(&values, self.file.size)).ok_or(FillFailure::Stopped)?;
        let hole_filled = is_hole_filled(self.file.target, done.hole)?;
        let bytes = self.written.into_inner();
        let shared = if self.file.shared { bytes } else { 0 };
        Ok(Filled { digest, bytes, shared, pending: 0, hole_filled })
    }

    fn done(&self) -> MutexGuard<'_, ChunksDone> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all threads of a file share.
#[derive(Clone, Copy)]
struct Crew<'a> {
    lane: &'a Lane<'a>,
    missing: &'a Missing,
    /// The target is open with `O_DIRECT`.
    direct: bool,
}
