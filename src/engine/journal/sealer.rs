//! The thread that seals epochs and renames replacements into place.

use super::epoch::seal::Epoch;
use super::epoch::submit::{EpochMessage, ROWS};
use super::epoch::{FileSystems, Gate, Submit, Written};
use super::record::Record;
use super::writer::WriterHandle;
use crate::engine::events::counters::{Counters, add};
use crate::engine::events::problem::Problems;
use crate::engine::events::stop::{Full, Stop, StopReason};
use crate::sys::Errno;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The thread that seals epochs.
#[derive(Debug)]
pub struct Epochs {
    submit: Submit,
    thread: std::thread::JoinHandle<()>,
}

/// What the thread works with.
pub struct Surroundings {
    /// The file systems written to.
    pub file_systems: Arc<FileSystems>,
    /// Where durable rows go.
    pub journal: WriterHandle,
    /// Where the numbers go.
    pub counters: Arc<Counters>,
    /// Where failures of single entries go.
    pub problems: Arc<Problems>,
    /// How the run ends after a failed syncfs.
    pub stop: Stop,
}

impl Epochs {
    /// Starts the thread.
    pub fn start(with: Surroundings) -> std::io::Result<Self> {
        let (sender, receiver) = bounded(4096);
        let submit = Submit::new(sender, Gate::new(FIRST_DIRTY));
        let thread = std::thread::Builder::new().name("epochs".into()).spawn({
            let (gate, memory) = (Arc::clone(&submit.gate), Arc::clone(submit.memory()));
            move || serve(&with, &receiver, &gate, &memory)
        })?;
        Ok(Self { submit, thread })
    }

    /// A sender for the workers.
    #[must_use]
    pub fn submit(&self) -> Submit {
        self.submit.clone()
    }

    /// Seals what is left and waits. All [`Submit`]s must be gone.
    pub fn finish(self, stop: &Stop) {
        drop(self.submit);
        if self.thread.join().is_err() {
            stop.set(StopReason::EpochsPanicked);
        }
    }
}

/// The first bound of the dirty bytes.
const FIRST_DIRTY: u64 = 128 << 20;
/// An epoch is sealed at the latest this long after its first entry.
const LONGEST: Duration = Duration::from_secs(1);
/// More entries than this are not kept in memory.
const MOST_ITEMS: usize = 16_384;

fn serve(with: &Surroundings, receiver: &Receiver<EpochMessage>, gate: &Gate, memory: &Gate) {
    let mut epoch = Epoch::default();
    let mut began = Instant::now();
    let mut void = false;
    loop {
        let mut flushed = None;
        let (mut ended, mut quiet) = (false, false);
        match receiver.recv_timeout(Duration::from_millis(20)) {
            Ok(EpochMessage::Item(item)) => {
                if epoch.items.is_empty() {
                    began = Instant::now();
                }
                if !void {
                    epoch.push(*item);
                }
            }
            Ok(EpochMessage::Flush(done)) => flushed = Some(done),
            Err(RecvTimeoutError::Timeout) => quiet = true,
            Err(RecvTimeoutError::Disconnected) => ended = true,
        }
        let full = epoch.bytes >= gate.limit() / 2 || epoch.items.len() >= MOST_ITEMS || epoch.memory >= ROWS / 4;
        // Waiters get space from a whole epoch; from a smaller one only when nothing more arrives,
        // since a flush for each chunk of a large file would cost more than the chunk.
        let starved = quiet && (gate.is_wanted() || memory.is_wanted());
        let mut due = full || starved || began.elapsed() >= LONGEST;
        // Replacements return for an epoch of their own, so the end may take two.
        while !epoch.items.is_empty() && (due || ended || flushed.is_some()) {
            due = false;
            began = Instant::now();
            match seal(with, std::mem::take(&mut epoch), gate) {
                Some(renamed) => renamed.into_iter().for_each(|item| epoch.push(item)),
                None => void = true,
            }
        }
        if let Some(done) = flushed {
            with.journal.flush();
            // The caller may have given up.
            done.send(()).ok();
        }
        if ended {
            return;
        }
    }
}

/// Seals one epoch; `None` when syncfs failed.
fn seal(with: &Surroundings, epoch: Epoch, gate: &Gate) -> Option<Vec<Written>> {
    let bytes = epoch.bytes;
    let target = epoch.items.iter().find_map(Written::target).unwrap_or(0);
    let started = Instant::now();
    // Permits are given back only now that their bytes are no longer dirty.
    match epoch.seal(&with.file_systems) {
        Ok(sealed) => {
            gate.adapt(bytes, started.elapsed());
            add(&with.counters.durable_bytes, bytes);
            let rows = sealed.durable.records().iter().filter(|record| matches!(record, Record::Row(_))).count();
            add(&with.counters.durable_entries, rows as u64);
            if !sealed.durable.records().is_empty() {
                with.journal.commit(sealed.durable);
            }
            put_in_place(with, sealed.replacing)
        }
        Err(errno) => {
            let full = match errno {
                Errno::NOSPC => Some(Full::Target(target)),
                Errno::DQUOT => Some(Full::Quota(target)),
                _ => None,
            };
            with.stop.set(StopReason::NotDurable(errno, full));
            None
        }
    }
}

/// Renames durable replacements into place once the journal has their rows: what an earlier
/// run finished under these names ends with the renames, whatever becomes of those. The rows
/// of their directories are already recorded. `None` when the journal cannot be written.
fn put_in_place(with: &Surroundings, replacing: Vec<Written>) -> Option<Vec<Written>> {
    let rows: Vec<_> = replacing.iter().filter_map(Written::replacing_row).collect();
    if !rows.is_empty() && !with.journal.replacing(rows) {
        // The writer has said why, and stopped the run.
        return None;
    }
    let mut renamed = Vec::with_capacity(replacing.len());
    for mut item in replacing {
        let (Some(replace), Record::Row(row)) = (item.replace.take(), &mut item.record) else { continue };
        let dir = match replace.put_in_place() {
            Ok(dir) => dir,
            Err(errno) => {
                with.journal.not_replaced(row.dir, row.name.clone());
                with.problems.add(replace.failed(errno));
                continue;
            }
        };
        // From here on the row of the replaced entry is no longer true.
        match replace.settle(&dir, row) {
            Ok(()) => renamed.push(Written { bytes: 0, permit: None, ..item }),
            Err(errno) => drop(with.problems.add(replace.failed(errno))),
        }
    }
    Some(renamed)
}
