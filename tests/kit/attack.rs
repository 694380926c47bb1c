//! Attackers: threads that swap names as fast as they can while the binary
//! works, and what they would like it to read or to write.

use super::snapshot::{self, Snapshot};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, inotify};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One attack; all paths are relative to the attackers' directory.
#[derive(Clone, Debug)]
pub(crate) enum Attack {
    /// Two names change places, and back again.
    Exchange(PathBuf, PathBuf),
    /// A name is moved away, and back again.
    Away(PathBuf, PathBuf),
    /// A symlink with this text takes the name, whatever had it.
    Symlink(PathBuf, PathBuf),
    /// A further name of a file takes the name.
    Link(PathBuf, PathBuf),
}

impl Attack {
    /// True when the swap succeeded.
    fn once(&self, dir: &OwnedFd, scratch: &Path) -> bool {
        let there_and_back = |a: &PathBuf, b: &PathBuf, flags| {
            let swap = |a: &PathBuf, b: &PathBuf| rustix::fs::renameat_with(dir, a, dir, b, flags);
            swap(a, b).is_ok() && {
                // Another attacker may have moved the directory above for a moment.
                let (from, to) = if flags == RenameFlags::EXCHANGE { (a, b) } else { (b, a) };
                (0..100_000).any(|_| swap(from, to) != Err(Errno::NOENT))
            }
        };
        let put = |name: &PathBuf| rustix::fs::renameat(dir, scratch, dir, name).is_ok();
        match self {
            Self::Exchange(a, b) => there_and_back(a, b, RenameFlags::EXCHANGE),
            Self::Away(a, b) => there_and_back(a, b, RenameFlags::NOREPLACE),
            Self::Symlink(name, text) => {
                rustix::fs::unlinkat(dir, scratch, AtFlags::empty()).ok();
                rustix::fs::symlinkat(text, dir, scratch).is_ok() && put(name)
            }
            Self::Link(name, file) => {
                rustix::fs::unlinkat(dir, scratch, AtFlags::empty()).ok();
                rustix::fs::linkat(dir, file, dir, scratch, AtFlags::empty()).is_ok() && put(name)
            }
        }
    }
}

/// Whose rights the attackers have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rights {
    Root,
    User(u32),
}

impl Rights {
    /// Of this thread alone.
    fn assume(self) {
        if let Self::User(id) = self {
            let (uid, gid) = (rustix::fs::Uid::from_raw(id), rustix::fs::Gid::from_raw(id));
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        }
    }
}

/// Does `work` while three threads carry out the attacks below `dir`. Gives how
/// many swaps succeeded.
pub(crate) fn under_attack<T>(dir: &Path, rights: Rights, attacks: &[Attack], work: impl FnOnce() -> T) -> (T, u64) {
    let over = AtomicBool::new(false);
    let races = AtomicU64::new(0);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let dir = rustix::fs::openat(CWD, dir, flags, Mode::empty()).unwrap();
    let result = std::thread::scope(|scope| {
        for thread in 0..3 {
            let (over, races, dir) = (&over, &races, &dir);
            let mine: Vec<&Attack> = attacks.iter().skip(thread).step_by(3).collect();
            scope.spawn(move || {
                rights.assume();
                let scratch = PathBuf::from(format!("scratch-{thread}"));
                for attack in mine.into_iter().cycle() {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    if attack.once(dir, &scratch) {
                        races.fetch_add(1, Ordering::Relaxed);
                    } else {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let result = work();
        over.store(true, Ordering::Relaxed);
        result
    });
    (result, races.into_inner())
}

/// A directory that the copy must neither read nor write.
pub(crate) struct Outside {
    pub(crate) path: PathBuf,
    before: Snapshot,
    opens: OwnedFd,
}

/// What every file of it holds.
pub(crate) const SECRET: &str = "SECRET-OF-SOMEBODY-ELSE";

impl Outside {
    /// Files `f0`, `f1`, … and from now on a watch on them.
    pub(crate) fn new(path: PathBuf, files: usize) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        for i in 0..files {
            std::fs::write(path.join(format!("f{i}")), format!("{SECRET} {i}")).unwrap();
        }
        let before = snapshot::take(&path);
        let opens = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&opens, &path, inotify::WatchFlags::OPEN | inotify::WatchFlags::MODIFY).unwrap();
        Self { path, before, opens }
    }

    /// No file was opened, and nothing is other than before.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(self.opens.as_fd(), &mut buffer);
        let mut opened = Vec::new();
        while let Ok(event) = events.next() {
            // The survey reads names by path; what it counts leads to no copy.
            if !event.events().contains(inotify::ReadFlags::ISDIR) {
                opened.push(format!("{:?} {:?}", event.file_name(), event.events()));
            }
        }
        assert!(opened.is_empty(), "opened outside: {opened:?}");
        let differences = snapshot::diff(&self.before, &snapshot::take(&self.path));
        assert!(differences.is_empty(), "written outside:\n{}", differences.join("\n"));
        // Taking the snapshot was a look of our own.
        while events.next().is_ok() {}
    }
}

/// No file at or below `path` holds a secret.
#[track_caller]
pub(crate) fn assert_no_secret(path: &Path) {
    let meta = path.symlink_metadata().unwrap();
    if meta.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| assert_no_secret(&entry.unwrap().path()));
    } else if meta.is_file() {
        let bytes = std::fs::read(path).unwrap();
        let found = bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
        assert!(!found, "{} holds a secret", path.display());
    }
}

/// A FIFO or a device that never ends.
pub(crate) fn special(path: &Path, kind: FileType) {
    let zero = rustix::fs::makedev(1, 5);
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o666), zero).unwrap();
}
