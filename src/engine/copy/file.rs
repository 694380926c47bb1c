//! The life of one regular file, from top to bottom: open the source, create (0600), copy and
//! hash, check the source again, then owner, attributes, times and mode, and hand it to the
//! epoch.

use super::chunk_work::Values;
use super::context::{AppliedMetadata, CopyContext};
use super::create::make_beside;
use super::damaged::{DamagedCopy, rotten_source};
use super::directories::Directories;
use super::entry::CopyEntry;
use super::filling::{Contents, Filling, StillContent};
use super::hand_in::hand_in;
use super::immutable::ImmutableFlags;
use super::job::{Created, FileJob, OpenSource};
use super::large::is_chunked;
use super::link::CopyResult;
use super::rules::Rules;
use super::source::SourceTree;
use crate::base::path::Name;
use crate::engine::events::counters::add;
use crate::engine::events::operation::Operation;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::epoch::{Permit, Written};
use crate::engine::journal::{InodePair, Row, RowKey, SourceId};
use crate::engine::meta::mark::Was;
use crate::engine::meta::{Wanted, mark};
use crate::engine::volume::Volume;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::raw::close;
use crate::sys::stat::{Stat, stat_fd};
use crate::sys::xattr::Holder;
use std::sync::Arc;

/// Files with at least this many bytes of data are marked before space is allocated; what a
/// kill leaves of a smaller one takes no space worth recovering.
const MARKED: u64 = 1 << 20;

/// Copies regular files.
pub(super) struct RegularFiles {
    pub(super) cx: Arc<CopyContext>,
    pub(super) source: Arc<SourceTree>,
    pub(super) rules: Arc<Rules>,
    pub(super) directories: Arc<Directories>,
    pub(super) flags: Arc<ImmutableFlags>,
    pub(super) contents: Contents,
}

impl RegularFiles {
    /// Copies the open `source`, whatever its links.
    pub(super) fn copy(&self, entry: &CopyEntry<'_>, source: &OpenSource) -> CopyResult {
        let (node, name, mut own) = (entry.node(), entry.name, entry.own);
        let Ok(parent) = self
            .directories
            .open_to_fill(node)
            .map_err(|e| self.cx.target_failed(node.target, node.path(), Operation::OpenDirectory, e))
        else {
            return CopyResult::Failed;
        };
        let chunked = is_chunked(&source.stat);
        let damaged = DamagedCopy::of(&self.cx, entry);
        let volume = self.source.volume_of(entry.dir, &source.stat, || Ok(&source.fd));
        if chunked && damaged.has_rotten_source(&source.stat, &volume, |row| self.contents.chunked.digest(source, row))
        {
            // Before anything is recorded of another copy: the record of the damaged one must stay.
            self.cx.problem(node.target, rotten_source(entry.path()));
            return CopyResult::Failed;
        }
        let made = self.cx.submit.room_made();
        let unfinished = if chunked { self.contents.chunked.unfinished(entry, &parent, source) } else { None };
        if chunked && unfinished.is_none() && self.cx.run.stop.is_set() {
            return CopyResult::Failed;
        }
        // Chunks acquire their own permits.
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
                    self.cx.target_failed(node.target, entry.path(), Operation::CreateFile, errno);
                    return CopyResult::Failed;
                }
            },
        };
        created.stands = own.stands.there.filter(|_| created.temporary.is_some());
        let may_share = !created.mended && !damaged.is_any();
        let job = FileJob { entry, source, created: &created, may_share };
        match self.contents.fill(job, values, &mut permit) {
            Filling::Done(content) => {
                let read = content.filled.digest;
                if !created.mended && damaged.has_rotten_source(&content.stat, &volume, |_| Some(read)) {
                    self.cx.problem(node.target, rotten_source(entry.path()));
                    parent.unlink(created.temporary.as_ref().unwrap_or(name)).ok();
                    return CopyResult::Failed;
                }
                if let Some(temporary) = &created.temporary
                    && let Err(errno) = self
                        .flags
                        .lift_at(&parent, node.id, name)
                        .and_then(|()| look_again(&parent, name, &mut own.stands.there))
                {
                    self.cx.target_failed(node.target, entry.path(), Operation::LiftFlags, errno);
                    // If that fails, what is left is 0600, and the next attempt finds it by its name.
                    parent.unlink(temporary).ok();
                    return CopyResult::Failed;
                }
                self.finish(&entry.with(own), FilledFile { content: *content, volume, created, permit })
            }
            // The journal knows its chunks, and it is 0600.
            Filling::Unfinished => CopyResult::Failed,
            Filling::Nothing => {
                // A partial copy must not look like a file: remove it; if even that fails it stays 0600.
                if !created.mended {
                    parent.unlink(created.temporary.as_ref().unwrap_or(name)).ok();
                }
                CopyResult::Failed
            }
        }
    }

    /// Makes the file, and marks it as ours before it takes much space.
    fn create(&self, entry: &CopyEntry<'_>, dir: &TargetDir, bytes: u64) -> Result<Created, Errno> {
        let (node, name) = (entry.node(), entry.name);
        let (fd, temporary) = make_beside(dir, name, node.fresh, |name| dir.make_file(name))?;
        let marked = bytes >= MARKED
            && !node.disk.bare
            && mark::set(Holder::file(&fd), self.cx.binding(&entry.path()), Was::Created).is_ok();
        Ok(Created { fd, temporary, mended: false, marked, stands: None })
    }

    fn finish(&self, entry: &CopyEntry<'_>, done: FilledFile) -> CopyResult {
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
                self.cx.target_failed(node.target, path(), Operation::FinishCopy, errno);
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
            self.cx.target_failed(node.target, path(), Operation::Close, errno);
            return CopyResult::Failed;
        }
        let index = entry.target();
        let tally = self.cx.tally(index);
        add(&tally.copied, 1);
        add(&tally.copied_bytes, filled.bytes);
        add(&tally.shared_bytes, filled.shared);
        let key = RowKey { dir: node.id, name: name.as_bytes(), target: index };
        let id = id.filter(|_| whole && !own.stopgap);
        let row = Row::file(key, InodePair { source: &source, id, target: &target, wanted }, filled.digest);
        let replace = done.created.temporary.map(|temporary| node.replacing(temporary, name, own.stands));
        let written = Written::row(row, node.file_system).replacing(replace);
        hand_in(&self.cx.submit, entry, Written { bytes: filled.pending, permit: done.permit, ..written })
    }
}

/// Lifting flags has moved the ctime by which a later run recognises what is there.
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

/// A file that has its content, but no metadata and no row yet.
struct FilledFile {
    content: StillContent,
    volume: Arc<Volume>,
    created: Created,
    permit: Option<Permit>,
}
