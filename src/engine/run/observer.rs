//! Who watches a run.

use crate::engine::events::counters::Counters;
use std::sync::Arc;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking whether it may start; nothing is counted.
    Preflight,
    /// Copying and making durable.
    Copy,
    /// Reading back.
    Verify,
}

/// Is told how far a run is, on the thread that called it; `()` watches nothing.
pub trait Observer {
    /// Nothing was refused: from here on something may be written. The numbers grow until
    /// the run is over; whoever wants to show them reads them.
    fn started(&self, _counters: &Arc<Counters>) {}

    /// The run goes over to `phase`.
    fn entered(&self, _phase: Phase) {}
}

impl Observer for () {}
