//! The target side of a directory at its end: it gets its metadata when everything in it is
//! finished.

use super::context::AppliedMetadata;
use super::dir_metadata::{DirMetadata, PostVisit};
use super::directories::Directories;
use super::node::DirNode;
use crate::engine::compare::recorded::has_wanted;
use crate::engine::events::counters::add;
use crate::engine::events::operation::Operation;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Row, RowKey, State};
use crate::engine::meta::mark;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::flags::Flags;
use crate::sys::xattr::Holder;
use std::sync::{Arc, PoisonError};

impl Directories {
    /// Ends one task of `node`; leaves it and every parent that this finishes.
    pub(super) fn release(&self, node: Arc<DirNode>) {
        let mut node = Some(node);
        while let Some(here) = node.take() {
            if !here.release() {
                return;
            }
            if here.is_late() {
                self.late.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&here));
            } else {
                self.post_visit(&here);
            }
            here.close();
            node = here.parent.clone();
        }
    }

    /// Leaves the directories whose entries were renamed into place.
    pub(super) fn post_visit_late(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        late.iter().for_each(|node| self.post_visit(node));
    }

    fn post_visit(&self, node: &DirNode) {
        // An unfinished directory keeps 0700 and its open row.
        if self.cx.run.stop.is_set() {
            return;
        }
        let path = || node.path();
        let metadata = match &node.post_visit {
            PostVisit::Nothing => return,
            PostVisit::InPlace(found) => {
                return self.record_in_place(node, found).unwrap_or_else(|errno| {
                    self.cx.target_failed(node.target, path(), Operation::FinishDirectory, errno);
                });
            }
            PostVisit::Apply(metadata) => metadata,
        };
        let dir = match node.open() {
            Ok(dir) => dir,
            Err(errno) => return self.cx.target_failed(node.target, path(), Operation::OpenFinished, errno),
        };
        let result = self.apply_to_directory(node, metadata, &dir);
        if let Err(errno) = result {
            self.cx.target_failed(node.target, path(), Operation::FinishDirectory, errno);
        }
    }

    fn apply_to_directory(&self, node: &DirNode, metadata: &DirMetadata, dir: &TargetDir) -> Result<(), Errno> {
        if let Some(prior) = self.finished(node, metadata, dir)? {
            self.keep(node, metadata, prior);
            return Ok(());
        }
        if let Some(found) = &metadata.altered {
            self.count_kept(node, metadata);
            return self.restore_altered(node, found, metadata.prior.as_ref(), dir);
        }
        let mut wanted = metadata.wanted.clone();
        if metadata.moved && !node.is_filled() {
            wanted.mtime = None;
            if let Some(prior) = &metadata.prior
                && self.settle_moved(node, &wanted, prior, dir)
            {
                self.keep(node, metadata, prior);
                return Ok(());
            }
        }
        let AppliedMetadata { mut stat, whole } =
            self.cx.apply_metadata(node, Holder::file(dir), &mut wanted, || node.path())?;
        if node.is_marked() {
            // After the mode: until then only the mark explains what a kill leaves.
            mark::remove(Holder::file(dir))?;
            stat = dir.stat()?;
        }
        if let Some(fixup) = metadata.fixup {
            self.rules.fixup_changed(fixup);
        }
        if metadata.counted {
            // Setting its times again after a change inside does not count as copying it.
            let same = metadata.prior.as_ref().is_some_and(|p| p.state == State::Done && p.source == metadata.source);
            let tally = self.cx.tally(node.target);
            add(if same { &tally.skipped } else { &tally.copied }, 1);
        }
        // Names that somebody has taken from it would count as lost otherwise, as this run moves its times.
        if metadata.unexplained {
            wanted.mtime = None;
        }
        // What the source lacks here may be on a disk that is not mounted: which one that was stays recorded.
        let prior = metadata.prior.as_ref().filter(|_| node.is_emptied());
        let source = prior.map_or(metadata.source, |prior| prior.source).filter(|_| whole);
        let row = Row::directory(key_of(node), node.id, source, &stat, wanted);
        self.cx.submit.send(Written::row(row, node.file_system));
        Ok(())
    }

    /// Its row, if an earlier run finished it and it still has all that is wanted.
    fn finished<'m>(
        &self,
        node: &DirNode,
        metadata: &'m DirMetadata,
        dir: &TargetDir,
    ) -> Result<Option<&'m Row>, Errno> {
        let mut now = dir.stat()?;
        let Some(prior) = &metadata.prior else { return Ok(None) };
        if !prior.wanted.flags.intersection(Flags::IMMUTABLE_OR_APPEND).is_empty() {
            // Lifting the immutable flag, which is set again at the end of the run, has moved it.
            now.ctime = prior.dst_ctime;
        }
        let finished = prior.state == State::Done
            // A directory that was incomplete, or could not be read completely, gets its metadata again.
            && (prior.source.is_some() || metadata.source.is_none())
            && !(self.cx.options.overwrite && Self::is_another_source(prior, metadata) && !node.is_emptied())
            // If it was closed to be filled, its row says "open" whatever its stat says.
            && !node.is_closed()
            && prior.target_unchanged(&now, node.disk)
            && has_wanted(prior, &node.path(), &metadata.wanted, &now);
        Ok(finished.then_some(prior))
    }

    /// True where the source has another directory than the recorded one.
    fn is_another_source(prior: &Row, metadata: &DirMetadata) -> bool {
        prior.source.zip(metadata.source).is_some_and(|(then, now)| !then.is_same_inode(&now))
    }

    /// Leaves it as `prior` has it.
    fn keep(&self, node: &DirNode, metadata: &DirMetadata, prior: &Row) {
        self.count_kept(node, metadata);
        prior.wanted.lost.each().for_each(|unpreserved| self.cx.lost(node, node.path(), unpreserved));
    }

    fn count_kept(&self, node: &DirNode, metadata: &DirMetadata) {
        if metadata.counted {
            add(&self.cx.tally(node.target).skipped, 1);
        }
    }
}

/// The name that a directory is recorded under.
pub(super) fn key_of(node: &DirNode) -> RowKey<'_> {
    RowKey {
        dir: node.parent.as_ref().map_or(0, |parent| parent.id),
        name: node.name.as_ref().map_or(&[], |name| name.as_bytes()),
        target: node.target,
    }
}
