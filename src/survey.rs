//! Sizes and counts of what will be copied, read only, before the first byte.
//!
//! jwalk walks in a pool of its own, by paths below `/proc/self/fd/N` of the
//! opened entry, so a symlink in the backup leads nowhere else. It never serves
//! the copier.

use crate::journal::{Journal, JournalError, Reader, State};
use crate::path::{Name, RelPath};
use crate::plan::resolved::{Entry, Presence, Resolved, Target};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, stat_fd, stat_path};
use jwalk::{Parallelism, WalkDirGeneric};
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::OFlags;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// Inodes.
    pub inodes: u64,
    /// The largest file, in bytes.
    pub largest: Extreme,
    /// The longest name, in bytes.
    pub longest_name: Extreme,
    /// Entries that could not be looked at: the copy will report each.
    pub unreadable: u64,
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
    inodes: AtomicU64,
    largest: Highest,
    longest_name: Highest,
    unreadable: AtomicU64,
}

/// An [`Extreme`] that many threads raise; nearly all of them see at once that they do not.
#[derive(Default)]
struct Highest {
    size: AtomicU64,
    kept: Mutex<Extreme>,
}

/// Inodes with several names that were counted, across all targets.
type Linked = Mutex<HashSet<(u64, u64)>>;

/// What the walks of one survey share.
struct Walks {
    cross_mounts: bool,
    linked: Linked,
    /// Sources of entries that lie below another entry: the outer walk leaves them to the inner one.
    inner: HashSet<PathBuf>,
    /// What need not be counted.
    finished: Option<Finished>,
}

/// Surveys every present entry of the plan; one result for each target.
#[must_use]
pub fn survey(plan: &Resolved, source: &Root, threads: usize, cross_mounts: bool) -> Vec<Survey> {
    run(plan, source, threads, cross_mounts, None)
}

/// The same for what the journal does not know as finished.
pub fn unfinished(
    plan: &Resolved,
    source: &Root,
    threads: usize,
    cross_mounts: bool,
    journal: &Journal,
) -> Result<Vec<Survey>, JournalError> {
    let finished = Finished(Mutex::new(journal.reader()?));
    Ok(run(plan, source, threads, cross_mounts, Some(finished)))
}

fn run(plan: &Resolved, source: &Root, threads: usize, cross_mounts: bool, finished: Option<Finished>) -> Vec<Survey> {
    let walks = Arc::new(Walks { cross_mounts, linked: Linked::default(), inner: inner_entries(plan), finished });
    let survey = |target: &Target| {
        let counts = Arc::new(Counts::default());
        for entry in target.entries.iter().filter(|e| e.presence == Presence::Present) {
            walk(target, entry, source, threads, &counts, &walks);
        }
        counts.read()
    };
    plan.targets.iter().map(survey).collect()
}

fn inner_entries(plan: &Resolved) -> HashSet<PathBuf> {
    let entries = || plan.targets.iter().flat_map(|t| &t.entries);
    entries()
        .filter(|inner| entries().any(|e| e.src != inner.src && inner.src.strip_prefix(&e.src).is_some()))
        .map(|e| e.src.as_path().to_path_buf())
        .collect()
}

fn walk(target: &Target, entry: &Entry, source: &Root, threads: usize, counts: &Arc<Counts>, walks: &Arc<Walks>) {
    let opened = source.open_in(&entry.src, OFlags::PATH).and_then(|fd| Ok((stat_fd(&fd)?, fd)));
    let Ok((stat, fd)) = opened else {
        counts.unreadable.fetch_add(1, Relaxed);
        return;
    };
    let dir = entry.dst.parent().and_then(|above| walks.directory(&above));
    let id = match entry.dst.last() {
        Some(name) => {
            counts.add(&stat, name.as_bytes(), dir, walks, || entry.src.clone());
            walks.finished.as_ref().and_then(|f| f.directory(dir?, &name))
        }
        None => Some(0),
    };
    if stat.kind != Kind::Directory {
        return;
    }
    let root = PathBuf::from(format!("/proc/self/fd/{}/.", fd.as_raw_fd()));
    let base = root.clone();
    let below_from = entry.src.strip_prefix(&target.from).unwrap_or_default().as_path().to_path_buf();
    let entry_path = entry.src.as_path().to_path_buf();
    let excluded = target.excluded.clone();
    let (counts, walks) = (Arc::clone(counts), Arc::clone(walks));
    // The state of a directory's reading is its id in the journal; it comes as that of the one above.
    let walker = WalkDirGeneric::<(Option<i64>, ())>::new(&root)
        .root_read_dir_state(id)
        .skip_hidden(false)
        .follow_links(false)
        .min_depth(1)
        .parallelism(Parallelism::RayonNewPool(threads))
        .process_read_dir(move |depth, path, id, children| {
            match depth {
                // The root itself, which is counted already.
                None => return,
                Some(0) => {}
                Some(_) => *id = id.and_then(|above| walks.below(above, path.file_name())),
            }
            for child in children.iter_mut() {
                let Ok(child) = child else {
                    counts.unreadable.fetch_add(1, Relaxed);
                    continue;
                };
                let path = child.path();
                let relative = path.strip_prefix(&base).unwrap_or(Path::new(""));
                let is_dir = child.file_type.is_dir();
                if walks.inner.contains(&entry_path.join(relative))
                    || (!excluded.is_empty() && excluded.matched(below_from.join(relative), is_dir).is_ignore())
                {
                    child.read_children_path = None;
                    continue;
                }
                match stat_path(&path) {
                    // A subvolume has a device number of its own, but only a mount is not entered.
                    Ok(stat) if stat.mount_root && !walks.cross_mounts => child.read_children_path = None,
                    Ok(stat) => counts.add(&stat, child.file_name.as_bytes(), *id, &walks, || {
                        RelPath::new(entry_path.join(relative).as_os_str().as_bytes()).unwrap_or_default()
                    }),
                    Err(_) => {
                        counts.unreadable.fetch_add(1, Relaxed);
                    }
                }
            }
            // Only directories need to travel on: memory follows the width of one directory.
            children.retain(|child| child.as_ref().is_ok_and(|c| c.file_type.is_dir()));
        });
    for _ in walker {}
}

/// Entries and allocated bytes at and below `fd`, whose stat is `stat`, without
/// the mounts below.
#[must_use]
pub fn weigh(fd: impl AsFd, stat: &Stat) -> (u64, u64) {
    let (mut entries, mut bytes) = (1, stat.allocated);
    if stat.kind != Kind::Directory {
        return (entries, bytes);
    }
    let root = format!("/proc/self/fd/{}/.", fd.as_fd().as_raw_fd());
    let walker = WalkDirGeneric::<((), Option<u64>)>::new(root)
        .skip_hidden(false)
        .follow_links(false)
        .min_depth(1)
        .parallelism(Parallelism::Serial)
        .process_read_dir(move |_, _, (), children| {
            for child in children.iter_mut().flatten() {
                match stat_path(&child.path()) {
                    Ok(stat) if stat.mount_root && child.depth > 0 => child.read_children_path = None,
                    Ok(stat) => child.client_state = Some(stat.allocated),
                    Err(_) => {}
                }
            }
        });
    for allocated in walker.into_iter().flatten().filter_map(|entry| entry.client_state) {
        entries += 1;
        bytes += allocated;
    }
    (entries, bytes)
}

/// What the journal knows as finished.
struct Finished(Mutex<Reader>);

impl Finished {
    /// The id of the directory `name` in the directory `dir`.
    fn directory(&self, dir: i64, name: &Name) -> Option<i64> {
        self.lock().find(dir, name).ok()??.id
    }

    /// True when `name` in the directory `dir` needs no room any more.
    fn has(&self, dir: i64, name: &Name, stat: &Stat) -> bool {
        let reader = self.lock();
        // What cannot be found out counts as unfinished.
        let row = reader.find(dir, name).ok().flatten();
        match row {
            Some(row) if stat.kind == Kind::Directory => row.id.is_some(),
            Some(row) if row.state == State::Done && row.source_unchanged(stat) => true,
            _ if stat.nlink > 1 && stat.kind != Kind::Directory => {
                reader.find_linked(stat).ok().flatten().is_some_and(|row| row.source_unchanged(stat))
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

    fn below(&self, dir: i64, name: Option<&OsStr>) -> Option<i64> {
        self.finished.as_ref()?.directory(dir, &Name::new(name?.as_bytes()).ok()?)
    }

    fn is_finished(&self, dir: Option<i64>, name: &[u8], stat: &Stat) -> bool {
        match (&self.finished, dir, Name::new(name)) {
            (Some(finished), Some(dir), Ok(name)) => finished.has(dir, &name, stat),
            _ => false,
        }
    }
}

impl Counts {
    /// Counts one entry, unless the journal has it as finished below `dir`.
    fn add(&self, stat: &Stat, name: &[u8], dir: Option<i64>, walks: &Walks, path: impl Fn() -> RelPath) {
        if walks.is_finished(dir, name, stat) {
            return;
        }
        self.entries.fetch_add(1, Relaxed);
        self.longest_name.raise(name.len() as u64, &path);
        if stat.nlink > 1 && stat.kind != Kind::Directory {
            let mut seen = walks.linked.lock().unwrap_or_else(PoisonError::into_inner);
            if !seen.insert((stat.dev, stat.ino)) {
                return;
            }
        }
        self.inodes.fetch_add(1, Relaxed);
        self.allocated.fetch_add(stat.allocated, Relaxed);
        if stat.kind == Kind::File {
            self.files.fetch_add(1, Relaxed);
            self.bytes.fetch_add(stat.size, Relaxed);
            self.largest.raise(stat.size, &path);
        }
    }

    fn read(&self) -> Survey {
        Survey {
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
