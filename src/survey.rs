//! Sizes and counts of what will be copied, read only, before the first byte.
//!
//! jwalk walks in a pool of its own, by paths below `/proc/self/fd/N` of the
//! opened entry, so a symlink in the backup leads nowhere else. It never serves
//! the copier.

use crate::plan::resolved::{Entry, Presence, Resolved, Target};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, stat_fd};
use jwalk::{Parallelism, WalkDirGeneric};
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::OFlags;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What one target will need.
#[derive(Clone, Copy, Debug, Default)]
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
    /// The largest file in bytes.
    pub largest: u64,
    /// The longest name in bytes.
    pub longest_name: u64,
    /// Entries that could not be looked at: the copy will report each.
    pub unreadable: u64,
}

#[derive(Default)]
struct Counts {
    entries: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
    allocated: AtomicU64,
    inodes: AtomicU64,
    largest: AtomicU64,
    longest_name: AtomicU64,
    unreadable: AtomicU64,
}

/// Inodes with several names that were counted, across all targets.
type Linked = Arc<Mutex<HashSet<(u64, u64)>>>;

/// Surveys every present entry of the plan; one result for each target.
#[must_use]
pub fn survey(plan: &Resolved, source: &Root, threads: usize, cross_mounts: bool) -> Vec<Survey> {
    let linked = Linked::default();
    let inner = Arc::new(inner_entries(plan));
    plan.targets
        .iter()
        .map(|target| {
            let counts = Arc::new(Counts::default());
            for entry in target.entries.iter().filter(|e| e.presence == Presence::Present) {
                walk(target, entry, source, threads, cross_mounts, &counts, &linked, &inner);
            }
            counts.read()
        })
        .collect()
}

/// Sources of entries that lie below another entry: the outer walk leaves them to the inner one.
fn inner_entries(plan: &Resolved) -> HashSet<PathBuf> {
    let entries = || plan.targets.iter().flat_map(|t| &t.entries);
    entries()
        .filter(|inner| entries().any(|e| e.src != inner.src && inner.src.strip_prefix(&e.src).is_some()))
        .map(|e| e.src.as_path().to_path_buf())
        .collect()
}

#[expect(clippy::too_many_arguments, reason = "what one walk needs, named once")]
fn walk(
    target: &Target,
    entry: &Entry,
    source: &Root,
    threads: usize,
    cross_mounts: bool,
    counts: &Arc<Counts>,
    linked: &Linked,
    inner: &Arc<HashSet<PathBuf>>,
) {
    let opened = source.open_in(&entry.src, OFlags::PATH).and_then(|fd| Ok((stat_fd(&fd)?, fd)));
    let Ok((stat, fd)) = opened else {
        counts.unreadable.fetch_add(1, Relaxed);
        return;
    };
    let (dev, ino, size, allocated) = (stat.dev, stat.ino, stat.size, stat.allocated);
    let name = entry.src.last().map_or(0, |n| n.as_bytes().len() as u64);
    let one = One { dev, ino, nlink: u64::from(stat.nlink), size, allocated, file: stat.kind == Kind::File, name };
    counts.add(&one, linked);
    if stat.kind != Kind::Directory {
        return;
    }
    let root = PathBuf::from(format!("/proc/self/fd/{}/.", fd.as_raw_fd()));
    let base = root.clone();
    let below_from = entry.src.strip_prefix(&target.from).unwrap_or_default().as_path().to_path_buf();
    let entry_path = entry.src.as_path().to_path_buf();
    let excluded = target.excluded.clone();
    let (counts, linked, inner) = (Arc::clone(counts), Arc::clone(linked), Arc::clone(inner));
    let walker = WalkDirGeneric::<((), ())>::new(&root)
        .skip_hidden(false)
        .follow_links(false)
        .min_depth(1)
        .parallelism(Parallelism::RayonNewPool(threads))
        .process_read_dir(move |depth, _, (), children| {
            // The root itself, which is counted already.
            if depth.is_none() {
                return;
            }
            for child in children.iter_mut() {
                let Ok(child) = child else {
                    counts.unreadable.fetch_add(1, Relaxed);
                    continue;
                };
                let path = child.path();
                let relative = path.strip_prefix(&base).unwrap_or(Path::new(""));
                let is_dir = child.file_type.is_dir();
                if inner.contains(&entry_path.join(relative))
                    || (!excluded.is_empty() && excluded.matched(below_from.join(relative), is_dir).is_ignore())
                {
                    child.read_children_path = None;
                    continue;
                }
                match child.metadata() {
                    Ok(meta) => {
                        if is_dir && !cross_mounts && meta.dev() != dev {
                            child.read_children_path = None;
                        }
                        counts.add(
                            &One {
                                dev: meta.dev(),
                                ino: meta.ino(),
                                nlink: meta.nlink(),
                                size: meta.size(),
                                allocated: meta.blocks() * 512,
                                file: meta.is_file(),
                                name: child.file_name.len() as u64,
                            },
                            &linked,
                        );
                    }
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
/// leaving its device.
#[must_use]
pub fn weigh(fd: impl AsFd, stat: &Stat) -> (u64, u64) {
    let (mut entries, mut bytes) = (1, stat.allocated);
    if stat.kind != Kind::Directory {
        return (entries, bytes);
    }
    let root = format!("/proc/self/fd/{}/.", fd.as_fd().as_raw_fd());
    let dev = stat.dev;
    let walker = WalkDirGeneric::<((), ())>::new(root)
        .skip_hidden(false)
        .follow_links(false)
        .min_depth(1)
        .parallelism(Parallelism::Serial)
        .process_read_dir(move |_, _, (), children| {
            for child in children.iter_mut().flatten() {
                if child.file_type.is_dir() && child.metadata().is_ok_and(|meta| meta.dev() != dev) {
                    child.read_children_path = None;
                }
            }
        });
    for meta in walker.into_iter().flatten().filter_map(|entry| entry.metadata().ok()) {
        entries += 1;
        bytes += meta.blocks() * 512;
    }
    (entries, bytes)
}

struct One {
    dev: u64,
    ino: u64,
    nlink: u64,
    size: u64,
    allocated: u64,
    file: bool,
    name: u64,
}

impl Counts {
    fn add(&self, one: &One, linked: &Linked) {
        self.entries.fetch_add(1, Relaxed);
        self.longest_name.fetch_max(one.name, Relaxed);
        if one.nlink > 1 && one.file {
            let mut seen = linked.lock().unwrap_or_else(PoisonError::into_inner);
            if !seen.insert((one.dev, one.ino)) {
                return;
            }
        }
        self.inodes.fetch_add(1, Relaxed);
        self.allocated.fetch_add(one.allocated, Relaxed);
        if one.file {
            self.files.fetch_add(1, Relaxed);
            self.bytes.fetch_add(one.size, Relaxed);
            self.largest.fetch_max(one.size, Relaxed);
        }
    }

    fn read(&self) -> Survey {
        Survey {
            entries: self.entries.load(Relaxed),
            files: self.files.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            allocated: self.allocated.load(Relaxed),
            inodes: self.inodes.load(Relaxed),
            largest: self.largest.load(Relaxed),
            longest_name: self.longest_name.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
        }
    }
}
