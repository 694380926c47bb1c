//! Watching a run.

use crate::engine::events::counters::Counters;
use std::sync::Arc;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Checking whether it may start; nothing is counted.
    Preflight,
    /// Copying and making durable.
    Copy,
    /// Reading back.
    Verify,
}

/// Is told how far a run has got, on the thread that called it; `()` watches nothing.
pub trait Observer {
    /// Nothing was refused: from here on something may be written. The counters grow until the run is
    /// over; whoever wants to show them reads them.
    fn started(&self, _counters: &Arc<Counters>) {}

    /// The run enters `phase`.
    fn entered(&self, _phase: Phase) {}
}

impl Observer for () {}
