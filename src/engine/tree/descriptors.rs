//! How the limit of open files is shared out (`ulimit -n`; 64 is enough).

use crate::sys::read_batch::FILES;

/// Standard streams, lock, journal, roots, syncfs: what every run holds.
const ALWAYS: u64 = 28;
/// What one thread holds at a file: both directories, a third while one of them
/// is opened again or linked from, both files, and a connection to the journal.
const AT_WORK: u64 = 9;
/// Tasks that run inside one another at most.
const DEEPEST: u64 = 24;
/// Fewer files are not worth being read at once.
const FEWEST: u64 = 4;

/// Shares of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// How many directories of either side may stay open beyond the work in them.
    pub directories: i64,
    /// How many tasks of a thread may run inside one another.
    pub inline: u32,
    /// How many small files a thread may hold open to read them at once; 0 where that is not worth it.
    pub together: usize,
}

/// Default number of threads. More than cores: on a cold disk they
/// keep the device's queue filled (docs/performance.md).
#[must_use]
pub fn usual_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(4, std::num::NonZero::get);
    (8 * cores).clamp(16, 32)
}

/// How many of `threads` can work within the limit.
#[must_use]
pub fn threads(limit: u64, threads: usize) -> usize {
    let most = limit.saturating_sub(ALWAYS) / (AT_WORK + 3);
    threads.min(usize::try_from(most).unwrap_or(usize::MAX)).max(1)
}

/// Shares the limit out among that many threads.
#[must_use]
pub fn share(limit: u64, threads: usize) -> Share {
    let threads = threads.max(1) as u64;
    let free = limit.saturating_sub(ALWAYS + AT_WORK * threads);
    let together = (free / 4 / threads).min(FILES as u64);
    let together = if together < FEWEST { 0 } else { together };
    let free = free - together * threads;
    let inline = (free / 4 / threads).clamp(1, DEEPEST);
    let directories = free.saturating_sub(inline * threads) / 2;
    Share {
        directories: i64::try_from(directories).unwrap_or(i64::MAX),
        inline: u32::try_from(inline).unwrap_or(1),
        together: usize::try_from(together).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_stay_within_the_limit() {
        for limit in [64, 100, 256, 1024, 4096, 1 << 20] {
            let threads = threads(limit, 32);
            let share = share(limit, threads);
            let directories = u64::try_from(share.directories).expect("not negative");
            let each = AT_WORK + u64::from(share.inline) + share.together as u64;
            let used = ALWAYS + threads as u64 * each + 2 * directories;
            assert!(used <= limit, "{limit}: {used}, {share:?}");
            assert!(threads >= 3 && (limit < 512 || threads == 32), "{limit}: {threads}");
        }
    }
}
