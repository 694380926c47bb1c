//! A directory shown by FUSE through a driver that answers oddly: numbers, times,
//! counts of names, errors and listings of its own, by a plan that follows from a seed.
//! It is read-only; what lies below may change.

use super::random::Random;
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEntry, ReplyIoctl, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Result;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) const EIO: i32 = 5;
pub(crate) const EACCES: i32 = 13;
pub(crate) const EINVAL: i32 = 22;

/// How often something is so: for an inode (always the same ones) or for a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Often {
    Never,
    Always,
    /// For every n-th inode.
    Inodes(u64),
    /// For every n-th call.
    Calls(u64),
}

/// Inode numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Numbers {
    True,
    /// One of so many.
    Few(u64),
    /// Another one whenever somebody looks.
    Fresh,
}

/// The count of an inode's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Counts {
    True,
    Always(u32),
}

/// Times of changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clock {
    True,
    /// ctime is mtime.
    Mtime,
    /// Whole seconds.
    Seconds,
    /// ctime never moves.
    Still,
    /// ctime is another one whenever somebody looks, and goes back.
    Backwards,
}

/// How often a directory gives each name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Listing {
    Once,
    /// Twice in a row.
    Twice,
    /// All of them, and then all of them again.
    Again,
    /// With a name that leads nowhere, and twice the first ones.
    Ghost,
}

impl Listing {
    /// What it makes of a directory's entries.
    pub(crate) fn of(self, entries: Vec<(u64, FileType, OsString)>) -> Vec<(u64, FileType, OsString)> {
        match self {
            Self::Once => entries,
            Self::Twice => entries.iter().flat_map(|entry| [entry.clone(), entry.clone()]).collect(),
            Self::Again => [entries.clone(), entries].concat(),
            Self::Ghost => {
                let ghost = vec![(7, FileType::RegularFile, OsString::from("ghost"))];
                [entries.clone(), ghost, entries.into_iter().take(3).collect()].concat()
            }
        }
    }
}

/// How the bytes of a file come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reads {
    Cached,
    /// The kernel keeps what it has read before.
    Kept,
    /// Past the page cache, and less than was asked for.
    Short,
}

/// What is odd about a driver; by default nothing is.
#[derive(Clone, Debug)]
pub(crate) struct Oddities {
    pub(crate) seed: u64,
    pub(crate) numbers: Numbers,
    pub(crate) counts: Counts,
    pub(crate) clock: Clock,
    pub(crate) listing: Listing,
    pub(crate) reads: Reads,
    /// The error of listxattr(2), and when.
    pub(crate) xattrs: (i32, Often),
    /// The error of ioctl(2), and when; ENOTTY otherwise.
    pub(crate) ioctls: (i32, Often),
    pub(crate) open: (i32, Often),
    pub(crate) read: (i32, Often),
    pub(crate) link: (i32, Often),
    pub(crate) stat: (i32, Often),
    /// The size is said to be larger than it is.
    pub(crate) longer: Often,
    /// How long the kernel may keep attributes and names.
    pub(crate) kept: Duration,
    /// How long the driver itself keeps attributes.
    pub(crate) stale: Duration,
    /// How long each answer takes; then as many callers as there are may wait at a time.
    pub(crate) late: Duration,
    /// What the mount table calls it after `fuse.`.
    pub(crate) subtype: Option<&'static str>,
}

/// Who waits for answers.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    waiting: AtomicU64,
    /// The most at a time.
    pub(crate) most: AtomicU64,
    /// Files that were opened.
    pub(crate) opened: AtomicU64,
}

/// A caller that waits, until this is dropped.
struct Waiting<'a>(&'a Callers);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Oddities {
    fn default() -> Self {
        let never = (EIO, Often::Never);
        Self {
            seed: 0,
            numbers: Numbers::True,
            counts: Counts::True,
            clock: Clock::True,
            listing: Listing::Once,
            reads: Reads::Cached,
            xattrs: never,
            ioctls: never,
            open: never,
            read: never,
            link: never,
            stat: never,
            longer: Often::Never,
            kept: Duration::ZERO,
            stale: Duration::ZERO,
            late: Duration::ZERO,
            subtype: None,
        }
    }
}

impl Oddities {
    /// Those of a seed: most things are as they should be, and what is not is rarely so everywhere.
    pub(crate) fn random(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let honest = Self::default();
        let often = |random: &mut Random, errors: &[i32], rarely: u64| {
            let often = match random.below(rarely) {
                0 => Often::Always,
                1 => Often::Inodes(random.between(2, 9)),
                2 => Often::Calls(random.between(2, 40)),
                _ => Often::Never,
            };
            (*random.pick(errors), often)
        };
        let lying = |often| if often == Often::Always { Often::Inodes(5) } else { often };
        let numbers = *random.pick(&[
            Numbers::True,
            Numbers::True,
            Numbers::True,
            Numbers::Few(1),
            Numbers::Few(5),
            Numbers::Fresh,
        ]);
        let counts = *random.pick(&[Counts::True, Counts::True, Counts::True, Counts::Always(1), Counts::Always(2)]);
        Self {
            seed,
            numbers,
            // Numbers that are no numbers, with a count that says so.
            counts: if numbers == Numbers::True { counts } else { Counts::Always(1) },
            clock: *random.pick(&[
                Clock::True,
                Clock::True,
                Clock::Mtime,
                Clock::Mtime,
                Clock::Seconds,
                Clock::Still,
                Clock::Still,
                Clock::Backwards,
            ]),
            listing: *random.pick(&[
                Listing::Once,
                Listing::Once,
                Listing::Once,
                Listing::Twice,
                Listing::Again,
                Listing::Again,
                Listing::Ghost,
            ]),
            reads: *random.pick(&[Reads::Cached, Reads::Kept, Reads::Short]),
            xattrs: often(random, &[EIO, EINVAL, EACCES], 7),
            ioctls: often(random, &[EIO, EINVAL, EACCES], 6),
            open: (EACCES, lying(often(random, &[EACCES], 30).1)),
            read: (EIO, lying(often(random, &[EIO], 30).1)),
            link: (EIO, lying(often(random, &[EIO], 30).1)),
            stat: (EIO, lying(often(random, &[EIO], 60).1)),
            longer: lying(often(random, &[EIO], 20).1),
            kept: *random.pick(&[Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3600)]),
            ..honest
        }
    }
}

/// The mounted file system.
pub(crate) struct Odd {
    point: PathBuf,
    session: Option<BackgroundSession>,
    pub(crate) callers: Arc<Callers>,
}

impl Odd {
    /// Shows `below` at `point`, which is made.
    pub(crate) fn new(below: &Path, point: &Path, oddities: Oddities) -> Self {
        std::fs::create_dir_all(point).unwrap();
        let top = std::fs::symlink_metadata(below).unwrap().ino();
        let paths = Mutex::new(HashMap::from([(INodeNo::ROOT.0, below.to_path_buf())]));
        let (keys, looks, open) = Default::default();
        let callers = Arc::new(Callers::default());
        let mut config = Config::default();
        config.n_threads = Some(if oddities.late.is_zero() { 1 } else { 100 });
        let kept = Arc::clone(&callers);
        let subtype = oddities.subtype;
        let driver = Driver { oddities, top, paths, keys, calls: 0.into(), looks, open, callers: kept };
        config.mount_options = vec![MountOption::FSName("odd".into()), MountOption::RO];
        config.mount_options.extend(subtype.map(|subtype| MountOption::CUSTOM(format!("subtype={subtype}"))));
        let session = Some(fuser::spawn_mount(driver, point, &config).unwrap());
        Self { point: point.to_path_buf(), session, callers }
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(&self.point).status().ok();
        drop(self.session.take());
    }
}

struct Driver {
    oddities: Oddities,
    /// The true number of the top, which is the kernel's 1.
    top: u64,
    /// By the kernel's numbers, which are the true ones.
    paths: Mutex<HashMap<u64, PathBuf>>,
    /// What an inode's oddities follow from: the same in every run of a seed.
    keys: Mutex<HashMap<u64, u64>>,
    calls: AtomicU64,
    /// What the driver keeps of attributes.
    looks: Mutex<HashMap<u64, (Instant, FileAttr)>>,
    open: Mutex<HashMap<u64, File>>,
    callers: Arc<Callers>,
}

type Answer<T> = std::result::Result<T, Errno>;

fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let rounded = if seconds < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
    rounded + Duration::from_nanos(nanoseconds as u64)
}

impl Driver {
    /// Lets the caller wait.
    fn wait(&self) -> Waiting<'_> {
        let waiting = 1 + self.callers.waiting.fetch_add(1, Ordering::Relaxed);
        self.callers.most.fetch_max(waiting, Ordering::Relaxed);
        std::thread::sleep(self.oddities.late);
        Waiting(&self.callers)
    }

    fn path(&self, ino: INodeNo) -> Answer<PathBuf> {
        self.paths.lock().unwrap().get(&ino.0).cloned().ok_or(Errno::ESTALE)
    }

    fn is_so(&self, often: Often, ino: u64) -> bool {
        match often {
            Often::Never => false,
            Often::Always => true,
            Often::Inodes(n) => {
                let key = self.keys.lock().unwrap().get(&ino).copied().unwrap_or_default();
                Random::new(self.oddities.seed ^ key).once_in(n)
            }
            Often::Calls(n) => Random::new(self.oddities.seed ^ self.calls.fetch_add(1, Ordering::Relaxed)).once_in(n),
        }
    }

    fn fails(&self, (errno, often): (i32, Often), ino: INodeNo) -> Answer<()> {
        if self.is_so(often, ino.0) { Err(Errno::from_i32(errno)) } else { Ok(()) }
    }

    fn number(&self, ino: u64) -> u64 {
        match self.oddities.numbers {
            Numbers::True => ino,
            Numbers::Few(n) => 100 + ino % n,
            Numbers::Fresh => 1000 + self.calls.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// As the driver shows it, but with the kernel's number.
    fn attr(&self, meta: &Metadata) -> FileAttr {
        let odd = &self.oddities;
        let kind = FileType::from_std(meta.file_type()).unwrap_or(FileType::RegularFile);
        let nanoseconds = |n: i64| if odd.clock == Clock::Seconds { 0 } else { n };
        let mtime = time(meta.mtime(), nanoseconds(meta.mtime_nsec()));
        let ctime = match odd.clock {
            Clock::True | Clock::Seconds => time(meta.ctime(), nanoseconds(meta.ctime_nsec())),
            Clock::Mtime => mtime,
            Clock::Still => UNIX_EPOCH,
            Clock::Backwards => {
                UNIX_EPOCH + Duration::from_secs(1_000_000_000 - self.calls.fetch_add(1, Ordering::Relaxed))
            }
        };
        let longer = kind == FileType::RegularFile && self.is_so(odd.longer, meta.ino());
        FileAttr {
            ino: INodeNo(if meta.ino() == self.top { INodeNo::ROOT.0 } else { meta.ino() }),
            size: meta.size() + if longer { 4103 } else { 0 },
            blocks: meta.blocks() + if longer { 16 } else { 0 },
            atime: UNIX_EPOCH,
            mtime,
            ctime,
            crtime: UNIX_EPOCH,
            kind,
            perm: (meta.mode() & 0o7777) as u16,
            nlink: match odd.counts {
                Counts::Always(n) if kind != FileType::Directory => n,
                _ => meta.nlink() as u32,
            },
            uid: meta.uid(),
            gid: meta.gid(),
            rdev: meta.rdev() as u32,
            blksize: 4096,
            flags: 0,
        }
    }

    fn find(&self, parent: INodeNo, name: &OsStr) -> Answer<FileAttr> {
        let path = self.path(parent)?.join(name);
        let meta = std::fs::symlink_metadata(&path).map_err(Errno::from)?;
        let above = self.keys.lock().unwrap().get(&parent.0).copied().unwrap_or_default();
        let key = name.as_bytes().iter().fold(above, |key, byte| Random::new(key ^ u64::from(*byte)).next());
        self.keys.lock().unwrap().entry(meta.ino()).or_insert(key);
        let attr = self.attr(&meta);
        self.paths.lock().unwrap().insert(attr.ino.0, path);
        Ok(attr)
    }

    fn look(&self, ino: INodeNo) -> Answer<FileAttr> {
        self.fails(self.oddities.stat, ino)?;
        let mut looks = self.looks.lock().unwrap();
        if let Some((at, attr)) = looks.get(&ino.0)
            && at.elapsed() < self.oddities.stale
        {
            return Ok(*attr);
        }
        let meta = std::fs::symlink_metadata(self.path(ino)?).map_err(Errno::from)?;
        let attr = FileAttr { ino: INodeNo(self.number(meta.ino())), ..self.attr(&meta) };
        looks.insert(ino.0, (Instant::now(), attr));
        Ok(attr)
    }

    fn list(&self, ino: INodeNo) -> Answer<Vec<(u64, FileType, OsString)>> {
        let entries = std::fs::read_dir(self.path(ino)?).map_err(Errno::from)?.map(|entry| {
            let entry = entry?;
            let kind = FileType::from_std(entry.file_type()?).unwrap_or(FileType::RegularFile);
            Ok((entry.ino(), kind, entry.file_name()))
        });
        let entries = entries.collect::<Result<Vec<_>>>().map_err(Errno::from)?;
        Ok(self.oddities.listing.of(entries))
    }

    fn names_of_xattrs(&self, ino: INodeNo) -> Answer<Vec<u8>> {
        self.fails(self.oddities.xattrs, ino)?;
        let names = xattr::list(self.path(ino)?).map_err(Errno::from)?;
        Ok(names.flat_map(|name| [name.into_vec(), vec![0]].concat()).collect())
    }
}

/// Sends the answer or the error.
macro_rules! answer {
    ($reply:ident, $result:expr, $value:pat => $send:expr) => {
        let work = || -> Answer<_> { $result };
        match work() {
            Ok($value) => $send,
            Err(errno) => $reply.error(errno),
        }
    };
}

/// A list or value of attributes, or its length.
fn send_xattr(reply: ReplyXattr, size: u32, value: Answer<Vec<u8>>) {
    match value {
        Err(errno) => reply.error(errno),
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
    }
}

impl Filesystem for Driver {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> Result<()> {
        // Otherwise the kernel looks up one name of a directory at a time.
        config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS).map_err(|_| std::io::ErrorKind::Unsupported.into())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let _waiting = self.wait();
        answer!(reply, self.find(parent, name), attr => reply.entry(&self.oddities.kept, &attr, Generation(0)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let _waiting = self.wait();
        answer!(reply, self.look(ino), attr => reply.attr(&self.oddities.kept, &attr));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let _waiting = self.wait();
        let read = || {
            self.fails(self.oddities.link, ino)?;
            std::fs::read_link(self.path(ino)?).map_err(Errno::from)
        };
        answer!(reply, read(), text => reply.data(text.as_os_str().as_bytes()));
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let _waiting = self.wait();
        let open = || {
            self.fails(self.oddities.open, ino)?;
            File::open(self.path(ino)?).map_err(Errno::from)
        };
        answer!(reply, open(), file => {
            let handle = self.calls.fetch_add(1, Ordering::Relaxed);
            self.callers.opened.fetch_add(1, Ordering::Relaxed);
            self.open.lock().unwrap().insert(handle, file);
            reply.opened(FileHandle(handle), match self.oddities.reads {
                Reads::Cached => FopenFlags::empty(),
                Reads::Kept => FopenFlags::FOPEN_KEEP_CACHE,
                Reads::Short => FopenFlags::FOPEN_DIRECT_IO,
            });
        });
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        at: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let _waiting = self.wait();
        let read = || {
            self.fails(self.oddities.read, ino)?;
            let open = self.open.lock().unwrap();
            let file = open.get(&handle.0).ok_or(Errno::EBADF)?;
            let short = self.oddities.reads == Reads::Short && size > 8192;
            let mut out = vec![0; if short { size / 3 } else { size } as usize];
            let mut have = 0;
            while have < out.len() {
                match file.read_at(&mut out[have..], at + have as u64).map_err(Errno::from)? {
                    0 => break,
                    n => have += n,
                }
            }
            out.truncate(have);
            Ok(out)
        };
        answer!(reply, read(), out => reply.data(&out));
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: fuser::ReplyEmpty,
    ) {
        self.open.lock().unwrap().remove(&handle.0);
        reply.ok();
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let _waiting = self.wait();
        let dots = [".", ".."].map(|name| (ino.0, FileType::Directory, OsString::from(name)));
        answer!(reply, self.list(ino), entries => {
            for (n, (ino, kind, name)) in dots.into_iter().chain(entries).enumerate().skip(offset as usize) {
                if reply.add(INodeNo(ino), n as u64 + 1, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let _waiting = self.wait();
        send_xattr(reply, size, self.names_of_xattrs(ino));
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let _waiting = self.wait();
        let value = self.path(ino).and_then(|path| xattr::get(path, name).map_err(Errno::from));
        send_xattr(reply, size, value.and_then(|value| value.ok_or(Errno::ENODATA)));
    }

    fn ioctl(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        let _waiting = self.wait();
        reply.error(self.fails(self.oddities.ioctls, ino).err().unwrap_or(Errno::ENOTTY));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096);
    }
}
