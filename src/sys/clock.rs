//! Clocks.

use super::stat::Time;
use rustix::time::{ClockId, clock_gettime};

/// The clock that file systems take their time stamps from (clock_gettime(2), `CLOCK_REALTIME_COARSE`).
#[must_use]
pub(crate) fn coarse_time() -> Time {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    Time { sec: now.tv_sec, nsec: u32::try_from(now.tv_nsec).unwrap_or(0) }
}
