//! Which way of moving the bytes of large files is fastest here: told how many bytes arrived and when, it
//! says which way to use from then on. It reads no clock and moves nothing.
//!
//! The likeliest way is used first. When its rate is known, the second has a trial, then each other one, with
//! ever longer rests in which the best is used, so that what the losers cost stays small. When the rate falls
//! for long, all of them are tried again.

use crate::engine::content::way::{Decision, TrialVerdict, Way};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes that tell a rate.
const SAMPLE: u64 = 256 << 20;
/// So does this much time, on slow devices.
const LONGEST: Duration = Duration::from_secs(2);
/// Bytes after which a trial that goes badly ends.
const HOPELESS: u64 = SAMPLE / 4;
/// Samples of the best way between two trials, at first and at most.
const FIRST_REST: u32 = 4;
const LONGEST_REST: u32 = 64;
/// How much faster another way must be: rates vary by themselves.
const BETTER: f64 = 1.15;
/// A trial below this share of the best rate goes badly.
const BAD: f64 = 0.7;
/// So many samples below this share of the usual rate are a fall.
const FALLEN: (u32, f64) = (3, 0.6);
/// Decisions that are kept for the report.
const KEPT: usize = 32;

/// What is being measured.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Duration,
    bytes: u64,
}

/// Chooses among a few ways.
#[derive(Debug)]
pub(super) struct Chooser {
    ways: Vec<Way>,
    best: usize,
    /// The way in use: the best one, or one on trial.
    used: usize,
    untried: VecDeque<usize>,
    /// The usual rate of the best way, in bytes a second.
    usual: Option<f64>,
    /// Samples of the best way until the next trial, and after it.
    rest: u32,
    next_rest: u32,
    fallen: u32,
    window: Option<Window>,
    decisions: Vec<Decision>,
}

impl Chooser {
    /// `ways` are tried in their order; there is at least one.
    pub(super) fn new(ways: Vec<Way>) -> Self {
        Self {
            best: 0,
            used: 0,
            untried: (1..ways.len()).collect(),
            ways,
            usual: None,
            rest: 0,
            next_rest: FIRST_REST,
            fallen: 0,
            window: None,
            decisions: Vec::new(),
        }
    }

    /// The way to use.
    pub(super) fn way(&self) -> Way {
        self.ways[self.used]
    }

    /// The best so far.
    pub(super) fn best(&self) -> Way {
        self.ways[self.best]
    }

    /// The measurements so far.
    pub(super) fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Nothing moves until somebody begins again: the time in between tells nothing.
    pub(super) fn pause(&mut self) {
        self.window = None;
    }

    /// Another `bytes` have arrived at `now`, and nothing that was begun in another way is still on its way.
    /// True when the way to use is another from here on.
    pub(super) fn arrived(&mut self, bytes: u64, now: Duration) -> bool {
        // The first arrival of a way only shows that it has begun.
        let Some(window) = &mut self.window else {
            self.window = Some(Window { since: now, bytes: 0 });
            return false;
        };
        window.bytes += bytes;
        let took = now.saturating_sub(window.since);
        let rate = window.bytes as f64 / took.as_secs_f64().max(1e-9);
        let on_trial = self.used != self.best;
        let hopeless = on_trial && window.bytes >= HOPELESS && self.usual.is_some_and(|usual| rate < BAD * usual);
        if window.bytes < SAMPLE && took < LONGEST && !hopeless {
            return false;
        }
        self.window = Some(Window { since: now, bytes: 0 });
        let before = self.used;
        if on_trial {
            self.tried(rate, now)
        } else {
            self.went_on(rate, now)
        }
        let changed = self.used != before;
        if changed {
            self.window = None;
        }
        changed
    }

    /// The way on trial has been measured.
    fn tried(&mut self, rate: f64, now: Duration) {
        let faster = self.usual.is_none_or(|usual| rate > BETTER * usual);
        self.decide(if faster { TrialVerdict::Faster } else { TrialVerdict::Slower }, rate, now);
        if faster {
            // What was best may have had a bad moment.
            self.untried.push_back(self.best);
            (self.best, self.usual) = (self.used, Some(rate));
        }
        self.used = self.best;
        self.rest = self.next_rest;
        self.next_rest = (self.next_rest * 2).min(LONGEST_REST);
    }

    /// The best way has been measured.
    fn went_on(&mut self, rate: f64, now: Duration) {
        let Some(usual) = self.usual else {
            self.usual = Some(rate);
            self.decide(TrialVerdict::First, rate, now);
            return self.try_another();
        };
        if rate < FALLEN.1 * usual {
            self.fallen += 1;
            if self.fallen == FALLEN.0 {
                self.decide(TrialVerdict::Fell, rate, now);
                (self.fallen, self.usual, self.next_rest) = (0, Some(rate), FIRST_REST);
                self.untried = (0..self.ways.len()).filter(|way| *way != self.best).collect();
                self.try_another();
            }
            return;
        }
        self.fallen = 0;
        self.usual = Some((usual * 3.0 + rate) / 4.0);
        self.rest = self.rest.saturating_sub(1);
        if self.rest == 0 {
            self.try_another();
        }
    }

    fn try_another(&mut self) {
        if let Some(way) = self.untried.pop_front() {
            self.used = way;
        }
    }

    fn decide(&mut self, verdict: TrialVerdict, rate: f64, now: Duration) {
        if self.decisions.len() < KEPT {
            let (seconds, way) = (now.as_secs_f64(), self.way());
            self.decisions.push(Decision { seconds, way, bytes_per_second: rate, verdict });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::content::way::{LargeIo, WayKind};

    const MIB: u64 = 1 << 20;

    /// A device that moves so many MiB a second, by the way in use.
    struct Device {
        chooser: Chooser,
        now: Duration,
    }

    impl Device {
        fn new() -> Self {
            Self { chooser: Chooser::new(LargeIo::Auto.ways(true)), now: Duration::ZERO }
        }

        /// Moves so many MiB; how many of them by each kind of way.
        fn moves(&mut self, mib: u64, rate: impl Fn(Way) -> f64) -> Vec<(WayKind, u64)> {
            let mut by = vec![(WayKind::Direct, 0), (WayKind::Buffered, 0), (WayKind::Burst, 0)];
            for _ in 0..mib / 16 {
                let way = self.chooser.way();
                self.now += Duration::from_secs_f64(16.0 / rate(way));
                by.iter_mut().filter(|(kind, _)| *kind == way.kind).for_each(|(_, sum)| *sum += 16);
                self.chooser.arrived(16 * MIB, self.now);
            }
            by
        }

        fn verdicts(&self) -> Vec<(WayKind, TrialVerdict)> {
            self.chooser.decisions().iter().map(|decision| (decision.way.kind, decision.verdict)).collect()
        }
    }

    fn prefers(kind: WayKind) -> impl Fn(Way) -> f64 {
        move |way| if way.kind == kind { 1000.0 } else { 400.0 }
    }

    #[test]
    fn the_fastest_way_is_found_and_kept() {
        for kind in [WayKind::Direct, WayKind::Buffered, WayKind::Burst] {
            let mut device = Device::new();
            device.moves(16 << 10, prefers(kind));
            assert_eq!(device.chooser.best().kind, kind, "{:?}", device.chooser.decisions());
            let by = device.moves(16 << 10, prefers(kind));
            let share = by.iter().find(|(of, _)| *of == kind).map_or(0, |(_, mib)| *mib);
            assert!(share >= 15 << 10, "{kind:?}: {by:?}");
        }
    }

    #[test]
    fn trials_that_go_badly_cost_little() {
        let mut device = Device::new();
        let rate = |way: Way| if way == LargeIo::Auto.ways(true)[0] { 1000.0 } else { 300.0 };
        device.moves(2048, rate);
        let took = device.now.as_secs_f64();
        assert!(took < 2.048 * 1.2, "{took} s");
        assert_eq!(device.chooser.best(), LargeIo::Auto.ways(true)[0]);
    }

    #[test]
    fn a_little_faster_is_not_faster() {
        let mut device = Device::new();
        let first = device.chooser.way();
        device.moves(32 << 10, |way| if way == first { 1000.0 } else { 1100.0 });
        assert_eq!(device.chooser.best(), first);
        assert_eq!(device.verdicts().iter().filter(|(_, verdict)| *verdict == TrialVerdict::Slower).count(), 3);
    }

    #[test]
    fn a_fall_for_long_has_every_way_tried_again() {
        let mut device = Device::new();
        device.moves(32 << 10, prefers(WayKind::Direct));
        let before = device.verdicts().len();
        // One slow sample is none.
        device.moves(256, |_| 200.0);
        device.moves(8 << 10, prefers(WayKind::Direct));
        assert_eq!(device.verdicts().len(), before);
        device.moves(16 << 10, |way| if way.kind == WayKind::Buffered { 300.0 } else { 100.0 });
        assert!(
            device.verdicts()[before..].contains(&(WayKind::Direct, TrialVerdict::Fell)),
            "{:?}",
            device.verdicts()
        );
        assert_eq!(device.chooser.best().kind, WayKind::Buffered);
    }

    #[test]
    fn on_a_slow_device_time_tells_the_rate() {
        let mut device = Device::new();
        device.moves(16 * 30, |way| if way.kind == WayKind::Buffered { 16.0 } else { 4.0 });
        assert_eq!(device.chooser.best().kind, WayKind::Buffered, "{:?}", device.chooser.decisions());
    }

    #[test]
    fn a_pause_is_no_slowness() {
        let mut device = Device::new();
        for _ in 0..64 {
            device.moves(128, |_| 1000.0);
            device.chooser.pause();
            device.now += Duration::from_secs(60);
        }
        assert!(device.verdicts().is_empty(), "a window never filled: {:?}", device.verdicts());
        device.moves(512, |_| 1000.0);
        let rate = device.chooser.decisions()[0].bytes_per_second / MIB as f64;
        assert!((990.0..1010.0).contains(&rate), "{rate} MiB/s");
    }
}
