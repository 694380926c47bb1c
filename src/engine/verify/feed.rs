//! Reads the journal's rows, and hands them to the threads in batches of one directory.

use super::batch::{Batch, RowOrigin};
use super::place::Place;
use super::together::read_together;
use super::verdicts::Verdicts;
use super::{Depth, Scope, Verifier};
use crate::base::clock;
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::CheckedDir;
use crate::engine::content::read_ahead::ReadAhead;
use crate::engine::journal::{AcceptedAs, JournalError, Reader, Row};
use crate::sys::dir::open_target;
use crate::sys::leads_nowhere;
use crate::sys::read_batch::FILES;
use crossbeam_channel::Sender;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::iter::Peekable;

const PAGE: u32 = 512;
/// Attributes can take 64 KiB each: a batch with this many bytes is full.
const BATCH_BYTES: u64 = 256 << 10;
/// So is one with this much content: the next file is read by another thread at the same time.
const BATCH_CONTENT: u64 = 64 << 20;

/// The next rows, as many as make up a batch; all are in `dir`.
fn next_batch(rows: &mut Peekable<impl Iterator<Item = Row>>, dir: i64, origin: RowOrigin) -> Batch {
    let (mut batch, mut bytes, mut content) = (Batch { dir, rows: Vec::new(), origin }, 0, 0);
    while batch.rows.len() < 64
        && bytes < BATCH_BYTES
        && content < BATCH_CONTENT
        && let Some(row) = rows.next_if(|row| row.dir == dir)
    {
        bytes += row.heap_bytes();
        content += row.size;
        batch.rows.push(row);
    }
    batch
}

impl Verifier {
    /// Feeds the rows of what was copied, then of what was accepted since.
    pub(super) fn feed(&self, reader: &Reader, sender: Option<Sender<(RelPath, Batch)>>) -> Result<(), JournalError> {
        let any_accepted = reader.has_accepted()?;
        self.feed_copied(reader, sender.as_ref(), any_accepted)?;
        if any_accepted {
            self.feed_accepted(reader, sender.as_ref())?;
        }
        Ok(())
    }

    fn feed_copied(
        &self,
        reader: &Reader,
        sender: Option<&Sender<(RelPath, Batch)>>,
        any_accepted: bool,
    ) -> Result<(), JournalError> {
        let mut after = (-1, Vec::new());
        let mut place = (0, RelPath::root());
        let removed = if any_accepted { reader.removed_directories()? } else { HashSet::new() };
        let (mut superseded, mut is_gone) = (HashSet::new(), false);
        loop {
            let page = reader.page((after.0, &after.1), self.scope == Scope::Unverified, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.dir, last.name.clone());
            let mut rows = page.into_iter().peekable();
            while let Some(first) = rows.peek() {
                let dir = first.dir;
                if place.0 != dir {
                    place = (dir, reader.path_of(dir)?);
                    is_gone = !removed.is_empty() && reader.is_in(dir, &removed)?;
                }
                if any_accepted {
                    superseded = reader.superseded(dir)?;
                }
                let mut batch = next_batch(&mut rows, dir, RowOrigin::Copied);
                batch.rows.retain(|row| !is_gone && !superseded.contains(&row.name));
                if !self.hand_out(sender, &place.1, batch) {
                    return Ok(());
                }
            }
        }
    }

    fn feed_accepted(&self, reader: &Reader, sender: Option<&Sender<(RelPath, Batch)>>) -> Result<(), JournalError> {
        let mut after = (-1, Vec::new());
        loop {
            let page = reader.accepted_page((after.0, &after.1), self.scope == Scope::Unverified, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.row.dir, last.row.name.clone());
            let (removed, there): (Vec<_>, Vec<_>) =
                page.into_iter().partition(|accepted| accepted.what == AcceptedAs::Removed);
            for (origin, rows) in [(RowOrigin::Removed, removed), (RowOrigin::Accepted, there)] {
                let mut rows = rows.into_iter().map(|accepted| accepted.row).peekable();
                while let Some(first) = rows.peek() {
                    let dir = first.dir;
                    let batch = next_batch(&mut rows, dir, origin);
                    let Some(path) = reader.known_path_of(dir)? else { continue };
                    if !self.hand_out(sender, &path, batch) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Gives a batch to a thread; false if the run is ending.
    fn hand_out(&self, sender: Option<&Sender<(RelPath, Batch)>>, path: &RelPath, mut batch: Batch) -> bool {
        if self.run.stop.is_set() {
            return false;
        }
        batch.rows.sort_unstable_by_key(|row| row.dst_ino);
        match sender {
            _ if batch.rows.is_empty() => {}
            // The threads end only with the channel.
            Some(sender) => drop(sender.send((path.clone(), batch))),
            None => self.batch(path, batch),
        }
        true
    }

    pub(super) fn batch(&self, path: &RelPath, batch: Batch) {
        debug_assert!(batch.rows.iter().all(|row| row.dir == batch.dir), "one directory");
        let opened = open_target(&self.run.mapping.root, path);
        // If a directory is gone, its own row reports that for everything in it.
        if opened.as_ref().is_err_and(|errno| leads_nowhere(*errno)) && self.is_recorded(batch.dir) {
            return;
        }
        let place = opened.as_ref().map(CheckedDir::of);
        if batch.origin == RowOrigin::Removed {
            return place.into_iter().for_each(|dir| self.removed(&dir, path, &batch.rows));
        }
        let (mut verdicts, names_moved) = (Verdicts::default(), OnceCell::new());
        let mut ahead = self.reader_of_many();
        for rows in batch.rows.chunks(self.together.clamp(1, FILES)) {
            let read = match (&opened, &mut ahead) {
                (Ok(dir), Some(ahead)) => read_together(dir, rows, ahead),
                _ => Vec::new(),
            };
            let read = read.into_iter().chain(std::iter::repeat_with(|| None));
            for (row, read) in rows.iter().zip(read) {
                let Ok(name) = Name::new(&row.name) else { continue };
                let (dir, path, name) = (place.as_ref(), &path.join(&name), &name);
                let at = Place { dir, path, name, origin: batch.origin, names_moved: &names_moved };
                if self.run.stop.is_set() || !self.row(&at, row, read, &mut verdicts) {
                    break;
                }
            }
        }
        let Verdicts { good, moved, bad, accepted_bad } = verdicts;
        if !good.is_empty() {
            self.run.writer.verified(clock::now().unix(), good);
        }
        if let Ok(dir) = &opened {
            self.confirm_later(dir, path, moved);
        }
        if !bad.is_empty() {
            self.run.writer.bad(bad);
        }
        if !accepted_bad.is_empty() {
            self.run.writer.accepted_bad(accepted_bad);
        }
    }

    /// The thread's reader of several files at once, if contents are compared and all rows are looked at.
    fn reader_of_many(&self) -> Option<ReadAhead> {
        let everything = self.depth == Depth::Content && !matches!(self.scope, Scope::Since(_));
        if everything && self.together > 1 { ReadAhead::lend() } else { None }
    }
}
