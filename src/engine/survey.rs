//! Sizes and counts of what will be copied, read only, before the first byte.

use super::content::reflink::Reflink;
use super::in_place::is_entry_in_place;
use super::journal::{Journal, JournalError, Reader, State};
use super::mapping::index::Index;
use super::mapping::model::{Entry, Mapping, Presence, Target};
use super::tree::linked::LinkedInodes;
use super::tree::node::ENTRY;
use super::tree::walk::{Start, Unread, Visit, WalkOptions, walk};
use crate::base::path::{Name, RelPath};
use crate::sys::dir::SourceDir;
use crate::sys::filesystem::{Identity, identity};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, stat_fd};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What one target will need.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Entries of every type.
    pub entries: u64,
    /// Regular files, each inode once.
    pub files: u64,
    /// Apparent bytes of those.
    pub bytes: u64,
    /// Allocated bytes of those, and a block for each directory.
    pub allocated: u64,
    /// Of these, what lies on file systems whose files can share blocks.
    pub shareable: Vec<Shareable>,
    /// Inodes.
    pub inodes: u64,
    /// The largest file, in bytes.
    pub largest: Extreme,
    /// The longest name, in bytes.
    pub longest_name: Extreme,
    /// Entries that could not be read: the copy will report each.
    pub unreadable: u64,
}

/// Allocated bytes of the files on one device, whose blocks other files can share.
#[derive(Clone, Copy, Debug)]
pub struct Shareable {
    /// Its number.
    pub dev: u64,
    /// Its file system.
    pub identity: Identity,
    /// In bytes.
    pub allocated: u64,
}

/// What a survey is to look at.
#[derive(Clone, Copy, Debug)]
pub struct SurveyScope {
    /// The limits of its walk.
    pub means: WalkOptions,
    /// Enter mounts inside the source.
    pub cross_mounts: bool,
    /// Which blocks may be shared counts only if any may.
    pub reflink: Reflink,
}

/// The largest of something, and an entry of the backup that has it.
#[derive(Clone, Debug, Default)]
pub struct Extreme {
    /// In bytes.
    pub size: u64,
    /// Below the source.
    pub path: RelPath,
}

impl Extreme {
    /// The larger of the two.
    #[must_use]
    pub fn max(self, other: &Self) -> Self {
        if other.size > self.size { other.clone() } else { self }
    }
}

#[derive(Default)]
struct Counts {
    entries: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
    allocated: AtomicU64,
    shareable: RwLock<Vec<CountedDevice>>,
    inodes: AtomicU64,
    largest: Highest,
    longest_name: Highest,
    unreadable: AtomicU64,
}

/// A device of the source that was met, with its file system if that can share blocks.
struct CountedDevice {
    dev: u64,
    identity: Option<Identity>,
    allocated: AtomicU64,
}

/// An [`Extreme`] that many threads may raise, though nearly all see at once that they need not.
#[derive(Default)]
struct Highest {
    size: AtomicU64,
    kept: Mutex<Extreme>,
}

/// What the walks of one survey share.
struct Walks {
    scope: SurveyScope,
    linked: LinkedInodes,
    /// An inner entry is counted by itself.
    index: Index,
    /// What need not be counted.
    finished: Option<Finished>,
}

/// Surveys every present entry of the plan; one result for each target.
#[must_use]
pub fn survey(plan: &Mapping, source: &Arc<Root>, scope: SurveyScope) -> Vec<Survey> {
    run(plan, source, scope, None)
}

/// The same for what the journal does not know as finished.
pub fn unfinished(
    plan: &Mapping,
    source: &Arc<Root>,
    scope: SurveyScope,
    journal: &Journal,
) -> Result<Vec<Survey>, JournalError> {
    let finished = Finished(Mutex::new(journal.reader()?));
    Ok(run(plan, source, scope, Some(finished)))
}

fn run(plan: &Mapping, source: &Arc<Root>, scope: SurveyScope, finished: Option<Finished>) -> Vec<Survey> {
    let walks = Walks { scope, linked: LinkedInodes::default(), index: Index::new(plan), finished };
    let survey = |target: &Target| {
        let visitor = TargetCounter { target, counts: Counts::default(), walks: &walks };
        let present = target.entries.iter().filter(|e| e.presence == Presence::Present);
        let present = present.filter(|entry| !is_entry_in_place(plan, source, entry));
        let starts = present.filter_map(|entry| visitor.start(entry, source)).collect();
        walk(source, starts, &visitor, scope.means);
        visitor.counts.read()
    };
    plan.targets.iter().map(survey).collect()
}

/// Counts what one target will need.
struct TargetCounter<'a> {
    target: &'a Target,
    counts: Counts,
    walks: &'a Walks,
}

/// A directory of the backup, and its id in the journal if that is needed.
struct SurveyedDir {
    path: RelPath,
    /// Where in the tree of sources it is.
    cursor: Option<usize>,
    id: Option<i64>,
}

impl TargetCounter<'_> {
    /// Counts an entry of the plan; returns where to walk if it is a directory.
    fn start(&self, entry: &Entry, source: &Root) -> Option<Start<SurveyedDir>> {
        let opened = source.open_strict(&entry.real, OFlags::PATH | OFlags::NOFOLLOW).and_then(|fd| stat_fd(&fd));
        let Ok(stat) = opened else {
            self.counts.unreadable.fetch_add(1, Relaxed);
            return None;
        };
        let dir = entry.dst.parent().and_then(|above| self.walks.directory(&above));
        let id = match entry.dst.last() {
            Some(name) => {
                // A handle does not tell its file system: the source's root does, if the entry is on it.
                let near = source.open_in(&RelPath::root(), ENTRY);
                self.count((&stat, near.ok().as_ref()), &name, dir, || entry.src.clone());
                self.walks.finished.as_ref().and_then(|f| f.directory(dir?, &name))
            }
            None => Some(0),
        };
        if stat.kind != Kind::Directory {
            return None;
        }
        match source.open_strict(&entry.real, ENTRY) {
            Ok(fd) => {
                let cursor = self.walks.index.find(&entry.src);
                let (path, place) = (entry.real.clone(), SurveyedDir { path: entry.src.clone(), cursor, id });
                Some(Start { path, dir: SourceDir::from_fd(fd), stat, place })
            }
            Err(_) => {
                self.counts.unreadable.fetch_add(1, Relaxed);
                None
            }
        }
    }

    /// Counts one entry, unless the journal has it as finished below `dir`. `near` is a directory of the
    /// source, usually on the same file system.
    fn count<F: AsFd>(
        &self,
        (stat, near): (&Stat, Option<F>),
        name: &Name,
        dir: Option<i64>,
        path: impl Fn() -> RelPath,
    ) {
        let Self { counts, walks, .. } = self;
        if walks.is_finished(dir, name, stat) {
            return;
        }
        counts.entries.fetch_add(1, Relaxed);
        counts.longest_name.raise(name.as_bytes().len() as u64, &path);
        if stat.kind != Kind::Directory && !walks.linked.is_new(stat) {
            return;
        }
        counts.inodes.fetch_add(1, Relaxed);
        counts.allocated.fetch_add(stat.allocated, Relaxed);
        if stat.kind == Kind::File {
            counts.files.fetch_add(1, Relaxed);
            counts.bytes.fetch_add(stat.size, Relaxed);
            if walks.scope.reflink != Reflink::Never {
                counts.count_shareable(stat, near);
            }
            counts.largest.raise(stat.size, &path);
        }
    }
}

impl Visit for TargetCounter<'_> {
    type Place = SurveyedDir;

    fn entry(&self, above: &SurveyedDir, parent: &SourceDir, name: &Name, stat: &Stat) -> Option<SurveyedDir> {
        let is_dir = stat.kind == Kind::Directory;
        let path = || above.path.join(name);
        let index = &self.walks.index;
        let cursor = above.cursor.and_then(|at| index.child(at, name));
        let is_excluded = || self.target.excludes_in_source(&above.path, name, stat.kind);
        if index.is_out(cursor, stat, self.walks.scope.cross_mounts, is_excluded) {
            return None;
        }
        self.count((stat, Some(parent)), name, above.id, path);
        is_dir.then(|| SurveyedDir { path: path(), cursor, id: above.id.and_then(|id| self.walks.below(id, name)) })
    }

    fn unreadable(&self, _: Unread<'_, SurveyedDir>) {
        self.counts.unreadable.fetch_add(1, Relaxed);
    }
}

/// Entries and allocated bytes at and below `fd`, whose stat is `stat`, without
/// the mounts below.
#[must_use]
pub fn weigh(fd: impl AsFd, stat: &Stat) -> (u64, u64) {
    let weight = SubtreeSize { entries: AtomicU64::new(1), bytes: AtomicU64::new(stat.allocated) };
    if stat.kind == Kind::Directory
        && let Ok(root) = Root::again(fd)
        && let Ok(fd) = root.open_in(&RelPath::root(), ENTRY)
    {
        let start = Start { path: RelPath::root(), dir: SourceDir::from_fd(fd), stat: *stat, place: () };
        // One thread, and few descriptors: this runs beside a copy that has shared out all of them.
        walk(&Arc::new(root), vec![start], &weight, WalkOptions { threads: 1, directories: 2, inline: 1, late: false });
    }
    (weight.entries.into_inner(), weight.bytes.into_inner())
}

struct SubtreeSize {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Visit for SubtreeSize {
    type Place = ();

    fn entry(&self, (): &(), _: &SourceDir, _: &Name, stat: &Stat) -> Option<()> {
        self.entries.fetch_add(1, Relaxed);
        if stat.mount_root {
            return None;
        }
        self.bytes.fetch_add(stat.allocated, Relaxed);
        Some(())
    }

    fn unreadable(&self, _: Unread<'_, ()>) {}
}

/// What the journal knows as finished.
struct Finished(Mutex<Reader>);

impl Finished {
    /// The id of the directory `name` in the directory `dir`.
    fn directory(&self, dir: i64, name: &Name) -> Option<i64> {
        self.lock().find(dir, name).ok()??.id
    }

    /// True when `name` in the directory `dir` needs no more space.
    fn has(&self, dir: i64, name: &Name, stat: &Stat) -> bool {
        let reader = self.lock();
        // If it cannot be determined, it counts as unfinished.
        let row = reader.find(dir, name).ok().flatten();
        match row {
            Some(row) if stat.kind == Kind::Directory => row.id.is_some(),
            // If more than the stat must be read to know, most entries turn out to be unchanged.
            Some(row) if row.state == State::Done && row.source_looks_the_same(stat) => true,
            _ if stat.nlink > 1 && stat.kind != Kind::Directory => {
                reader.find_linked(stat.ino, |row| row.source_looks_the_same(stat)).is_ok_and(|rows| !rows.is_empty())
            }
            _ => false,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Walks {
    /// The journal's id of a directory by its path below the root.
    fn directory(&self, path: &RelPath) -> Option<i64> {
        let finished = self.finished.as_ref()?;
        path.names().try_fold(0, |dir, name| finished.directory(dir, &name))
    }

    fn below(&self, dir: i64, name: &Name) -> Option<i64> {
        self.finished.as_ref()?.directory(dir, name)
    }

    fn is_finished(&self, dir: Option<i64>, name: &Name, stat: &Stat) -> bool {
        match (&self.finished, dir) {
            (Some(finished), Some(dir)) => finished.has(dir, name, stat),
            _ => false,
        }
    }
}

impl Counts {
    fn count_shareable(&self, stat: &Stat, near: Option<impl AsFd>) {
        let add = |devices: &[CountedDevice]| {
            let device = devices.iter().find(|device| device.dev == stat.dev);
            device.map(|device| device.allocated.fetch_add(stat.allocated, Relaxed)).is_some()
        };
        if add(&self.shareable.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut devices = self.shareable.write().unwrap_or_else(PoisonError::into_inner);
        if !add(&devices) {
            // A file that is a mount of its own is not on its directory's device: it counts as needing room.
            let near = near.filter(|fd| stat_fd(fd).is_ok_and(|found| found.dev == stat.dev));
            let identity = near.and_then(|fd| identity(fd).ok()).filter(|identity| identity.reflink);
            devices.push(CountedDevice { dev: stat.dev, identity, allocated: AtomicU64::new(stat.allocated) });
        }
    }

    fn read(&self) -> Survey {
        let devices = self.shareable.read().unwrap_or_else(PoisonError::into_inner);
        let shareable = |device: &CountedDevice| {
            let (dev, allocated) = (device.dev, device.allocated.load(Relaxed));
            device.identity.map(|identity| Shareable { dev, identity, allocated })
        };
        Survey {
            shareable: devices.iter().filter_map(shareable).collect(),
            entries: self.entries.load(Relaxed),
            files: self.files.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            allocated: self.allocated.load(Relaxed),
            inodes: self.inodes.load(Relaxed),
            largest: self.largest.read(),
            longest_name: self.longest_name.read(),
            unreadable: self.unreadable.load(Relaxed),
        }
    }
}

impl Highest {
    fn raise(&self, size: u64, path: impl Fn() -> RelPath) {
        if size <= self.size.fetch_max(size, Relaxed) {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if size > kept.size {
            *kept = Extreme { size, path: path() };
        }
    }

    fn read(&self) -> Extreme {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
