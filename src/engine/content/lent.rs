//! A fixed number of large buffers, lent to threads that read.

use super::buffer::LargeBuffer;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of each buffer: the largest request of most devices.
const SIZE: usize = 4 << 20;
/// Buffers that are lent at a time: requests that keep a device's queue filled while others are hashed.
const MOST: usize = 16;

/// The buffers. They take no memory while none is lent.
#[derive(Debug, Default)]
pub(crate) struct LentBuffers {
    state: Mutex<LentState>,
    given_back: Condvar,
}

#[derive(Debug, Default)]
struct LentState {
    lent: usize,
    spare: Vec<LargeBuffer>,
}

impl LentBuffers {
    /// Waits for a buffer, and lends it to `work`.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut buffer = self.take();
        let result = work(buffer.bytes());
        self.give_back(buffer);
        result
    }

    fn take(&self) -> LargeBuffer {
        let mut state = self.state();
        while state.lent >= MOST {
            state = self.given_back.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.lent += 1;
        state.spare.pop().unwrap_or_else(|| LargeBuffer::new(SIZE))
    }

    fn give_back(&self, buffer: LargeBuffer) {
        let mut state = self.state();
        state.lent -= 1;
        state.spare.push(buffer);
        if state.lent == 0 {
            state.spare.clear();
        }
        drop(state);
        self.given_back.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, LentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[test]
    fn no_more_than_so_many_are_lent_and_none_is_kept() {
        let (buffers, at_work, most) = (LentBuffers::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 * MOST {
                scope.spawn(|| {
                    buffers.with(|buffer| {
                        assert_eq!(buffer.len(), SIZE);
                        most.fetch_max(at_work.fetch_add(1, Relaxed) + 1, Relaxed);
                        std::thread::yield_now();
                        at_work.fetch_sub(1, Relaxed);
                    });
                });
            }
        });
        assert!(most.into_inner() <= MOST);
        assert!(buffers.state().spare.is_empty());
    }
}
