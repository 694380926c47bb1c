//! Sums that many threads add to. None of them grows with the number of entries.

use crate::sys::stat::{Kind, Stat};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Files, their allocated bytes, and their newest change.
#[derive(Debug)]
pub(super) struct Sum {
    files: AtomicU64,
    bytes: AtomicU64,
    newest: AtomicI64,
}

/// A `Sum` that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Everything but directories.
    pub files: u64,
    /// Allocated bytes, those of directories too.
    pub bytes: u64,
    /// Newest change of a file's content, in seconds since 1970.
    pub newest: Option<i64>,
}

impl Default for Sum {
    fn default() -> Self {
        Self { files: AtomicU64::new(0), bytes: AtomicU64::new(0), newest: AtomicI64::new(i64::MIN) }
    }
}

impl Sum {
    /// Adds one entry that takes `bytes`.
    pub(super) fn add(&self, stat: &Stat, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        if stat.kind != Kind::Directory {
            self.files.fetch_add(1, Relaxed);
            self.newest.fetch_max(stat.mtime.sec, Relaxed);
        }
    }

    pub(super) fn read(&self) -> Total {
        let newest = self.newest.load(Relaxed);
        Total {
            files: self.files.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            newest: (newest != i64::MIN).then_some(newest),
        }
    }
}

/// Inodes with several names: each is counted once, unless there are too many of them.
#[derive(Debug, Default)]
pub(super) struct CountedInodes {
    seen: Mutex<HashSet<(u64, u64)>>,
    full: AtomicBool,
}

/// How many are remembered: 24 MiB at most.
const REMEMBERED: usize = 1 << 20;

impl CountedInodes {
    /// The bytes that this name adds.
    pub(super) fn bytes(&self, stat: &Stat) -> u64 {
        if stat.nlink < 2 || stat.kind == Kind::Directory {
            return stat.allocated;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(&(stat.dev, stat.ino)) {
            return 0;
        }
        if seen.len() < REMEMBERED {
            seen.insert((stat.dev, stat.ino));
        } else {
            self.full.store(true, Relaxed);
        }
        stat.allocated
    }

    /// True when some may have been counted once for each name.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }
}
