//! The corrections after the copy, made durable and recorded.

use super::copying::Copying;
use super::shared::SharedRun;
use crate::engine::context::RunContext;
use crate::engine::events::stop::StopReason;
use crate::engine::fixup;
use crate::engine::journal::Reader;

impl Copying {
    /// Applies the fixups, and records their changes once they are durable.
    pub(super) fn fix_up(&self, run: &SharedRun<'_>, by_copy: &[bool]) -> Vec<fixup::FixupOutcome> {
        let RunContext { journal, writer, stop, .. } = &run.context;
        if stop.is_set() {
            return Vec::new();
        }
        writer.flush();
        let Some(reader) = run.context.heed(journal.reader()) else { return Vec::new() };
        let applied = fixup::apply(means(run, &reader), by_copy);
        if let Err(errno) = self.file_systems.sync_all() {
            stop.set(StopReason::FixupsNotDurable(errno));
        }
        if !stop.is_set() {
            writer.fixed(applied.fixed);
            writer.meta(fixup::FIXED, applied.paths);
        }
        applied.outcomes
    }
}

impl SharedRun<'_> {
    /// Reports fixups that do not hold.
    pub(super) fn check_fixups(&self) {
        if !self.is_stopped()
            && let Some(reader) = self.context.heed(self.context.journal.reader())
        {
            fixup::check(means(self, &reader));
        }
    }
}

fn means<'a>(run: &'a SharedRun<'_>, reader: &'a Reader) -> fixup::FixupContext<'a> {
    fixup::FixupContext {
        plan: &run.context.mapping,
        owners: !run.options.allow.no_owner,
        repair: run.options.task.is_repair(),
        journal: Some(reader),
        problems: &run.context.problems,
    }
}
