//! Epochs: entries are durable only after a syncfs that began after they were
//! written and whose descriptor was opened before.
//!
//! [`Durable`] has a private field and one maker, `Epoch::seal`; the journal
//! accepts nothing else. After a failed syncfs the epoch is void: none of its
//! entries is recorded, and the run stops, because the kernel reports a lost
//! page once and then forgets it.

use super::{Record, Row, WriterHandle};
use crate::base::path::{Name, RelPath};
use crate::engine::events::counters::{Counters, add};
use crate::engine::events::detail::{Advice, Detail};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::{Problem, Problems};
use crate::engine::events::stop::{Full, Reason, Stop};
use crate::engine::events::unpreserved::Disk;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::filesystem::{SyncFd, space};
use crate::sys::stat::Stat;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::fd::AsFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The file systems that are written to, each with its own syncfs descriptor.
#[derive(Debug, Default)]
pub struct FileSystems(Mutex<Vec<(Disk, Arc<SyncFd>)>>);

impl FileSystems {
    /// The index of the file system with device number `dev`, opened through
    /// `dir` when it is new. Must be called before anything is written to it.
    pub fn index(&self, dev: u64, dir: impl AsFd) -> Result<usize, Errno> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = known.iter().position(|(disk, _)| disk.dev == dev) {
            return Ok(index);
        }
        let bare = space(&dir)?.may_lack_owners();
        known.push((Disk { dev, bare }, Arc::new(SyncFd::open(dir)?)));
        Ok(known.len() - 1)
    }

    /// What is known of the file system at `index`.
    #[must_use]
    pub fn disk(&self, index: usize) -> Option<Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(index).map(|(disk, _)| *disk)
    }

    /// Syncs every file system that was written to.
    pub fn sync_all(&self) -> Result<(), Errno> {
        let known: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(_, fd)| Arc::clone(fd)).collect();
        known.iter().try_for_each(|fd| fd.sync())
    }

    fn get(&self, index: usize) -> Option<Arc<SyncFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(index).map(|(_, fd)| Arc::clone(fd))
    }
}

/// An entry whose every system call has succeeded, waiting for the medium.
#[derive(Debug)]
pub struct Written {
    /// What the journal will say.
    pub record: Record,
    /// Index of its file system.
    pub file_system: usize,
    /// Data bytes, for progress.
    pub bytes: u64,
    /// To be put in the place of an existing entry once durable.
    pub replace: Option<Replace>,
    /// Its share of the dirty bytes, given back when the epoch is sealed.
    pub permit: Option<Permit>,
    /// Its share of the memory for large rows, given back when the journal has it.
    pub memory: Option<Permit>,
}

impl Written {
    /// An entry that adds nothing to the dirty bytes.
    #[must_use]
    pub fn row(row: Row, file_system: usize) -> Self {
        Self { record: Record::Row(Box::new(row)), file_system, bytes: 0, replace: None, permit: None, memory: None }
    }

    /// Index of the plan's target, where the record says it.
    fn target(&self) -> Option<u32> {
        match &self.record {
            Record::Row(row) => Some(row.target),
            Record::Chunk(_) => None,
        }
    }

    /// Its row, if it will take the place of something else.
    fn replacing_row(&self) -> Option<Row> {
        match (&self.replace, &self.record) {
            // The new inode's ctime is not known before the rename; the older one's tells it from any change.
            (Some(replace), Record::Row(row)) => {
                let dst_ctime = replace.stands.map(|stands| stands.ctime).unwrap_or_default();
                Some(Row { dst_ctime, ..(**row).clone() })
            }
            _ => None,
        }
    }

    /// It is to be put in the place of something else.
    #[must_use]
    pub fn replacing(self, replace: Option<Replace>) -> Self {
        Self { replace, ..self }
    }
}

/// A directory of the target that can open itself again.
pub trait Directory: std::fmt::Debug + Send + Sync {
    /// A descriptor of it; `ESTALE` when another directory stands there.
    fn open(&self) -> Result<Arc<TargetDir>, Errno>;
    /// Its path below the root.
    fn path(&self) -> RelPath;
}

/// A finished file under a temporary name. It keeps its directory unfinished.
#[derive(Debug)]
pub struct Replace {
    /// The directory of both names.
    pub dir: Arc<dyn Directory>,
    /// The temporary name.
    pub temporary: Name,
    /// The name that it gets.
    pub name: Name,
    /// What had that name when it was judged, and alone may be replaced.
    pub stands: Option<Stat>,
}

/// Entries that the medium has. Only `Epoch::seal` makes one.
#[derive(Debug)]
pub struct Durable {
    records: Vec<Record>,
    /// Held until the records are in the journal.
    memory: Vec<Permit>,
}

impl Durable {
    /// What may now be recorded.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

/// Entries that are synced together.
#[derive(Debug, Default)]
struct Epoch {
    items: Vec<Written>,
    bytes: u64,
    /// Of its large rows.
    memory: u64,
}

/// What an epoch leaves: what may be recorded, and replacements that are durable under
/// their temporary names.
struct Sealed {
    durable: Durable,
    replacing: Vec<Written>,
}

impl Epoch {
    fn push(&mut self, item: Written) {
        self.bytes += item.bytes;
        self.memory += item.memory.as_ref().map_or(0, |permit| permit.bytes);
        self.items.push(item);
    }

    /// Syncs every file system of the epoch.
    fn seal(self, file_systems: &FileSystems) -> Result<Sealed, Errno> {
        let mut indices: Vec<usize> = self.items.iter().map(|i| i.file_system).collect();
        indices.sort_unstable();
        indices.dedup();
        for index in indices {
            // An index only comes from the same table, which never shrinks.
            file_systems.get(index).ok_or(Errno::BADF)?.sync()?;
        }
        let durable = Durable { records: Vec::with_capacity(self.items.len()), memory: Vec::new() };
        let mut sealed = Sealed { durable, replacing: Vec::new() };
        for item in self.items {
            if item.replace.is_some() {
                sealed.replacing.push(item);
            } else {
                sealed.durable.records.push(item.record);
                sealed.durable.memory.extend(item.memory);
            }
        }
        Ok(sealed)
    }
}

impl Replace {
    /// Takes the temporary name away and says what stands in the way.
    fn failed(&self, errno: Errno) -> Problem {
        // A leftover is recognised by its name and removed by the next run.
        self.dir.open().and_then(|dir| dir.unlink(&self.temporary)).ok();
        if errno == Errno::EXIST {
            return Problem::new(
                self.dir.path().join(&self.name),
                ProblemKind::ChangedTarget,
                Detail::ChangedWhileCopied,
            );
        }
        let mut problem = Problem::failed(self.dir.path().join(&self.name), ProblemKind::Io, Operation::Replace, errno);
        if errno == Errno::PERM {
            problem.advice = Some(Advice::LiftImmutable);
        }
        problem
    }

    fn put_in_place(&self, row: &mut Row) -> Result<(), Errno> {
        let dir = self.dir.open()?;
        match (dir.stat_at(&self.name), &self.stands) {
            (Err(Errno::NOENT), _) => {}
            (Ok(now), Some(then)) if is_same(&now, then) => {}
            // Somebody is at work there: what is newer is not overwritten.
            (Ok(_), _) => return Err(Errno::EXIST),
            (Err(errno), _) => return Err(errno),
        }
        dir.rename(&self.temporary, &self.name)?;
        let stat = dir.stat_at(&self.name)?;
        if stat.ino != row.dst_ino {
            // Somebody who may write here swapped the names meanwhile.
            return Err(Errno::STALE);
        }
        if stat.nlink > 1 {
            // Between two names of one inode rename(2) does nothing, and says that it has.
            match dir.unlink(&self.temporary) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        // The rename moves the ctime that a resume compares.
        row.dst_ctime = stat.ctime;
        Ok(())
    }
}

/// True when nobody has changed the content since. Other names of the inode may have come
/// or gone, and flags of ours may have been lifted.
fn is_same(now: &Stat, then: &Stat) -> bool {
    (now.kind, now.ino, now.size, now.mtime) == (then.kind, then.ino, then.size, then.mtime)
        && (now.ctime == then.ctime || then.nlink > 1 || now.nlink != then.nlink || then.is_immutable_or_append())
}

/// The bound on bytes that are written and not yet durable.
#[derive(Debug)]
pub struct Gate {
    used: Mutex<u64>,
    freed: Condvar,
    limit: AtomicU64,
    waiting: AtomicUsize,
}

/// A share of the gate's bytes; dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    bytes: u64,
}

/// Bounds of the dirty bytes of an epoch: below, syncfs calls would dominate;
/// above, progress would lag.
const LEAST_DIRTY: u64 = 8 << 20;
const MOST_DIRTY: u64 = 512 << 20;
/// What every file costs beyond its data: inode, directory entry, journal row.
const ENTRY_COST: u64 = 4096;
/// Rows of more bytes than this have a share of [`ROWS`].
const LARGE_ROW: u64 = 512;
/// Bytes that large rows, those with attributes, may take between the copy and the journal.
const ROWS: u64 = 64 << 20;

impl Gate {
    fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            used: Mutex::new(0),
            freed: Condvar::new(),
            limit: AtomicU64::new(limit),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Waits until an entry with `bytes` more may become dirty. A file larger than the bound takes all of it.
    pub fn acquire(self: &Arc<Self>, bytes: u64) -> Permit {
        self.share(bytes + ENTRY_COST)
    }

    fn share(self: &Arc<Self>, wanted: u64) -> Permit {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let limit = self.limit.load(Relaxed);
            let bytes = wanted.min(limit);
            if *used == 0 || *used + bytes <= limit {
                *used += bytes;
                return Permit { gate: Arc::clone(self), bytes };
            }
            self.waiting.fetch_add(1, Relaxed);
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
            self.waiting.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.gate.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.gate.freed.notify_all();
    }
}

/// What workers send.
#[derive(Debug)]
enum Message {
    Item(Box<Written>),
    Flush(Sender<()>),
}

/// The thread that seals epochs.
#[derive(Debug)]
pub struct Epochs {
    sender: Sender<Message>,
    gate: Arc<Gate>,
    memory: Arc<Gate>,
    replacing: Arc<Replacing>,
    thread: std::thread::JoinHandle<()>,
}

/// What workers hold to hand in entries.
#[derive(Clone, Debug)]
pub struct Submit {
    sender: Sender<Message>,
    /// Bounds the dirty bytes.
    pub gate: Arc<Gate>,
    /// Bounds the bytes of large rows.
    memory: Arc<Gate>,
    replacing: Arc<Replacing>,
}

/// What takes its room twice until it is put in the place of what it replaces.
#[derive(Debug, Default)]
struct Replacing {
    /// Entries that were handed in since [`Submit::makes_room`] has waited for all before them.
    waiting: AtomicUsize,
    /// How often it has.
    made: Mutex<u64>,
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
        let (gate, memory) = (Gate::new(128 << 20), Gate::new(ROWS));
        let thread = std::thread::Builder::new().name("epochs".into()).spawn({
            let (gate, memory) = (Arc::clone(&gate), Arc::clone(&memory));
            move || serve(&with, &receiver, &gate, &memory)
        })?;
        Ok(Self { sender, gate, memory, replacing: Arc::default(), thread })
    }

    /// A sender for the workers.
    #[must_use]
    pub fn submit(&self) -> Submit {
        Submit {
            sender: self.sender.clone(),
            gate: Arc::clone(&self.gate),
            memory: Arc::clone(&self.memory),
            replacing: Arc::clone(&self.replacing),
        }
    }

    /// Seals what is left and waits. All [`Submit`]s must be gone.
    pub fn finish(self, stop: &Stop) {
        drop(self.sender);
        if self.thread.join().is_err() {
            stop.set(Reason::Fatal(
                "the thread that makes entries durable panicked; what it had is not recorded".into(),
            ));
        }
    }
}

impl Submit {
    /// Hands in an entry; waits while an epoch is being sealed and the queue is full.
    pub fn send(&self, mut written: Written) {
        if written.replace.is_some() {
            self.replacing.waiting.fetch_add(1, Relaxed);
        }
        let bytes = match &written.record {
            Record::Row(row) => row.heap_bytes(),
            Record::Chunk(_) => 0,
        };
        if bytes > LARGE_ROW {
            written.memory = Some(self.memory.share(bytes));
        }
        // The thread ends only when all senders are gone.
        drop(self.sender.send(Message::Item(Box::new(written))));
    }

    /// How often room was made, to be asked before something is written.
    #[must_use]
    pub fn room_made(&self) -> u64 {
        *self.replacing.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After `ENOSPC` or `EDQUOT`: puts all that waits for it in the place of what it
    /// replaces. True when that has given room back since [`Self::room_made`] said `before`.
    pub fn makes_room(&self, errno: Errno, before: u64) -> bool {
        if !matches!(errno, Errno::NOSPC | Errno::DQUOT) {
            return false;
        }
        let mut made = self.replacing.made.lock().unwrap_or_else(PoisonError::into_inner);
        if *made == before && self.replacing.waiting.swap(0, Relaxed) > 0 {
            self.flush();
            *made += 1;
        }
        *made != before
    }

    /// Waits until everything handed in before is durable, in its place and in the journal.
    pub fn flush(&self) {
        let (sender, receiver) = bounded(1);
        if self.sender.send(Message::Flush(sender)).is_ok() {
            // A thread that ended has nothing left to seal.
            receiver.recv().ok();
        }
    }
}

/// An epoch is sealed at the latest this long after its first entry.
const LONGEST: Duration = Duration::from_secs(1);
/// More entries than this are not kept in memory.
const MOST_ITEMS: usize = 16_384;

fn serve(with: &Surroundings, receiver: &Receiver<Message>, gate: &Gate, memory: &Gate) {
    let mut epoch = Epoch::default();
    let mut began = Instant::now();
    let mut void = false;
    loop {
        let mut flushed = None;
        let (mut ended, mut quiet) = (false, false);
        match receiver.recv_timeout(Duration::from_millis(20)) {
            Ok(Message::Item(item)) => {
                if epoch.items.is_empty() {
                    began = Instant::now();
                }
                if !void {
                    epoch.push(*item);
                }
            }
            Ok(Message::Flush(done)) => flushed = Some(done),
            Err(RecvTimeoutError::Timeout) => quiet = true,
            Err(RecvTimeoutError::Disconnected) => ended = true,
        }
        let full =
            epoch.bytes >= gate.limit.load(Relaxed) / 2 || epoch.items.len() >= MOST_ITEMS || epoch.memory >= ROWS / 4;
        // Whoever waits for room gets it from a whole epoch; from less only when nothing comes any
        // more. A flush for each chunk of a large file would cost more than the chunk.
        let starved = quiet && gate.waiting.load(Relaxed) + memory.waiting.load(Relaxed) > 0;
        let mut due = full || starved || began.elapsed() >= LONGEST;
        // Replacements come back for an epoch of their own, so the end may take two.
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
            // Whoever asked may have given up.
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
            adapt(gate, bytes, started.elapsed());
            add(&with.counters.durable_bytes, bytes);
            let rows = sealed.durable.records.iter().filter(|record| matches!(record, Record::Row(_))).count();
            add(&with.counters.durable_entries, rows as u64);
            if !sealed.durable.records.is_empty() {
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
            with.stop.set(Reason::NotDurable(errno, full));
            None
        }
    }
}

/// Puts durable replacements in their place, once the journal has their rows: what an
/// earlier run finished under these names ends with the renames, whatever becomes of those.
/// The rows of their directories are recorded by then. `None` when the journal takes nothing.
fn put_in_place(with: &Surroundings, replacing: Vec<Written>) -> Option<Vec<Written>> {
    let rows: Vec<_> = replacing.iter().filter_map(Written::replacing_row).collect();
    if !rows.is_empty() && !with.journal.replacing(rows) {
        // The writer has said why, and stopped the run.
        return None;
    }
    let mut renamed = Vec::with_capacity(replacing.len());
    for mut item in replacing {
        let (Some(replace), Record::Row(row)) = (item.replace.take(), &mut item.record) else { continue };
        match replace.put_in_place(row) {
            Ok(()) => renamed.push(Written { bytes: 0, permit: None, ..item }),
            Err(errno) => {
                with.journal.not_replaced(row.dir, row.name.clone());
                with.problems.add(replace.failed(errno));
            }
        }
    }
    Some(renamed)
}

/// Moves the bound towards what the device writes in about a second.
fn adapt(gate: &Gate, bytes: u64, took: Duration) {
    let limit = gate.limit.load(Relaxed);
    if took > Duration::from_millis(1500) {
        gate.limit.store((limit / 2).max(LEAST_DIRTY), Relaxed);
    } else if took < Duration::from_millis(500) && bytes >= limit / 2 {
        gate.limit.store((limit * 2).min(MOST_DIRTY), Relaxed);
    }
}
