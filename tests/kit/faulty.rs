//! A file system with faults: a directory shown by FUSE, in which one range of
//! one file reads as EIO, reads with a flipped bit, or loses what is written. It may
//! also show numbers, times and listings that are odd.
//!
//! Inodes are held by `O_PATH` descriptors, so renames need no bookkeeping. There
//! are no extended attributes, no `fallocate`, and no `SEEK_HOLE`.

use super::odd::{Clock, Counts, Numbers, Oddities};
use filetime::FileTime;
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Result;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wrong {
    /// Reads of the range fail.
    ReadError,
    /// Reads of its first byte give another bit.
    FlippedBit,
    /// Writes to the range are acknowledged, and the medium keeps zeros.
    LostWrite,
}

/// Where it goes wrong: in the file that was made or found under `name`.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) wrong: Wrong,
    pub(crate) name: &'static str,
    pub(crate) range: Range<u64>,
}

/// The mounted file system.
pub(crate) struct Faulty {
    fault: Arc<Mutex<Option<Fault>>>,
    point: PathBuf,
    session: Option<BackgroundSession>,
}

impl Faulty {
    /// Shows `below` at `point`; both are made.
    pub(crate) fn new(below: &Path, point: &Path) -> Self {
        Self::odd(below, point, Oddities::default())
    }

    /// The same, with the numbers, counts, times and listings of `oddities`.
    pub(crate) fn odd(below: &Path, point: &Path, oddities: Oddities) -> Self {
        std::fs::create_dir_all(below).unwrap();
        std::fs::create_dir_all(point).unwrap();
        let fault = Arc::<Mutex<Option<Fault>>>::default();
        let (inodes, open) = Default::default();
        let files = Files { fault: Arc::clone(&fault), oddities, inodes, open, next: 1.into() };
        let root = rustix::fs::openat(CWD, below, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        files.inodes.lock().unwrap().insert(INodeNo::ROOT.0, Inode { file: Arc::new(root.into()), name: "".into() });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("faulty".into())];
        let session = Some(fuser::spawn_mount(files, point, &config).unwrap());
        Self { fault, point: point.to_path_buf(), session }
    }

    /// From now on this is wrong, or nothing.
    pub(crate) fn set(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(&self.point).status().ok();
        drop(self.session.take());
    }
}

struct Inode {
    /// Opened with `O_PATH`.
    file: Arc<File>,
    name: OsString,
}

struct Files {
    fault: Arc<Mutex<Option<Fault>>>,
    oddities: Oddities,
    inodes: Mutex<HashMap<u64, Inode>>,
    open: Mutex<HashMap<u64, Arc<File>>>,
    next: AtomicU64,
}

fn attr(ino: INodeNo, meta: &Metadata) -> FileAttr {
    let kind = FileType::from_std(meta.file_type()).unwrap_or(FileType::RegularFile);
    FileAttr {
        ino,
        size: meta.size(),
        blocks: meta.blocks(),
        atime: meta.accessed().unwrap_or(UNIX_EPOCH),
        mtime: meta.modified().unwrap_or(UNIX_EPOCH),
        ctime: UNIX_EPOCH + Duration::new(meta.ctime() as u64, meta.ctime_nsec() as u32),
        crtime: UNIX_EPOCH,
        kind,
        perm: (meta.mode() & 0o7777) as u16,
        nlink: meta.nlink() as u32,
        uid: meta.uid(),
        gid: meta.gid(),
        rdev: meta.rdev() as u32,
        blksize: 4096,
        flags: 0,
    }
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    let (tv_sec, tv_nsec) = match time {
        None => (0, UTIME_OMIT),
        Some(TimeOrNow::Now) => (0, UTIME_NOW),
        Some(TimeOrNow::SpecificTime(time)) => {
            let time = FileTime::from_system_time(time);
            (time.unix_seconds(), time.nanoseconds().into())
        }
    };
    Timespec { tv_sec, tv_nsec }
}

/// What follows the descriptor to the inode itself, even of a symlink.
fn path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

impl Files {
    /// What somebody who looks is shown.
    fn shown(&self, ino: INodeNo, meta: &Metadata) -> FileAttr {
        let attr = attr(ino, meta);
        let odd = &self.oddities;
        let whole = |time: SystemTime| {
            time.duration_since(UNIX_EPOCH).map_or(time, |since| UNIX_EPOCH + Duration::from_secs(since.as_secs()))
        };
        let (mtime, ctime) = match odd.clock {
            Clock::True => (attr.mtime, attr.ctime),
            Clock::Mtime => (attr.mtime, attr.mtime),
            Clock::Seconds => (whole(attr.mtime), whole(attr.ctime)),
            Clock::Still => (attr.mtime, UNIX_EPOCH),
            Clock::Backwards => {
                let back = self.next.fetch_add(1, Ordering::Relaxed);
                (attr.mtime, UNIX_EPOCH + Duration::from_secs(1_000_000_000 - back))
            }
        };
        FileAttr {
            ino: INodeNo(match odd.numbers {
                Numbers::True => ino.0,
                Numbers::Few(n) => 100 + ino.0 % n,
                Numbers::Fresh => 1000 + self.next.fetch_add(1, Ordering::Relaxed),
            }),
            mtime,
            ctime,
            nlink: match odd.counts {
                Counts::Always(n) if attr.kind != FileType::Directory => n,
                _ => attr.nlink,
            },
            ..attr
        }
    }

    fn inode(&self, ino: INodeNo) -> Result<Arc<File>> {
        let inodes = self.inodes.lock().unwrap();
        inodes.get(&ino.0).map(|inode| Arc::clone(&inode.file)).ok_or_else(|| rustix::io::Errno::STALE.into())
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Result<PathBuf> {
        Ok(path(&*self.inode(parent)?).join(name))
    }

    /// The entry `name`, which from now on is known by its inode number.
    fn find(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&*self.inode(parent)?, name, flags, Mode::empty())?);
        let meta = file.metadata()?;
        // The held descriptor keeps an inode number from being given out again.
        self.inodes.lock().unwrap().insert(meta.ino(), Inode { file: Arc::new(file), name: name.to_os_string() });
        Ok(attr(INodeNo(meta.ino()), &meta))
    }

    fn keep(&self, file: File) -> FileHandle {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().unwrap().insert(handle, Arc::new(file));
        FileHandle(handle)
    }

    fn handle(&self, handle: FileHandle) -> Arc<File> {
        Arc::clone(&self.open.lock().unwrap()[&handle.0])
    }

    /// The fault of this inode in `range`, if it is of this kind.
    fn fault(&self, wrong: Wrong, ino: INodeNo, range: &Range<u64>) -> Option<Range<u64>> {
        let fault = self.fault.lock().unwrap().clone()?;
        let named = self.inodes.lock().unwrap().get(&ino.0).is_some_and(|inode| inode.name == fault.name);
        let (from, end) = (fault.range.start.max(range.start), fault.range.end.min(range.end));
        (named && fault.wrong == wrong && from < end).then_some(from..end)
    }

    fn write_most(&self, ino: INodeNo, file: &File, at: u64, data: &[u8]) -> Result<()> {
        let mut data = data.to_vec();
        if let Some(lost) = self.fault(Wrong::LostWrite, ino, &(at..at + data.len() as u64)) {
            data[(lost.start - at) as usize..(lost.end - at) as usize].fill(0);
        }
        file.write_all_at(&data, at)
    }

    fn read_some(&self, ino: INodeNo, file: &File, at: u64, size: u32) -> Result<Vec<u8>> {
        let range = at..at + u64::from(size);
        if self.fault(Wrong::ReadError, ino, &range).is_some() {
            return Err(rustix::io::Errno::IO.into());
        }
        let mut out = vec![0; size as usize];
        let mut have = 0;
        while have < out.len() {
            match file.read_at(&mut out[have..], at + have as u64)? {
                0 => break,
                n => have += n,
            }
        }
        out.truncate(have);
        let first = self.fault.lock().unwrap().as_ref().map_or(0, |fault| fault.range.start);
        if self.fault(Wrong::FlippedBit, ino, &range).is_some() && range.contains(&first) {
            out[(first - at) as usize] ^= 1;
        }
        Ok(out)
    }
}

/// Sends the answer or the error.
macro_rules! answer {
    ($reply:ident, $result:expr, $value:pat => $send:expr) => {
        let work = || -> Result<_> { $result };
        match work() {
            Ok($value) => $send,
            Err(error) => $reply.error(Errno::from(error)),
        }
    };
}

const TTL: Duration = Duration::ZERO;
const NO_FLAGS: FopenFlags = FopenFlags::empty();

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, self.find(parent, name), attr => reply.entry(&TTL, &attr, Generation(0)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.inode(ino)?.metadata(), meta => reply.attr(&TTL, &self.shown(ino, &meta)));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = || {
            let file = self.inode(ino)?;
            if let Some(size) = size {
                File::options().write(true).open(path(&file))?.set_len(size)?;
            }
            if uid.is_some() || gid.is_some() {
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                rustix::fs::chownat(&*file, c"", uid, gid, AtFlags::EMPTY_PATH)?;
            }
            if let Some(mode) = mode {
                std::fs::set_permissions(path(&file), PermissionsExt::from_mode(mode & 0o7777))?;
            }
            let times = Timestamps { last_access: timespec(atime), last_modification: timespec(mtime) };
            rustix::fs::utimensat(CWD, path(&file), &times, AtFlags::empty())?;
            file.metadata()
        };
        answer!(reply, set(), meta => reply.attr(&TTL, &self.shown(ino, &meta)));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        answer!(reply, Ok(rustix::fs::readlinkat(&*self.inode(ino)?, c"", Vec::new())?), text => {
            reply.data(text.as_bytes());
        });
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let make = || {
            rustix::fs::mkdirat(&*self.inode(parent)?, name, Mode::from_raw_mode(mode))?;
            self.find(parent, name)
        };
        answer!(reply, make(), attr => reply.entry(&TTL, &attr, Generation(0)));
    }

    fn symlink(&self, _: &Request, parent: INodeNo, name: &OsStr, text: &Path, reply: ReplyEntry) {
        let make = || {
            rustix::fs::symlinkat(text, &*self.inode(parent)?, name)?;
            self.find(parent, name)
        };
        answer!(reply, make(), attr => reply.entry(&TTL, &attr, Generation(0)));
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let make = || {
            let from = path(&*self.inode(ino)?);
            rustix::fs::linkat(CWD, from, &*self.inode(parent)?, name, AtFlags::SYMLINK_FOLLOW)?;
            self.find(parent, name)
        };
        answer!(reply, make(), attr => reply.entry(&TTL, &attr, Generation(0)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, std::fs::remove_file(self.child(parent, name)?), () => reply.ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, std::fs::remove_dir(self.child(parent, name)?), () => reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        other: INodeNo,
        new: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let put = || {
            std::fs::rename(self.child(parent, name)?, self.child(other, new)?)?;
            self.find(other, new)
        };
        answer!(reply, put(), _ => reply.ok());
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, flags: i32, reply: ReplyCreate) {
        let make = || {
            let access = OFlags::from_bits_retain(flags as u32) & (OFlags::RWMODE | OFlags::EXCL);
            let flags = access | OFlags::CREATE | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&*self.inode(parent)?, name, flags, Mode::from_raw_mode(mode))?;
            Ok((self.find(parent, name)?, self.keep(file.into())))
        };
        answer!(reply, make(), (attr, handle) => reply.created(&TTL, &attr, Generation(0), handle, NO_FLAGS));
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let open = || {
            let access = OFlags::from_bits_retain(flags.0 as u32) & OFlags::RWMODE;
            let file = rustix::fs::openat(CWD, path(&*self.inode(ino)?), access | OFlags::CLOEXEC, Mode::empty())?;
            Ok(self.keep(file.into()))
        };
        answer!(reply, open(), handle => reply.opened(handle, NO_FLAGS));
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
        answer!(reply, self.read_some(ino, &self.handle(handle), at, size), out => reply.data(&out));
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        at: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        answer!(reply, self.write_most(ino, &self.handle(handle), at, data), () => reply.written(data.len() as u32));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.open.lock().unwrap().remove(&handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.handle(handle).sync_all(), () => reply.ok());
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let list = || {
            let entries = std::fs::read_dir(path(&*self.inode(ino)?))?.map(|entry| {
                let entry = entry?;
                let kind = FileType::from_std(entry.file_type()?).unwrap_or(FileType::RegularFile);
                Ok((entry.ino(), kind, entry.file_name()))
            });
            let entries = entries.collect::<Result<Vec<_>>>()?;
            Ok(self.oddities.listing.of(entries))
        };
        let dots = [".", ".."].map(|name| (ino.0, FileType::Directory, OsString::from_vec(name.into())));
        answer!(reply, list(), entries => {
            for (n, (ino, kind, name)) in dots.into_iter().chain(entries).enumerate().skip(offset as usize) {
                if reply.add(INodeNo(ino), n as u64 + 1, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let stat = || Ok(rustix::fs::statvfs(path(&*self.inode(INodeNo::ROOT)?))?);
        answer!(reply, stat(), s => {
            reply.statfs(s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree, 4096, 255, s.f_frsize as u32);
        });
    }
}
