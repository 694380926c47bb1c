//! The signals that ask a run to end.

use crate::cli::exit::Exit;
use crate::cli::output::fail;
use crate::engine::events::stop::{Stop, StopReason};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What SIGINT, SIGTERM and SIGHUP do to the run.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// From here on something may be written.
    writing: Arc<AtomicBool>,
}

impl Signals {
    /// Catches them. Before anything is written the first one ends the process at once; later the first
    /// ends the run after its epoch, and the second at once, which is as safe as a power cut.
    pub(super) fn watch(stop: &Stop) -> Self {
        let signals = Self::default();
        let (stop, writing) = (stop.clone(), Arc::clone(&signals.writing));
        let handler = move || {
            if !writing.load(Ordering::SeqCst) {
                fail("a signal asked to stop, before anything was written; the same command starts again", STOPPED);
            } else if stop.set(StopReason::Signal) {
                fail("stopping after the current epoch; once more to stop at once", STOPPED);
                return;
            }
            std::process::exit(STOPPED as i32);
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            // Without the thread the handler would swallow them.
            crate::sys::signals::default_for_stop();
            fail(
                &format!("signals cannot be caught ({error}); an interrupted run can be resumed all the same"),
                Exit::Ok,
            );
        }
        signals
    }

    /// From here on a signal lets the current epoch finish.
    pub(super) fn expect_writes(&self) {
        self.writing.store(true, Ordering::SeqCst);
    }
}

const STOPPED: Exit = Exit::Interrupted;
