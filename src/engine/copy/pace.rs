//! How large a request may be so that it is soon answered: a slow device gets small ones, and the run can
//! be stopped there as well.

use std::time::Duration;

/// What a request should take at most.
const SOON: Duration = Duration::from_millis(500);
/// The first request, before anything is known.
const FIRST: usize = 4 << 20;
/// Smaller ones only cost more calls.
const LEAST: usize = 1 << 20;
/// How much larger the next one may be.
const GROWTH: usize = 4;

/// The size of requests, from how long they took.
#[derive(Debug)]
pub(super) struct Pace(usize);

impl Default for Pace {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pace {
    /// The size of the next request, at most `most` bytes.
    pub(super) fn request(&self, most: usize) -> usize {
        self.0.min(most)
    }

    /// A request of `bytes` took so long.
    pub(super) fn took(&mut self, bytes: usize, took: Duration) {
        let slow = bytes as f64 * SOON.as_secs_f64() / took.as_secs_f64().max(1e-6);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut off at the largest request")]
        let fitting = slow.clamp(LEAST as f64, 1e9) as usize;
        let next = fitting.min(bytes.saturating_mul(GROWTH));
        // The end of a file is a small request, and tells little.
        if bytes >= LEAST {
            self.0 = (next - next % LEAST).max(LEAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(mut pace: Pace, bytes_per_second: f64, requests: usize) -> usize {
        for _ in 0..requests {
            let bytes = pace.request(16 << 20);
            pace.took(bytes, Duration::from_secs_f64(bytes as f64 / bytes_per_second));
        }
        pace.request(16 << 20)
    }

    #[test]
    fn a_fast_device_soon_gets_the_largest_requests_and_a_slow_one_the_smallest() {
        assert_eq!(after(Pace::default(), 100e6, 1), 16 << 20);
        assert_eq!(after(Pace::default(), 1e6, 1), 1 << 20);
        assert_eq!(after(Pace::default(), 10e6, 5), 4 << 20);
        assert_eq!(after(Pace(1 << 20), 100e6, 2), 16 << 20);
    }

    #[test]
    fn the_end_of_a_file_changes_nothing() {
        let mut pace = Pace(16 << 20);
        pace.took(5000, Duration::from_millis(10));
        assert_eq!(pace.request(16 << 20), 16 << 20);
    }
}
