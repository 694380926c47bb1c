//! What copying costs at the least: a bare program that opens, reads past the page cache,
//! creates, writes, and sets owner, times and mode, then syncfs. No digest, no journal, no
//! attributes, no second look, no way back after a failure. `scripts/compare` gives every
//! figure of persistcp as a multiple of it too. It leaves all writing to that one syncfs: a copier
//! that syncs while it copies can be done earlier, not with fewer processor seconds.
//!
//! `floor SOURCE TARGET [THREADS]`, with the threads of persistcp where none are given; TARGET
//! must not exist.

use persistcp::engine::tree::descriptors::usual_threads;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown, fstat,
    futimens, mkdirat, openat, readlinkat, statat, symlinkat, syncfs, utimensat,
};
use rustix::io::{pread, pwrite};
use std::ffi::CString;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

const BLOCK: usize = 4096;
const BUFFER: usize = 1 << 20;

/// Names of one directory that are copied by one thread: one after the other without waiting for
/// the lock of the directory, and shared among all threads where there are thousands.
const TOGETHER: usize = 1000;

/// A directory of both sides, with the number of its tasks that are not done.
struct Pair {
    source: OwnedFd,
    target: OwnedFd,
    tasks: AtomicUsize,
}

type Entry = (u64, FileType, CString);

/// What one thread does: it lists a directory, or copies some names of it.
struct Task {
    pair: Arc<Pair>,
    entries: Option<Vec<Entry>>,
}

/// The tasks that wait, and how many are waiting or at work.
struct Waiting {
    tasks: Vec<Task>,
    unfinished: usize,
    failure: Option<io::Error>,
}

struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Task {
    fn new(source: OwnedFd, target: OwnedFd) -> Self {
        Self { pair: Arc::new(Pair { source, target, tasks: AtomicUsize::new(0) }), entries: None }
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, task: Task) {
        let mut waiting = self.lock();
        waiting.tasks.push(task);
        waiting.unfinished += 1;
        self.changed.notify_one();
    }

    /// The next task; `None` when all are done, or one has failed.
    fn next(&self) -> Option<Task> {
        let mut waiting = self.lock();
        loop {
            if waiting.failure.is_some() || waiting.unfinished == 0 {
                return None;
            }
            if let Some(task) = waiting.tasks.pop() {
                return Some(task);
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, result: io::Result<()>) {
        let mut waiting = self.lock();
        waiting.unfinished -= 1;
        if let Err(error) = result {
            waiting.failure.get_or_insert(error);
        }
        if waiting.unfinished == 0 || waiting.failure.is_some() {
            self.changed.notify_all();
        }
    }

    fn work(&self) {
        // An address that is a multiple of the block, as O_DIRECT asks for.
        let mut buffer = vec![0; BUFFER + BLOCK];
        let start = buffer.as_ptr().align_offset(BLOCK);
        while let Some(task) = self.next() {
            let result = match task.entries {
                Some(entries) => self.copy(&task.pair, &entries, &mut buffer[start..start + BUFFER]),
                None => self.list(&task.pair),
            };
            self.done(result);
        }
    }

    fn list(&self, pair: &Arc<Pair>) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&pair.source)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                entries.push((entry.ino(), entry.file_type(), CString::from(entry.file_name())));
            }
        }
        // The order in which their inodes lie on the medium.
        entries.sort_unstable_by_key(|(ino, ..)| *ino);
        pair.tasks.store(entries.len().div_ceil(TOGETHER).max(1), Relaxed);
        let mut rest = entries.into_iter().peekable();
        loop {
            let some = rest.by_ref().take(TOGETHER).collect();
            self.push(Task { pair: Arc::clone(pair), entries: Some(some) });
            if rest.peek().is_none() {
                return Ok(());
            }
        }
    }

    fn copy(&self, pair: &Pair, entries: &[Entry], buffer: &mut [u8]) -> io::Result<()> {
        let (source, target) = (pair.source.as_fd(), pair.target.as_fd());
        for (_, kind, name) in entries {
            match kind {
                FileType::RegularFile => file(source, target, name, buffer)?,
                FileType::Directory => {
                    mkdirat(target, name, Mode::RWXU)?;
                    let open = |dir| openat(dir, name, DIRECTORY, Mode::empty());
                    self.push(Task::new(open(source)?, open(target)?));
                }
                FileType::Symlink => {
                    let stat = statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    symlinkat(readlinkat(source, name, Vec::new())?, target, name)?;
                    chownat(
                        target,
                        name,
                        Some(Uid::from_raw(stat.st_uid)),
                        Some(Gid::from_raw(stat.st_gid)),
                        NOFOLLOW,
                    )?;
                    utimensat(target, name, &times(&stat), NOFOLLOW)?;
                }
                // The corpora have none of these.
                _ => {}
            }
        }
        // What is below makes no more names in it.
        if pair.tasks.fetch_sub(1, AcqRel) == 1 { finish(target, &fstat(source)?) } else { Ok(()) }
    }
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NOFOLLOW: AtFlags = AtFlags::SYMLINK_NOFOLLOW;

fn file(source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CString, buffer: &mut [u8]) -> io::Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = openat(source, name, read | OFlags::DIRECT, Mode::empty())
        .or_else(|_| openat(source, name, read, Mode::empty()))?;
    let stat = fstat(&from)?;
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let to = openat(target, name, create, Mode::RUSR | Mode::WUSR)?;
    let (mut at, size) = (0, u64::try_from(stat.st_size).unwrap_or(0));
    while at < size {
        // The kernel pins all pages of the buffer that it is given.
        let left = usize::try_from(size - at).unwrap_or(BUFFER).next_multiple_of(BLOCK).min(BUFFER);
        let got = pread(&from, &mut buffer[..left], at)?;
        if got == 0 {
            break;
        }
        let mut written = 0;
        while written < got {
            written += pwrite(&to, &buffer[written..got], at + written as u64)?;
        }
        at += got as u64;
    }
    finish(to.as_fd(), &stat)
}

fn finish(fd: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    fchown(fd, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    futimens(fd, &times(stat))?;
    Ok(fchmod(fd, Mode::from_raw_mode(stat.st_mode & 0o7777))?)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |sec, nsec: u64| Timespec { tv_sec: sec, tv_nsec: nsec.cast_signed() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn copy(source: &str, target: &str, threads: usize) -> io::Result<()> {
    let open = |path: &str| openat(CWD, path, DIRECTORY, Mode::empty());
    mkdirat(CWD, target, Mode::RWXU)?;
    let first = Task::new(open(source)?, open(target)?);
    let whole = open(target)?;
    let waiting = Waiting { tasks: Vec::new(), unfinished: 0, failure: None };
    let queue = Queue { waiting: Mutex::new(waiting), changed: Condvar::new() };
    queue.push(first);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| queue.work());
        }
    });
    match queue.waiting.into_inner().unwrap_or_else(PoisonError::into_inner).failure {
        Some(failure) => Err(failure),
        None => Ok(syncfs(whole)?),
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let threads = |text: Option<&String>| match text {
        Some(text) => text.parse().map_err(io::Error::other),
        None => Ok(usual_threads()),
    };
    match &arguments[..] {
        [source, target, rest @ ..] if rest.len() < 2 => copy(source, target, threads(rest.first())?),
        _ => {
            println!("usage: floor SOURCE TARGET [THREADS]");
            Ok(())
        }
    }
}
