//! What the engine counts while it runs; observers read it without locks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of one target of the plan.
#[derive(Debug, Default)]
pub struct Tally {
    /// Regular files seen in the source, hard links among them.
    pub files: AtomicU64,
    /// Directories.
    pub directories: AtomicU64,
    /// Symlinks.
    pub symlinks: AtomicU64,
    /// Names made by linking to an inode that was already copied.
    pub hardlinks: AtomicU64,
    /// FIFOs and device nodes.
    pub special: AtomicU64,
    /// Sockets, noted and not copied.
    pub sockets: AtomicU64,
    /// Names left out by a pattern.
    pub excluded: AtomicU64,
    /// Apparent bytes of the regular files.
    pub bytes: AtomicU64,
    /// Allocated bytes of the same.
    pub allocated: AtomicU64,
    /// Entries written by this run.
    pub copied: AtomicU64,
    /// Data bytes that this run brought: written, or shared.
    pub copied_bytes: AtomicU64,
    /// Data bytes whose blocks the copies share with their sources.
    pub shared_bytes: AtomicU64,
    /// Bytes of unfinished large files that an earlier run had copied.
    pub reused_bytes: AtomicU64,
    /// Entries that an earlier run had finished.
    pub skipped: AtomicU64,
    /// Apparent bytes of those.
    pub skipped_bytes: AtomicU64,
    /// Entries that were in their place already: the source's path leads to the very inode.
    pub in_place: AtomicU64,
    /// Entries that were kept as `--accept` found them.
    pub accepted: AtomicU64,
    /// Entries that the source no longer has.
    pub stale: AtomicU64,
    /// Entries that this run removed because of that.
    pub deleted: AtomicU64,
    /// Apparent bytes of those.
    pub deleted_bytes: AtomicU64,
    /// Entries verified by this run.
    pub verified: AtomicU64,
    /// Bytes re-read from the medium by this run.
    pub verified_bytes: AtomicU64,
}

/// Counts of the whole run.
#[derive(Debug, Default)]
pub struct Counters {
    /// One for each target of the plan, in its order.
    pub targets: Vec<Tally>,
    /// Bytes that the medium has, by a successful syncfs, this run.
    pub durable_bytes: AtomicU64,
    /// Entries that the medium has, this run.
    pub durable_entries: AtomicU64,
    /// What the survey expects: apparent bytes with data.
    pub expected_bytes: AtomicU64,
    /// What the survey expects: entries.
    pub expected_entries: AtomicU64,
    /// What verification will look at: bytes.
    pub verify_bytes: AtomicU64,
    /// What verification will look at: entries.
    pub verify_entries: AtomicU64,
}

impl Counters {
    /// Counters for `targets` targets.
    #[must_use]
    pub fn new(targets: usize) -> Self {
        Self { targets: (0..targets).map(|_| Tally::default()).collect(), ..Self::default() }
    }

    /// The sum of one count over all targets.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        self.targets.iter().map(|t| of(t).load(Relaxed)).sum()
    }
}

/// Adds `n` to a count.
pub(crate) fn add(count: &AtomicU64, n: u64) {
    count.fetch_add(n, Relaxed);
}
