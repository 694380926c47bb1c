//! Whether a change of the source would show in its times.

use super::job::OpenSource;
use crate::sys::Errno;
use crate::sys::stat::{Stat, stat_fd};
use std::time::Duration;

/// Time stamps come from a clock that ticks every few milliseconds, or in whole seconds (two
/// on vfat): two changes within a tick look the same. A file this young is looked at again
/// after a tick, and read twice if it has changed again.
pub(super) const TICK: Duration = Duration::from_millis(20);
const COARSE_TICK: Duration = Duration::from_millis(2020);
/// How long a file behind a driver must have been left alone before its copy counts as good.
pub(super) const QUIET: Duration = Duration::from_secs(1);

/// A source before it is read.
pub(super) struct SourceLook {
    pub(super) stat: Stat,
    /// Its last change lies at least a tick back, so another one would show.
    pub(super) settled: bool,
}

/// Looks at a source, once more after a tick if it has just changed.
pub(super) fn look(source: &OpenSource<'_>, stat: Stat) -> Result<SourceLook, Errno> {
    let Some(left) = until_settled(&stat, TICK) else { return Ok(SourceLook { stat, settled: true }) };
    std::thread::sleep(left);
    let stat = stat_fd(&source.fd)?;
    Ok(SourceLook { stat, settled: until_settled(&stat, TICK).is_none() })
}

/// How long until the last change is `quiet` and a tick old; `None` when it is already.
pub(super) fn until_settled(stat: &Stat, quiet: Duration) -> Option<Duration> {
    let tick = if (stat.mtime.nsec, stat.ctime.nsec) == (0, 0) { COARSE_TICK } else { TICK }.max(quiet);
    let now = crate::sys::clock::coarse_time();
    let age = (i128::from(now.sec) - i128::from(stat.ctime.sec)) * 1_000_000_000 + i128::from(now.nsec)
        - i128::from(stat.ctime.nsec);
    // The kernel's fine time stamps run ahead of the coarse clock by up to a tick; anything
    // further ahead comes from another clock.
    let age = if (-COARSE_TICK.as_nanos().cast_signed()..0).contains(&age) { 0 } else { age };
    let age = Duration::from_nanos(u64::try_from(age).unwrap_or(u64::MAX));
    tick.checked_sub(age).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags};

    #[test]
    fn a_file_that_was_made_just_now_is_not_settled() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let flags = OFlags::RDWR | OFlags::CREATE;
        let fd = rustix::fs::open(place.path().join("f"), flags, Mode::RWXU).expect("create");
        // Asked for its times, the kernel stamps the next change finer than the coarse clock ticks.
        stat_fd(&fd).expect("stat");
        rustix::fs::ftruncate(&fd, 5).expect("truncate");
        let stat = stat_fd(&fd).expect("stat");
        assert!(until_settled(&stat, Duration::from_secs(1)).is_some(), "{stat:?}");
        assert!(until_settled(&Stat { ctime: crate::sys::stat::Time { sec: 1, nsec: 1 }, ..stat }, TICK).is_none());
    }
}
