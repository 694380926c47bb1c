//! Whether a loop that moves bytes may go on, and how fast (`--bwlimit`).

use super::stop::Stop;
use std::num::NonZero;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes a second. Written as for rsync: a number in KiB, or with a suffix: `K`, `M`, `G`, `T`
/// (also `KiB`, …) for powers of 1024, `KB`, … of 1000, `B` for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZero<u64>);

/// Why a text is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a rate")]
pub struct NoRate;

impl FromStr for Rate {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| NoRate)?;
        let suffix = suffix.to_ascii_lowercase();
        let (power, base) = match suffix.as_str() {
            "b" => (0, 1024.0),
            "" | "k" | "kib" => (1, 1024.0),
            "m" | "mib" => (2, 1024.0),
            "g" | "gib" => (3, 1024.0),
            "t" | "tib" => (4, 1024.0),
            "kb" => (1, 1000.0),
            "mb" => (2, 1000.0),
            "gb" => (3, 1000.0),
            "tb" => (4, 1000.0),
            _ => return Err(NoRate),
        };
        let bytes = number * f64::powi(base, power);
        // Beyond 2^53 a number of bytes is no longer exact, nor a useful limit.
        if !(1.0..9.0e15).contains(&bytes) {
            return Err(NoRate);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "its range is checked above")]
        let bytes = bytes as u64;
        NonZero::new(bytes).map(Self).ok_or(NoRate)
    }
}

impl Rate {
    /// How long `bytes` take.
    fn time(self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.0.get() as f64)
    }
}

/// Asked by every loop that moves bytes. Clones share one limit.
#[derive(Clone, Debug)]
pub struct RateLimit {
    stop: Stop,
    limit: Option<Arc<Limit>>,
}

#[derive(Debug)]
struct Limit {
    rate: Rate,
    /// When the bytes let through so far will be used up.
    next: Mutex<Instant>,
}

/// How often a wait checks whether the run is ending.
const LOOK: Duration = Duration::from_millis(50);
/// The smallest request under a limit: smaller ones would cost more than they smooth.
const LEAST: usize = 64 << 10;

impl RateLimit {
    /// Ends with `stop`, and keeps to `rate` if there is one.
    #[must_use]
    pub fn new(stop: Stop, rate: Option<Rate>) -> Self {
        let limit = rate.map(|rate| Arc::new(Limit { rate, next: Mutex::new(Instant::now()) }));
        Self { stop, limit }
    }

    /// True once the run is ending.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// True if there is a limit.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// The most of `bytes` that one request should move: with a limit, whole blocks of about a
    /// quarter of a second.
    #[must_use]
    pub fn request(&self, bytes: usize) -> usize {
        let Some(limit) = &self.limit else { return bytes };
        let quarter = usize::try_from(limit.rate.0.get() / 4).unwrap_or(usize::MAX);
        bytes.min((quarter - quarter % 4096).max(LEAST))
    }

    /// Waits until `bytes` may move, or the run is ending. What is let through delays what comes
    /// after it, so the rate is kept over any time, except for one request.
    pub fn wait(&self, bytes: u64) {
        let Some(limit) = &self.limit else { return };
        let turn = {
            let mut next = limit.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + limit.rate.time(bytes);
            turn
        };
        while !self.stop.is_set() {
            let left = turn.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::events::stop::StopReason;

    fn bytes(text: &str) -> Option<u64> {
        text.parse::<Rate>().ok().map(|rate| rate.0.get())
    }

    #[test]
    fn rates_are_read_as_rsync_reads_them() {
        assert_eq!(bytes("500"), Some(500 << 10));
        assert_eq!(bytes("20M"), Some(20 << 20));
        assert_eq!(bytes("20mib"), Some(20 << 20));
        assert_eq!(bytes("1.5G"), Some(3 << 29));
        assert_eq!(bytes("100MB"), Some(100_000_000));
        assert_eq!(bytes("4096B"), Some(4096));
        for wrong in ["", "M", "-1", "1e3", "0", "0.0001B", "5 M", "10Mbit", "inf", "1..2", "99999999T"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn requests_are_whole_blocks_of_a_quarter_of_a_second() {
        let rate_limit = |text: &str| RateLimit::new(Stop::default(), text.parse().ok());
        assert_eq!(rate_limit("no limit").request(1 << 20), 1 << 20);
        assert_eq!(rate_limit("1M").request(1 << 20), 256 << 10);
        assert_eq!(rate_limit("1B").request(1 << 20), LEAST);
        assert_eq!(rate_limit("1MB").request(1 << 20) % 4096, 0);
        assert_eq!(rate_limit("1G").request(1 << 20), 1 << 20);
    }

    #[test]
    fn the_end_of_the_run_ends_a_wait() {
        let stop = Stop::default();
        let rate_limit = RateLimit::new(stop.clone(), "1B".parse().ok());
        rate_limit.wait(1 << 20);
        stop.set(StopReason::Signal);
        // Would be twelve days otherwise.
        rate_limit.wait(1);
    }
}
