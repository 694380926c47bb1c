//! Rows into the journal, by the way that they take in a run: only an epoch makes
//! the `Durable` that the writer accepts.

use crate::kit::{IN_A_DIRECTORY, directory};
use divan::Bencher;
use divan::counter::ItemsCount;
use persistcp::engine::content::digest::{Algorithm, Digest};
use persistcp::engine::events::counters::Counters;
use persistcp::engine::events::stop::Stop;
use persistcp::engine::journal::epoch::{FileSystems, Written};
use persistcp::engine::journal::{Epochs, InodePair, Journal, Location, Row, RowKey, SourceId, Surroundings, Writer};
use persistcp::engine::meta::{Attributes, Keep, Owners, Wanted};
use persistcp::sys::root::Root;
use persistcp::sys::stat::{Stat, stat_fd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const ROWS: usize = 10_000;

/// The row of a small file.
fn row(number: usize, stat: &Stat) -> Row {
    let ino = stat.ino + number as u64;
    let inode = Stat { ino, nlink: 1, ..*stat };
    let name = format!("file-{number}").into_bytes();
    let key = RowKey { dir: i64::try_from(1 + number / IN_A_DIRECTORY).expect("small"), name: &name, target: 0 };
    let id = Some(SourceId { volume: Some(1), ino, ctime: stat.ctime });
    let wanted = Wanted::from_source(stat, Attributes::default(), &Keep { owner: Owners::Kept, atime: false });
    let digest = Digest { algorithm: Algorithm::Blake3, bytes: *blake3::hash(&number.to_le_bytes()).as_bytes() };
    Row::file(key, InodePair { source: &inode, id, target: &inode, wanted }, digest)
}

/// An empty journal with its threads.
struct Open {
    epochs: Epochs,
    writer: Writer,
    counters: Arc<Counters>,
    stop: Stop,
    journal: Journal,
}

impl Open {
    fn new() -> Self {
        let journal = Journal::open(Location::new(directory().join("state"), "bench"), false).expect("a journal");
        let (stop, counters) = (Stop::default(), Arc::new(Counters::new(1)));
        let writer = Writer::start(&journal, stop.clone()).expect("the writer");
        // The rows say that they lie on a file system whose syncfs has nothing to do:
        // what is left is the journal's own cost.
        let file_systems = Arc::new(FileSystems::default());
        let nothing = Root::open(Path::new("/proc")).expect("/proc");
        assert_eq!(file_systems.index(0, &nothing), Ok(0));
        let epochs = Epochs::start(Surroundings {
            file_systems,
            journal: writer.handle(),
            counters: Arc::clone(&counters),
            problems: Arc::default(),
            stop: stop.clone(),
        });
        Self { epochs: epochs.expect("the thread of the epochs"), writer, counters, stop, journal }
    }

    /// Hands in `rows` as so many epochs, each a transaction, and folds the log at the end.
    fn insert(self, rows: Vec<Row>, epochs: usize) -> Journal {
        let submit = self.epochs.submit();
        for (number, row) in (1..).zip(rows) {
            submit.send(Written::row(row, 0));
            if number % (ROWS / epochs) == 0 {
                submit.flush();
            }
        }
        drop(submit);
        self.epochs.finish(&self.stop);
        self.writer.finish().expect("a whole journal");
        assert_eq!(self.counters.durable_entries.load(Relaxed), ROWS as u64);
        self.journal
    }
}

/// By the number of epochs.
#[divan::bench(args = [1, 10, 100], sample_count = 50, sample_size = 1)]
fn insert(bencher: Bencher<'_, '_>, epochs: usize) {
    let stat = Root::open(&directory()).and_then(stat_fd).expect("a stat");
    let ready = || (Open::new(), (0..ROWS).map(|number| row(number, &stat)).collect());
    let (open, rows) = ready();
    let load = open.insert(rows, epochs).reader().and_then(|reader| reader.verify_load(false));
    assert_eq!(load.expect("a journal that can be read").0, ROWS as u64, "all rows are there");
    bencher
        .counter(ItemsCount::new(ROWS))
        .with_inputs(ready)
        .bench_local_values(|(open, rows)| open.insert(rows, epochs));
}
