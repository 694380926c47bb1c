//! A bound on bytes between the copy and the medium, or between the copy and the journal.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The bound on bytes that are written and not yet durable.
#[derive(Debug)]
pub struct Gate {
    used: Mutex<u64>,
    freed: Condvar,
    limit: AtomicU64,
    waiting: AtomicUsize,
}

/// A share of the gate's bytes; dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    bytes: u64,
}

/// Bounds of the dirty bytes of an epoch: below, syncfs calls would dominate;
/// above, progress would lag.
const LEAST_DIRTY: u64 = 8 << 20;
const MOST_DIRTY: u64 = 512 << 20;
/// What every file costs beyond its data: inode, directory entry, journal row.
const ENTRY_COST: u64 = 4096;
impl Gate {
    pub(in crate::engine::journal) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            used: Mutex::new(0),
            freed: Condvar::new(),
            limit: AtomicU64::new(limit),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Waits until an entry with `bytes` may become dirty. A file larger than the bound takes all of it.
    pub fn acquire(self: &Arc<Self>, bytes: u64) -> Permit {
        self.share(bytes + ENTRY_COST)
    }

    /// The same without the cost of a file.
    pub(super) fn share(self: &Arc<Self>, wanted: u64) -> Permit {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let limit = self.limit.load(Relaxed);
            let bytes = wanted.min(limit);
            if *used == 0 || *used + bytes <= limit {
                *used += bytes;
                return Permit { gate: Arc::clone(self), bytes };
            }
            self.waiting.fetch_add(1, Relaxed);
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
            self.waiting.fetch_sub(1, Relaxed);
        }
    }

    /// The bound.
    pub(in crate::engine::journal) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// True while somebody waits for a share.
    pub(in crate::engine::journal) fn is_wanted(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Moves the bound towards what the device writes in about a second: it took `took` for `bytes`.
    pub(in crate::engine::journal) fn adapt(&self, bytes: u64, took: Duration) {
        let limit = self.limit();
        if took > Duration::from_millis(1500) {
            self.limit.store((limit / 2).max(LEAST_DIRTY), Relaxed);
        } else if took < Duration::from_millis(500) && bytes >= limit / 2 {
            self.limit.store((limit * 2).min(MOST_DIRTY), Relaxed);
        }
    }
}

impl Permit {
    /// The bytes of its share.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.gate.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.gate.freed.notify_all();
    }
}
