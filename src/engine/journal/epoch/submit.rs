//! How workers hand in what they have written.

use super::gate::Gate;
use super::written::Written;
use crate::engine::journal::record::Record;
use crate::sys::Errno;
use crossbeam_channel::{Sender, bounded};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows larger than this need a share of [`ROWS`].
const LARGE_ROW: u64 = 512;
/// Bytes that large rows (those with attributes) may take between the copy and the journal.
pub(in crate::engine::journal) const ROWS: u64 = 64 << 20;

/// What workers send.
#[derive(Debug)]
pub(in crate::engine::journal) enum EpochMessage {
    Item(Box<Written>),
    Flush(Sender<()>),
}

/// What workers hold to hand in entries.
#[derive(Clone, Debug)]
pub struct Submit {
    sender: Sender<EpochMessage>,
    /// Bounds the dirty bytes.
    pub gate: Arc<Gate>,
    /// Bounds the bytes of large rows.
    memory: Arc<Gate>,
    replacing: Arc<Replacing>,
}

/// Entries that take their space twice until they replace the old ones.
#[derive(Debug, Default)]
struct Replacing {
    /// Entries handed in since [`Submit::makes_room`] last waited for all before them.
    waiting: AtomicUsize,
    /// How often it did.
    made: Mutex<u64>,
}

impl Submit {
    pub(in crate::engine::journal) fn new(sender: Sender<EpochMessage>, gate: Arc<Gate>) -> Self {
        Self { sender, gate, memory: Gate::new(ROWS), replacing: Arc::default() }
    }

    /// Bounds the bytes of large rows.
    pub(in crate::engine::journal) fn memory(&self) -> &Arc<Gate> {
        &self.memory
    }

    /// Hands in an entry; waits while an epoch is being sealed and the queue is full.
    pub fn send(&self, mut written: Written) {
        if written.replace.is_some() {
            self.replacing.waiting.fetch_add(1, Relaxed);
        }
        let bytes = match &written.record {
            Record::Row(row) => row.heap_bytes(),
            Record::Chunk(_) => 0,
        };
        if bytes > LARGE_ROW {
            written.memory = Some(self.memory.share(bytes));
        }
        // The thread ends only when all senders are gone.
        drop(self.sender.send(EpochMessage::Item(Box::new(written))));
    }

    /// How often space was freed; to be read before something is written.
    #[must_use]
    pub fn room_made(&self) -> u64 {
        *self.replacing.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After `ENOSPC` or `EDQUOT`: renames everything that waits into the place of what it
    /// replaces. True when that has freed space since [`Self::room_made`] returned `before`.
    pub fn makes_room(&self, errno: Errno, before: u64) -> bool {
        if !matches!(errno, Errno::NOSPC | Errno::DQUOT) {
            return false;
        }
        let mut made = self.replacing.made.lock().unwrap_or_else(PoisonError::into_inner);
        if *made == before && self.replacing.waiting.swap(0, Relaxed) > 0 {
            self.flush();
            *made += 1;
        }
        *made != before
    }

    /// Waits until everything handed in so far is durable, in its place and in the journal.
    pub fn flush(&self) {
        let (sender, receiver) = bounded(1);
        if self.sender.send(EpochMessage::Flush(sender)).is_ok() {
            // A thread that ended has nothing left to seal.
            receiver.recv().ok();
        }
    }
}
