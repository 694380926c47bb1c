//! The source's file systems and what their drivers answer.
//!
//! An error is one inode's own if other inodes of its file system answer: then what it has is
//! unknown. If none does (FUSE drivers and network file systems, for various reasons), the file
//! system as a whole does not tell, which is reported once and is no reason to close or to copy
//! anything again.

mod others;

use super::content::reread::CachedPages;
use super::events::kind::ProblemKind;
use super::events::note::Note;
use super::events::problem::Problem;
use super::events::unpreserved::Unpreserved;
use super::meta::{self, Attributes, InodeFlags, Question, UnreadAttribute, Xattrs};
use crate::base::path::RelPath;
use crate::engine::events::detail::Detail;
use crate::sys::Errno;
use crate::sys::filesystem::space;
use crate::sys::mounts;
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, Time};
use crate::sys::xattr::Holder;
use others::Others;
use rustix::fd::AsFd;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// What a driver has answered so far to one question about one type of inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// Some inode has an answer.
    Given,
    /// Every inode that was asked returned this error; this many entries of the plan were.
    Refused(Errno, u64),
}

/// One file system of the source.
#[derive(Debug)]
pub(crate) struct Driver {
    may_cache: bool,
    is_fuse: bool,
    is_btrfs: bool,
    inode_flags: InodeFlags,
    answers: Mutex<HashMap<(Question, Kind), Answers>>,
    /// Questions that were taken for refused until an inode answered, and how often.
    late: Mutex<Vec<(Question, u64)>>,
}

/// All of them, by device number.
#[derive(Debug)]
pub(crate) struct Drivers {
    /// Where to look for other inodes.
    source: Option<Root>,
    known: RwLock<HashMap<u64, Arc<Driver>>>,
    /// Entries that rsync made with `--fake-super`, and the first of them.
    fake_super: CountAndFirst,
    /// Files that were read twice because their driver may have answered from a cache.
    pub(crate) read_twice: AtomicU64,
}

#[derive(Debug, Default)]
struct CountAndFirst {
    count: AtomicU64,
    first: Mutex<Option<RelPath>>,
}

/// The longest time in seconds for which drivers commonly keep attributes (s3fs; sshfs 20, bindfs 1).
const CACHED_FOR: i64 = 900;

/// Where rsync keeps owner, mode and device number when it may not set them.
const FAKE_SUPER: &[u8] = b"user.rsync.%stat";

/// The inode number of the empty directory that replaces a subvolume in a snapshot of its parent
/// (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
const EMPTY_SUBVOLUME: u64 = 2;

/// Drivers without inode flags, by their type in the mount table. Others may show file systems that have some.
const FLAGLESS: [&str; 1] = ["fuse.sshfs"];

fn is_flagless(fd: impl AsFd) -> bool {
    mounts::of(fd).ok().flatten().is_some_and(|mount| FLAGLESS.contains(&mount.kind.as_str()))
}

impl Driver {
    /// True when its answers may be old.
    pub(crate) fn may_cache(&self) -> bool {
        self.may_cache
    }

    /// How far cached pages of its files can be trusted.
    pub(crate) fn cached_pages(&self) -> CachedPages {
        if self.may_cache { CachedPages::MayBeOld } else { CachedPages::Current }
    }

    /// True if a program answers instead of a kernel file system.
    pub(crate) fn is_fuse(&self) -> bool {
        self.is_fuse
    }

    /// True for a file that may be changing without the driver showing it: its own times say that it
    /// changed lately, or in the future.
    pub(crate) fn may_hide_changes(&self, stat: &Stat) -> bool {
        let now = crate::sys::clock::coarse_time().sec;
        let is_recent = |time: Time| time.sec > now - CACHED_FOR;
        self.may_cache && (is_recent(stat.mtime) || is_recent(stat.ctime))
    }

    /// True when the error applies to the whole file system.
    fn refuses(&self, unread: &UnreadAttribute, stat: &Stat, others: impl Fn() -> Others) -> bool {
        // On a local disk an error is the inode's own; which attributes exist differs from inode to inode.
        if !self.may_cache || matches!(unread.question, Question::Value { .. }) {
            return false;
        }
        let mut answers = lock(&self.answers);
        let known = answers.entry((unread.question, stat.kind)).or_insert_with(|| match others() {
            _ if unread.is_unknown() => Answers::Refused(unread.errno, 0),
            Others { answered: false, refused }
                if !refused.is_empty() && refused.iter().all(|e| *e == unread.errno) =>
            {
                Answers::Refused(unread.errno, 0)
            }
            _ => Answers::Given,
        });
        match known {
            Answers::Refused(errno, count) if *errno == unread.errno => {
                *count += 1;
                true
            }
            _ => false,
        }
    }
}

impl Drivers {
    pub(crate) fn new(source: &Root) -> Self {
        Self {
            source: Root::again(source).ok(),
            known: RwLock::default(),
            fake_super: CountAndFirst::default(),
            read_twice: AtomicU64::new(0),
        }
    }

    /// The file system with device number `dev`, which holds `fd`.
    pub(crate) fn of(&self, dev: u64, fd: impl AsFd) -> Arc<Driver> {
        if let Some(driver) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&dev) {
            return Arc::clone(driver);
        }
        // An unidentified one is trusted least, and asked again.
        let space = space(&fd).ok();
        let is_fuse = space.is_some_and(|space| space.is_fuse());
        let driver = Driver {
            may_cache: space.is_none_or(|space| space.may_cache()),
            is_fuse,
            is_btrfs: space.is_some_and(|space| space.is_btrfs()),
            inode_flags: if is_fuse && is_flagless(&fd) { InodeFlags::None } else { InodeFlags::Asked },
            answers: Mutex::default(),
            late: Mutex::default(),
        };
        let driver = Arc::new(driver);
        if space.is_none() {
            return driver;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(dev).or_insert(driver))
    }

    /// Reads the attributes of a source inode. `near` opens the directory that it is in, or the
    /// directory itself. What could not be read of this inode alone is a problem.
    pub(crate) fn attributes(
        &self,
        holder: Holder<'_>,
        stat: &Stat,
        near: impl Fn() -> Option<Root>,
        path: impl Fn() -> RelPath,
    ) -> (Attributes, Vec<Problem>) {
        let driver = self.of(stat.dev, holder.fd());
        let (mut attributes, unread) = Attributes::read_of(holder, stat, driver.inode_flags);
        driver.note_answers(holder, stat, &unread);
        let mut problems = Vec::new();
        for unread in unread {
            let others = || Others::ask(near().as_ref().into_iter().chain(&self.source), unread.question, stat);
            if driver.refuses(&unread, stat, others) {
                let unpreserved = match unread.question {
                    _ if unread.is_unknown() => continue,
                    Question::Flags => Unpreserved::UntoldFlags,
                    Question::Project => Unpreserved::UntoldProject,
                    Question::Xattrs | Question::Value { .. } => Unpreserved::UntoldXattrs,
                };
                attributes.lost.insert(unpreserved);
                continue;
            }
            attributes.unread = true;
            attributes.acl_unread |= matches!(unread.question, Question::Xattrs | Question::Value { acl: true });
            problems.push(Problem::failed(path(), ProblemKind::Unreadable, unread.operation, unread.errno));
        }
        if let Some(mode) = meta::narrowed(stat, &attributes) {
            let mut problem =
                Problem::differs(path(), ProblemKind::Mode, format!("{:04o}", stat.mode), format!("{mode:04o}"));
            problem.detail = Detail::AclUnread(stat.mode, mode);
            problems.push(problem);
        }
        self.see(&attributes.xattrs, path);
        (attributes, problems)
    }

    /// Notices from `xattrs` what wrote the tree.
    pub(crate) fn see(&self, xattrs: &Xattrs, path: impl Fn() -> RelPath) {
        if !xattrs.is_empty() && xattrs.get(FAKE_SUPER).is_some() {
            self.fake_super.count.fetch_add(1, Relaxed);
            let mut first = lock(&self.fake_super.first);
            first.get_or_insert_with(path);
        }
    }

    /// True for the empty directory that a btrfs snapshot has where the original has a subvolume.
    pub(crate) fn is_empty_subvolume(&self, stat: &Stat, fd: impl AsFd) -> bool {
        stat.kind == Kind::Directory && stat.ino == EMPTY_SUBVOLUME && self.of(stat.dev, fd).is_btrfs
    }

    /// What is worth knowing at the end of a run.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        let fake = self.fake_super.count.load(Relaxed);
        if let Some(first) = lock(&self.fake_super.first).as_ref() {
            notes.push(Note::FakeSuper(first.clone(), fake));
        }
        let twice = self.read_twice.load(Relaxed);
        if twice > 0 {
            notes.push(Note::ReadTwice(twice, CACHED_FOR / 60));
        }
        let mut refused = BTreeMap::new();
        for ((question, _), answers) in self.answers() {
            if let Answers::Refused(errno, count) = answers {
                *refused.entry((question, errno.raw_os_error())).or_insert(0) += count;
            }
        }
        notes.extend(refused.into_iter().map(|((question, errno), count)| {
            Note::NoAnswer(count, question.words(), Errno::from_raw_os_error(errno))
        }));
        notes
    }

    /// Entries whose errors were taken for the whole file system's, until it answered.
    pub(crate) fn contradictions(&self) -> Vec<Problem> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut late: Vec<_> = known.values().flat_map(|driver| std::mem::take(&mut *lock(&driver.late))).collect();
        late.sort_unstable();
        let problem = |(question, count): (Question, u64)| {
            let detail = Detail::AnsweredLater(count, question.words());
            Problem::new(RelPath::root(), ProblemKind::Unreadable, detail).about(question.words().as_bytes())
        };
        late.into_iter().map(problem).collect()
    }

    fn answers(&self) -> Vec<((Question, Kind), Answers)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().flat_map(|driver| lock(&driver.answers).clone()).collect()
    }
}

/// Names the subvolume that [`Drivers::is_empty_subvolume`] found missing.
pub(crate) fn missing_subvolume(path: RelPath) -> Problem {
    Problem::new(path, ProblemKind::Missing, Detail::SubvolumeMissing)
}

impl Driver {
    /// Once the file system has answered, every later error is the inode's own.
    fn note_answers(&self, holder: Holder<'_>, stat: &Stat, unread: &[UnreadAttribute]) {
        if !self.may_cache {
            return;
        }
        let is_open = matches!(holder, Holder::File(_)) && matches!(stat.kind, Kind::File | Kind::Directory);
        let asked: &[Question] =
            if is_open { &[Question::Xattrs, Question::Flags, Question::Project] } else { &[Question::Xattrs] };
        let mut answers = lock(&self.answers);
        for question in asked.iter().filter(|question| unread.iter().all(|unread| unread.question != **question)) {
            if let Some(Answers::Refused(_, count @ 1..)) = answers.insert((*question, stat.kind), Answers::Given) {
                lock(&self.late).push((*question, count));
            }
        }
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
