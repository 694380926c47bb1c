//! Verification: every entry of the journal against the target, content from
//! the medium and all metadata.

pub(crate) mod extra;
mod groups;
mod large;
mod medium;
mod since;

pub use medium::{Medium, WorstMedium};
pub(crate) use medium::{is_memory, read_chunk};
pub use since::Since;

use crate::clock;
use crate::journal::{Journal, JournalError, Reader, Row, Seen, WriterHandle};
use crate::meta::{self, Actual, Xattrs};
use crate::pace::Pace;
use crate::path::{Name, RelPath};
use crate::plan::resolved::Resolved;
use crate::problem::{Problem, ProblemKind, Problems};
use crate::progress::counters::{Counters, add};
use crate::stop::{Reason, Stop};
use crate::sys::Errno;
use crate::sys::dir::{TargetDir, open_target};
use crate::sys::flags::{self, Flags};
use crate::sys::stat::{Kind, Stat, Time};
use crate::sys::xattr::Holder;
use medium::{ReadError, Reading};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What verification looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Content and metadata.
    Content,
    /// Metadata alone.
    Metadata,
}

/// Which entries verification looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything that is recorded, and names that are not.
    All,
    /// After a copy: what was not verified since it was written.
    Unverified,
    /// What changed or was not verified since; and names that are not recorded.
    Since(Since),
}

/// Everything that verification needs.
pub struct Verifier {
    /// The plan; its entries are not asked for, the journal's are.
    pub plan: Arc<Resolved>,
    /// Names of the targets by the journal's numbers, the plan's first.
    pub targets: Vec<String>,
    /// Destinations of the declared entries: at and below them every name is the plan's.
    pub owned: HashSet<RelPath>,
    /// Device and inode number of the journal's directory.
    pub state: Option<(u64, u64)>,
    /// What to look at in each entry.
    pub depth: Depth,
    /// Which entries.
    pub scope: Scope,
    /// Entries that the scope left out.
    pub left_out: AtomicU64,
    /// Threads.
    pub threads: usize,
    /// Where numbers go.
    pub counters: Arc<Counters>,
    /// Where differences go.
    pub problems: Arc<Problems>,
    /// How to end early.
    pub stop: Stop,
    /// How fast bytes may be read.
    pub pace: Pace,
    /// Where the results are recorded.
    pub journal: WriterHandle,
    /// How the medium was read.
    pub medium: WorstMedium,
    /// Connections for the chunks of large files, one for each thread at most.
    pub readers: Mutex<Vec<Reader>>,
}

/// What came of looking at one entry.
pub(crate) enum Looked {
    /// It was verified before and has not changed since.
    LeftOut,
    /// Its differences; the ctime that it had before, if it is there.
    At { ctime: Option<Time>, found: Vec<Problem> },
    /// The run is ending.
    Stopped,
}

/// Rows that are looked at together; all lie in one directory.
struct Batch {
    dir: i64,
    rows: Vec<Row>,
}

const PAGE: u32 = 512;
/// Attributes can take 64 KiB each: a batch is closed with them.
const BATCH_BYTES: u64 = 256 << 10;

impl Verifier {
    /// Verifies what the journal lists.
    pub fn run(&self, journal: &Journal) -> Result<(), JournalError> {
        let reader = self.prepare(journal)?;
        // After a run with nothing to do, a second scan of the whole journal would find nothing either.
        if self.scope == Scope::Unverified && self.counters.verify_entries.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        // The queue bounds the rows in memory, whatever the number of files.
        let (sender, receiver) = crossbeam_channel::bounded::<(RelPath, Batch)>(2 * self.threads);
        std::thread::scope(|scope| {
            let mut started = 0;
            for _ in 0..self.threads {
                let receiver = receiver.clone();
                let serve = move || {
                    for (path, batch) in receiver {
                        if !self.stop.is_set() {
                            self.batch(&path, batch);
                        }
                    }
                };
                if std::thread::Builder::new().name("verify".into()).spawn_scoped(scope, serve).is_err() {
                    break;
                }
                started += 1;
            }
            drop(receiver);
            // Consumed there: its end is what ends the threads. Where none can be started, this one does it all.
            self.feed(&reader, (started > 0).then_some(sender))
        })?;
        self.groups(&reader)
    }

    /// Opens the connections and tells the counters how much there is to do.
    pub(crate) fn prepare(&self, journal: &Journal) -> Result<Reader, JournalError> {
        self.journal.flush();
        let reader = journal.reader()?;
        for _ in 0..self.threads {
            self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(journal.reader()?);
        }
        let (entries, bytes) = reader.verify_load(self.scope == Scope::Unverified)?;
        self.counters.verify_entries.store(entries, Ordering::Relaxed);
        self.counters.verify_bytes.store(bytes, Ordering::Relaxed);
        Ok(reader)
    }

    fn feed(
        &self,
        reader: &Reader,
        sender: Option<crossbeam_channel::Sender<(RelPath, Batch)>>,
    ) -> Result<(), JournalError> {
        let mut after = (-1, Vec::new());
        let mut place = (0, RelPath::root());
        loop {
            let page = reader.page((after.0, &after.1), self.scope == Scope::Unverified, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.dir, last.name.clone());
            let mut rows = page.into_iter().peekable();
            while let Some(first) = rows.next() {
                let dir = first.dir;
                let mut bytes = first.heap_bytes();
                let mut batch = Batch { dir, rows: vec![first] };
                while batch.rows.len() < 64
                    && bytes < BATCH_BYTES
                    && let Some(row) = rows.next_if(|row| row.dir == dir)
                {
                    bytes += row.heap_bytes();
                    batch.rows.push(row);
                }
                if place.0 != dir {
                    place = (dir, reader.path_of(dir)?);
                }
                batch.rows.sort_unstable_by_key(|row| row.dst_ino);
                if self.stop.is_set() {
                    return Ok(());
                }
                match &sender {
                    // The threads end only with the channel.
                    Some(sender) => drop(sender.send((place.1.clone(), batch))),
                    None => self.batch(&place.1, batch),
                }
            }
        }
    }

    fn batch(&self, path: &RelPath, batch: Batch) {
        debug_assert!(batch.rows.iter().all(|row| row.dir == batch.dir), "one directory");
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        let opened = open_target(&self.plan.root, path).map(|dir| (is_memory(&dir), dir));
        for row in batch.rows {
            if self.stop.is_set() {
                break;
            }
            let Ok(name) = Name::new(&row.name) else { continue };
            let looked = match &opened {
                Ok((memory, dir)) => self.entry(dir, *memory, path, &name, &row),
                Err(errno) => Looked::At { ctime: None, found: vec![unreachable(&path.join(&name), *errno)] },
            };
            let (ctime, found) = match looked {
                Looked::Stopped => break,
                Looked::LeftOut => {
                    add(&self.left_out, 1);
                    continue;
                }
                Looked::At { ctime, found } => (ctime, found),
            };
            if let Some(tally) = self.counters.targets.get(row.target as usize) {
                add(&tally.verified, 1);
            }
            if let Ok((_, dir)) = &opened
                && self.scope != Scope::Unverified
            {
                self.extra_names(dir, &name, &path.join(&name), &row);
            }
            match ctime.filter(|_| found.is_empty()) {
                // The content was not looked at: that it is good is not known.
                Some(_) if row.kind() == Kind::File && self.depth == Depth::Metadata => {}
                Some(ctime) => good.push(Seen { dir: row.dir, name: row.name, ctime }),
                None => bad.push((row.dir, row.name)),
            }
            found.into_iter().for_each(|problem| self.problem(row.target, problem));
        }
        if !good.is_empty() {
            self.journal.verified(clock::now().unix(), good);
        }
        if !bad.is_empty() {
            self.journal.bad(bad);
        }
    }

    pub(crate) fn problem(&self, target: u32, problem: Problem) {
        self.problems.add(problem.in_target(self.targets.get(target as usize).map_or("", String::as_str)));
    }

    /// Asks the journal through a connection of the pool. One that cannot be read ends the run.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Reader) -> Result<T, JournalError>) -> Option<T> {
        let reader = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let answer = question(&reader);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        answer.map_err(|error| stop_on(&error, &self.stop)).ok()
    }

    /// All differences of one entry.
    pub(crate) fn entry(&self, dir: &TargetDir, memory: bool, parent: &RelPath, name: &Name, row: &Row) -> Looked {
        let path = parent.join(name);
        let stat = match dir.stat_at(name) {
            Ok(stat) => stat,
            Err(errno) => return Looked::At { ctime: None, found: vec![unreachable(&path, errno)] },
        };
        if let Scope::Since(since) = self.scope
            && !since.asks_for(row, &stat)
        {
            // It is as it was, and so is what it has lost.
            self.tell_losses(&path, row, stat.dev);
            return Looked::LeftOut;
        }
        let attributes = read_attributes(dir, name, stat.kind, &row.wanted);
        let unread = attributes.as_ref().err().copied();
        let attributes = attributes.ok();
        let actual = Actual {
            stat: &stat,
            xattrs: attributes.as_ref().map(|a| &a.0),
            flags: attributes.as_ref().and_then(|a| a.1).map(|a| a.0),
            project: attributes.as_ref().and_then(|a| a.1).map(|a| a.1),
        };
        let mut found = meta::compare(&path, &row.wanted, actual);
        found.extend(unread.map(|errno| Problem::failed(path.clone(), ProblemKind::Io, "read attributes", errno)));
        if stat.kind == row.kind() {
            found.extend(compare_rest(dir, &path, name, row, &stat));
            let content = stat.kind == Kind::File && self.depth == Depth::Content && row.size == stat.size;
            if content && !(row.alias && self.is_vouched_for(row)) {
                match self.content(dir, memory, &path, name, row) {
                    Ok(problem) => found.extend(problem),
                    Err(ReadError::Stopped) => return Looked::Stopped,
                    Err(ReadError::Failed(operation, errno)) => {
                        found.push(Problem::failed(path.clone(), ProblemKind::Io, operation, errno));
                    }
                }
            }
        }
        found.retain(|problem| !problem.is_known(row.wanted.lost));
        self.tell_losses(&path, row, stat.dev);
        Looked::At { ctime: Some(stat.ctime), found }
    }

    /// True when the content of this further name is verified under another one.
    pub(crate) fn is_vouched_for(&self, row: &Row) -> bool {
        self.ask(|reader| reader.vouched_for(row)).unwrap_or(false)
    }

    /// What the file system cannot hold was counted when it was copied; a pass
    /// that only verifies counts it again. No run can mend it. Of an inode with
    /// several names it is told once.
    fn tell_losses(&self, path: &RelPath, row: &Row, dev: u64) {
        if self.scope == Scope::Unverified || row.alias {
            return;
        }
        for loss in row.wanted.lost.each() {
            self.problem(row.target, Problem::lost(path.clone(), loss, dev));
        }
    }

    fn content(
        &self,
        dir: &TargetDir,
        memory: bool,
        path: &RelPath,
        name: &Name,
        row: &Row,
    ) -> Result<Option<Problem>, ReadError> {
        let Some(digest) = row.digest else { return Ok(None) };
        let reading = Reading::open(dir, name)?;
        let found = match self.chunks_of(row) {
            Some(chunks) => self.compare_chunks(&reading, path, row, &chunks),
            None => reading.digest(digest.algorithm, &self.pace).map(|found| {
                let hex = |bytes: &[u8; 32]| format!("BLAKE3 {}", blake3::Hash::from_bytes(*bytes).to_hex());
                (found != digest).then(|| {
                    Problem::differs(path.clone(), ProblemKind::Content, hex(&digest.bytes), hex(&found.bytes))
                })
            }),
        };
        let bytes = reading.finish(memory, &self.medium);
        if let Some(tally) = self.counters.targets.get(row.target as usize) {
            add(&tally.verified_bytes, bytes);
        }
        found
    }
}

pub(crate) fn unreachable(path: &RelPath, errno: Errno) -> Problem {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Problem::new(
            path.clone(),
            ProblemKind::Missing,
            "it was copied and is gone from the target; --repair copies it again",
        ),
        _ => Problem::failed(path.clone(), ProblemKind::Io, "open on the target", errno),
    }
}

/// Attributes, and flags with the project id where any are wanted.
fn read_attributes(
    dir: &TargetDir,
    name: &Name,
    kind: Kind,
    wanted: &meta::Wanted,
) -> Result<(Xattrs, Option<(Flags, u32)>), Errno> {
    let asked = !wanted.flags.is_empty() || wanted.project != 0;
    let fd = match kind {
        Kind::Directory => dir.open_dir(name)?.into_fd(),
        Kind::File if asked => dir.open_file(name, rustix::fs::OFlags::empty())?,
        _ => return Ok((Xattrs::read(Holder::handle(&dir.open_handle(name)?))?, None)),
    };
    // What the file system does not have, no inode of it has.
    let flags = if asked { Some((or_none(flags::get(&fd))?, or_none(flags::project(&fd))?)) } else { None };
    Ok((Xattrs::read(Holder::file(&fd))?, flags))
}

fn or_none<T: Default>(answer: Result<T, Errno>) -> Result<T, Errno> {
    match answer {
        Err(errno) if flags::is_absent(errno) => Ok(T::default()),
        answer => answer,
    }
}

/// What the metadata does not say: size, link target, device number, link group.
fn compare_rest(dir: &TargetDir, path: &RelPath, name: &Name, row: &Row, stat: &Stat) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut differs = |kind, expected: String, actual: String| {
        if expected != actual {
            found.push(Problem::differs(path.clone(), kind, expected, actual));
        }
    };
    match stat.kind {
        Kind::File => {
            differs(ProblemKind::Size, row.size.to_string(), stat.size.to_string());
            // Names of one inode would all say the same.
            if !row.alias && row.size == stat.size && row.is_dense(stat) {
                let bytes = |n: u64| format!("{n} bytes on the medium");
                differs(ProblemKind::Holes, bytes(row.allocated), bytes(stat.allocated));
            }
        }
        Kind::CharDevice | Kind::BlockDevice => {
            differs(ProblemKind::Type, format!("device {}", row.rdev), format!("device {}", stat.rdev));
        }
        Kind::Symlink => {
            let shown = |text: &[u8]| crate::path::escape(text).into_owned();
            match dir.read_link(name) {
                Ok(text) => differs(ProblemKind::Target, shown(row.link.as_deref().unwrap_or_default()), shown(&text)),
                Err(errno) => found.push(Problem::failed(path.clone(), ProblemKind::Io, "read the symlink", errno)),
            }
        }
        _ => {}
    }
    // Names of one group were all recorded with the inode that they share.
    // By FUSE the numbers may be made up anew each time, and tell nothing.
    let made_up = || crate::sys::filesystem::space(dir).is_ok_and(|space| space.may_lack_owners());
    if row.nlink > 1 && stat.kind != Kind::Directory && stat.ino != row.dst_ino && !made_up() {
        found.push(Problem::differs(
            path.clone(),
            ProblemKind::Link,
            format!("inode {}", row.dst_ino),
            format!("inode {}", stat.ino),
        ));
    }
    found
}

/// A journal that cannot be read ends the run.
pub fn stop_on(error: &JournalError, stop: &Stop) {
    stop.set(Reason::Fatal(error.to_string()));
}
