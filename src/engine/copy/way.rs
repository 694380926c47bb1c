//! Makes way for what the source has in the place of a directory that an earlier run copied.

use super::engine::Engine;
use super::entry::CopyEntry;
use super::retyped::RetypedName;
use crate::engine::journal::RowAnswer;
use crate::engine::stale;
use crate::sys::Errno;
use std::sync::Arc;

impl Engine {
    /// Removes the directories, and copies what takes their places.
    pub(super) fn replace_retyped(&self) {
        let waiting = self.leaves.retyped.take();
        if waiting.is_empty() {
            return;
        }
        let run = &self.cx.run;
        self.cx.submit.flush();
        // That they are stale is recorded before they go, and forgotten with them.
        run.problems.record_waiting();
        run.writer.flush();
        let reader = self.cx.records.ask(run.journal.reader());
        let is_whole = reader.as_ref().is_some_and(|reader| stale::is_whole(&run.problems, reader));
        for RetypedName { dir, name, own, kind } in waiting {
            let node = &dir.node;
            if let Some(reader) = reader.as_ref().filter(|_| !run.stop.is_set())
                && let Some(Some(row)) = self.cx.records.ask(reader.find(node.id, &name))
                && let Ok(target) = node.open()
                && (is_whole || matches!(target.stat_at(&name), Err(Errno::NOENT)))
            {
                let place = (&*target, &node.path(), &name);
                self.cx.records.ask(stale::clear_way(run, &self.cx.file_systems, reader, place, &row));
            }
            if !run.stop.is_set() {
                // Its row was the directory's.
                let recorded = &RowAnswer::Unasked;
                self.leaves.copy(&CopyEntry { dir: &dir, name: &name, own, reader: None, recorded }, kind);
            }
            self.directories.release(Arc::clone(node));
        }
    }
}
