//! Who may move bytes of large files: each chunk at work has a slot, with a buffer. There are as many as the
//! way in use has requests at a time, for all files of a source and a target device together, and
//! their memory is bounded.
//!
//! A file keeps its slots until it has no more chunks, and the file that was begun first gets the next
//! one, so that files are copied one after the other as far as they fill the device.

use super::chooser::Chooser;
use super::pace::Pace;
use super::turn::Turn;
use crate::engine::content::buffer::LargeBuffer;
use crate::engine::content::way::{IN_FLIGHT, LargeFiles, LargeIo, Way, WayKind};
use crate::sys::stat::device_number;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What decides which way is fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DevicePair {
    /// Device number of the source.
    pub(super) source: u64,
    /// Device number of the target.
    pub(super) target: u64,
    /// The target is written with `O_DIRECT` where the way asks for it.
    pub(super) direct: bool,
    /// Nothing is written: the target shares the blocks of the source, which are only read.
    pub(super) shared: bool,
}

/// The slots of a run.
#[derive(Debug)]
pub(super) struct Slots {
    state: Mutex<Lending>,
    changed: Condvar,
    asked: LargeIo,
    /// A limit on the rate leaves nothing to measure.
    limited: bool,
    /// The most slots of a pair.
    threads: usize,
    began: Instant,
}

#[derive(Debug, Default)]
struct Lending {
    pairs: BTreeMap<DevicePair, PairLoad>,
    /// Bytes of all buffers, lent or spare.
    memory: usize,
    spare: Vec<LargeBuffer>,
    /// The next file's number.
    next: u64,
    /// Files that wait for their first slot.
    waiting: Vec<(DevicePair, u64)>,
}

#[derive(Debug)]
struct PairLoad {
    chooser: Chooser,
    /// Changes of the way so far.
    generation: u64,
    /// Slots that are lent, and those of them that were lent before the last change of the way.
    at_work: usize,
    older: usize,
    pace: Pace,
    turn: Turn,
    moved: u64,
    /// When the first and the last bytes arrived.
    took: Option<(Duration, Duration)>,
}

/// The slots as one file sees them.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    slots: &'a Slots,
    pair: DevicePair,
    file: u64,
}

/// The right to move one chunk at a time.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    pair: DevicePair,
    way: Way,
    generation: u64,
    buffer: Option<LargeBuffer>,
    /// Its buffer is counted in the turn.
    loaded: bool,
}

impl Slots {
    /// `threads` bounds the slots of each pair.
    pub(super) fn new(asked: LargeIo, threads: usize, limited: bool) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), asked, limited, threads, began: Instant::now() }
    }

    /// Slots for one more file.
    pub(super) fn lane(&self, pair: DevicePair) -> Lane<'_> {
        let mut state = self.state();
        state.next += 1;
        let file = state.next;
        let mut ways =
            if pair.shared { LargeIo::Only(WayKind::Direct).ways(true) } else { self.asked.ways(pair.direct) };
        ways.truncate(if self.limited { 1 } else { ways.len() });
        let new = || PairLoad::new(ways);
        state.pairs.entry(pair).or_insert_with(new);
        Lane { slots: self, pair, file }
    }

    /// What was used so far, for each source and target device.
    pub(super) fn report(&self) -> Vec<LargeFiles> {
        let state = self.state();
        let mut all: BTreeMap<(u64, u64), Vec<&PairLoad>> = BTreeMap::new();
        for (pair, of) in state.pairs.iter().filter(|(pair, of)| of.moved > 0 && !pair.shared) {
            all.entry((pair.source, pair.target)).or_default().push(of);
        }
        let report = |((source, target), of): ((u64, u64), Vec<&PairLoad>)| {
            // Some files, or the ends of some, may have gone through the cache.
            let most = of.iter().max_by_key(|of| of.moved)?;
            let times = || of.iter().filter_map(|of| of.took);
            let (first, last) = (times().map(|took| took.0).min()?, times().map(|took| took.1).max()?);
            Some(LargeFiles {
                source_device: device_number(source),
                target_device: device_number(target),
                way: most.chooser.best(),
                bytes: of.iter().map(|of| of.moved).sum(),
                seconds: last.saturating_sub(first).as_secs_f64(),
                decisions: most.chooser.decisions().to_vec(),
            })
        };
        all.into_iter().filter_map(report).collect()
    }

    fn state(&self) -> MutexGuard<'_, Lending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&'s self, state: MutexGuard<'s, Lending>) -> MutexGuard<'s, Lending> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl PairLoad {
    fn new(ways: Vec<Way>) -> Self {
        Self {
            chooser: Chooser::new(ways),
            generation: 0,
            at_work: 0,
            older: 0,
            pace: Pace::default(),
            turn: Turn::default(),
            moved: 0,
            took: None,
        }
    }
}

impl Lending {
    /// A buffer, if it fits the memory.
    fn buffer(&mut self, size: usize) -> Option<LargeBuffer> {
        if let Some(at) = self.spare.iter().position(|buffer| buffer.size() == size) {
            return Some(self.spare.swap_remove(at));
        }
        while self.memory + size > IN_FLIGHT {
            self.memory -= self.spare.pop()?.size();
        }
        self.memory += size;
        Some(LargeBuffer::new(size))
    }

    /// Nothing of another size is wanted any more, or nothing at all.
    fn give_back(&mut self, buffer: LargeBuffer) {
        self.spare.push(buffer);
        if self.pairs.values().all(|pair| pair.at_work == 0) && self.waiting.is_empty() {
            self.spare.clear();
            self.memory = 0;
        }
    }

    /// A slot of `pair`, if one is free.
    fn lend<'a>(&mut self, slots: &'a Slots, pair: DevicePair) -> Option<Slot<'a>> {
        let of = self.pairs.get(&pair)?;
        let (way, generation) = (of.chooser.way(), of.generation);
        if of.at_work >= way.depth.min(slots.threads) {
            return None;
        }
        let buffer = self.buffer(way.request)?;
        self.pairs.get_mut(&pair)?.at_work += 1;
        Some(Slot { slots, pair, way, generation, buffer: Some(buffer), loaded: false })
    }
}

impl<'a> Lane<'a> {
    /// Waits for a slot.
    pub(super) fn take(&self) -> Slot<'a> {
        let me = (self.pair, self.file);
        let mut state = self.slots.state();
        state.waiting.push(me);
        loop {
            let is_first = state.waiting.iter().all(|other| other.0 != me.0 || *other >= me);
            if is_first && let Some(slot) = state.lend(self.slots, self.pair) {
                state.waiting.retain(|other| *other != me);
                // The next file may find another one free.
                self.slots.changed.notify_all();
                return slot;
            }
            state = self.slots.wait(state);
        }
    }

    /// One more slot for a file that has some, if one is free and writes as `way` does.
    pub(super) fn try_take(&self, way: WayKind) -> Option<Slot<'a>> {
        let mut state = self.slots.state();
        let first = state.waiting.iter().all(|other| *other > (self.pair, self.file));
        let same = state.pairs.get(&self.pair).is_some_and(|of| of.chooser.way().kind == way);
        if first && same { state.lend(self.slots, self.pair) } else { None }
    }
}

impl Slot<'_> {
    /// How its bytes are to move.
    pub(super) fn way(&self) -> Way {
        self.way
    }

    /// Lends the buffer to `work`.
    pub(super) fn with_buffer<T>(&mut self, work: impl FnOnce(&mut [u8], &mut Self) -> T) -> T {
        // It is only gone while it is lent.
        let mut buffer = self.buffer.take().unwrap_or_else(|| LargeBuffer::new(self.way.request));
        let result = work(buffer.bytes(), self);
        self.buffer = Some(buffer);
        result
    }

    /// The most bytes that the next request should move.
    pub(super) fn request(&self) -> usize {
        let most = self.way.request;
        self.with_pair(|of| of.pace.request(most))
    }

    /// Waits until it may read.
    pub(super) fn reads(&self) {
        self.wait_for_turn(|turn, _| turn.may_read());
    }

    /// Waits until what it has read may be written.
    pub(super) fn writes(&mut self) {
        if self.way.kind == WayKind::Burst {
            self.loaded = true;
            self.with_pair(|of| of.turn.load());
            self.wait_for_turn(Turn::may_write);
        }
    }

    /// One request has been read and written, which took so long.
    pub(super) fn wrote(&mut self, bytes: usize, took: Duration) {
        let now = self.slots.began.elapsed();
        let loaded = std::mem::take(&mut self.loaded);
        self.with_pair(|of| {
            if loaded {
                of.turn.end();
            }
            of.pace.took(bytes, took);
            of.moved += bytes as u64;
            of.took = Some((of.took.map_or(now.saturating_sub(took), |(first, _)| first), now));
            if of.older == 0 && of.chooser.arrived(bytes as u64, now) {
                of.generation += 1;
                of.older = of.at_work;
            }
        });
        self.slots.changed.notify_all();
    }

    /// True if it may go on with another chunk; otherwise somebody else may want it.
    pub(super) fn may_go_on(&self) -> bool {
        self.with_pair(|of| of.generation == self.generation)
    }

    fn with_pair<T: Default>(&self, work: impl FnOnce(&mut PairLoad) -> T) -> T {
        self.slots.state().pairs.get_mut(&self.pair).map(work).unwrap_or_default()
    }

    /// Waits until `is_mine` says so of the turn and of the number of slots that take turns.
    fn wait_for_turn(&self, is_mine: impl Fn(&mut Turn, usize) -> bool) {
        if self.way.kind != WayKind::Burst {
            return;
        }
        let mut state = self.slots.state();
        while let Some(of) = state.pairs.get_mut(&self.pair) {
            // Those that began before or after the way changed take no turns with it.
            let newer = of.at_work.saturating_sub(of.older);
            let alike = if self.generation == of.generation { newer } else { of.older };
            if is_mine(&mut of.turn, alike) {
                break;
            }
            state = self.slots.wait(state);
        }
        drop(state);
        self.slots.changed.notify_all();
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        if let Some(of) = state.pairs.get_mut(&self.pair) {
            if self.loaded {
                of.turn.end();
            }
            of.at_work -= 1;
            if self.generation != of.generation {
                of.older = of.older.saturating_sub(1);
            }
            if of.at_work == 0 {
                of.chooser.pause();
            }
        }
        if let Some(buffer) = self.buffer.take() {
            state.give_back(buffer);
        }
        drop(state);
        self.slots.changed.notify_all();
    }
}
