//! The engine's observer: progress on the terminal, and what a signal means at the moment.

use super::progress::{Progress, Style};
use super::signals::Signals;
use crate::engine::events::counters::Counters;
use crate::engine::events::stop::Stop;
use crate::engine::run::{Observer, Phase};
use std::sync::{Arc, OnceLock};

pub(super) struct Watcher {
    signals: Signals,
    style: Style,
    progress: OnceLock<Progress>,
}

impl Watcher {
    /// Catches signals from here on.
    pub(super) fn new(stop: &Stop, style: Style) -> Self {
        Self { signals: Signals::watch(stop), style, progress: OnceLock::new() }
    }

    /// Clears what is shown.
    pub(super) fn finish(self) {
        self.progress.into_inner().into_iter().for_each(Progress::finish);
    }
}

impl Observer for Watcher {
    fn started(&self, counters: &Arc<Counters>) {
        self.signals.expect_writes();
        self.progress.get_or_init(|| Progress::start(self.style, counters));
    }

    fn entered(&self, phase: Phase) {
        self.progress.get().into_iter().for_each(|progress| progress.phase(phase));
    }
}
