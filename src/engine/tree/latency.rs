//! How long a file system lets its callers wait.

use crate::base::path::Name;
use crate::sys::dir::read_batches;
use crate::sys::filesystem::space;
use crate::sys::root::Root;
use crate::sys::stat::stat_at;
use std::path::Path;
use std::time::{Duration, Instant};

/// Threads for a source that answers late: they wait, and need no processor meanwhile.
pub(crate) const LATE_THREADS: usize = 64;

/// A call that takes longer was answered by another machine. Calls of FUSE on this one take some 50 µs.
const LATE: Duration = Duration::from_millis(1);
/// Calls that must be late: one alone may have waited for something else.
const CALLS: usize = 2;
/// Names that are looked at.
const LOOKS: usize = 8;

/// True if the file system of the directory `path` has a driver that lets callers wait (FUSE, network), by
/// the time of its first calls. On a disk of this machine more threads are no help.
#[must_use]
pub fn is_late(path: &Path) -> bool {
    let mut late = 0;
    let mut timed = |began: Instant| late += usize::from(began.elapsed() > LATE);
    let began = Instant::now();
    let Ok(root) = Root::open(path) else { return false };
    timed(began);
    // A driver that caches names and attributes, as sshfs does after the first listing, passes this on each time.
    for _ in 0..CALLS {
        let began = Instant::now();
        if !space(&root).is_ok_and(|space| space.may_cache()) {
            return false;
        }
        timed(began);
    }
    let (began, mut names) = (Instant::now(), Vec::<Name>::new());
    let read = read_batches(&root, LOOKS, |batch| {
        names.extend(batch.into_iter().map(|entry| entry.name));
        false
    });
    timed(began);
    if read.is_err() {
        return false;
    }
    for name in names.iter().take(LOOKS) {
        let began = Instant::now();
        // How long it took counts, whatever the answer.
        stat_at(&root, name).ok();
        timed(began);
    }
    late >= CALLS
}
