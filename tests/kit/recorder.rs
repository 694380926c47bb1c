//! A disk of the test's own: a FUSE file system with the one file `disk`, on
//! which a loop device makes a block device. It keeps every write and every
//! flush in the order in which they came.
//!
//! The file is opened with `FOPEN_DIRECT_IO`, so no page cache lies between the
//! loop device and this log: each request of the block layer is one or more
//! FUSE_WRITE, and each flush of it one FUSE_FSYNC.

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, SessionACL, WriteFlags,
};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

const BLOCK: usize = 4096;
const DISK: INodeNo = INodeNo(2);
/// A recorded disk is slow, some 16 MB/s, so that the run has several epochs.
const NS_PER_BYTE: u64 = 60;
const TTL: Duration = Duration::from_secs(3600);

/// What a disk holds. A clone shares the blocks, so a state of the disk costs a table.
#[derive(Clone, Default)]
pub(crate) struct Medium(HashMap<u64, Arc<[u8; BLOCK]>>);

impl Medium {
    pub(crate) fn write(&mut self, mut at: u64, mut data: &[u8]) {
        while !data.is_empty() {
            let (block, from) = (at / BLOCK as u64, at as usize % BLOCK);
            let part = data.len().min(BLOCK - from);
            let (now, rest) = data.split_at(part);
            // Blocks of zeros are what mkfs writes most.
            if self.0.contains_key(&block) || now.iter().any(|b| *b != 0) {
                let bytes = self.0.entry(block).or_insert_with(|| Arc::new([0; BLOCK]));
                Arc::make_mut(bytes)[from..from + part].copy_from_slice(now);
            }
            (at, data) = (at + part as u64, rest);
        }
    }

    fn read(&self, at: u64, out: &mut [u8]) {
        let mut done = 0;
        while done < out.len() {
            let (block, from) = ((at + done as u64) / BLOCK as u64, (at as usize + done) % BLOCK);
            let part = (out.len() - done).min(BLOCK - from);
            if let Some(bytes) = self.0.get(&block) {
                out[done..done + part].copy_from_slice(&bytes[from..from + part]);
            }
            done += part;
        }
    }
}

/// What the block layer asked of the disk.
pub(crate) enum Event {
    Write {
        at: u64,
        data: Vec<u8>,
    },
    /// Everything before it is on the medium.
    Flush,
}

#[derive(Default)]
struct State {
    medium: Medium,
    log: Option<Vec<Event>>,
}

/// The mounted disk.
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
    dir: PathBuf,
    session: Option<BackgroundSession>,
}

impl Disk {
    /// An empty disk of `mib` MiB; `dir` is made to mount it on.
    pub(crate) fn new(dir: &Path, mib: u64) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let state = Arc::<Mutex<State>>::default();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("recorder".into())];
        // Kernel threads of the loop device are nobody's processes.
        config.acl = SessionACL::All;
        let files = Files { size: mib << 20, state: Arc::clone(&state) };
        let session = fuser::spawn_mount(files, dir, &config).unwrap();
        Self { state, dir: dir.to_path_buf(), session: Some(session) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join("disk")
    }

    /// Begins a log.
    pub(crate) fn record(&self) {
        self.state.lock().unwrap().log = Some(Vec::new());
    }

    /// The length of the log so far.
    pub(crate) fn events(&self) -> usize {
        self.state.lock().unwrap().log.as_ref().unwrap().len()
    }

    /// Ends the log.
    pub(crate) fn recorded(&self) -> Vec<Event> {
        self.state.lock().unwrap().log.take().unwrap()
    }

    /// What the disk holds now.
    pub(crate) fn medium(&self) -> Medium {
        self.state.lock().unwrap().medium.clone()
    }

    /// Another medium in the same drive; nothing may have the disk open.
    pub(crate) fn insert(&self, medium: Medium) {
        self.state.lock().unwrap().medium = medium;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A loop device lets go of the file a moment after its own lazy unmount.
        std::process::Command::new("umount").arg("-l").arg(&self.dir).status().ok();
        drop(self.session.take());
    }
}

struct Files {
    size: u64,
    state: Arc<Mutex<State>>,
}

impl Files {
    fn attr(&self, ino: INodeNo) -> FileAttr {
        let root = ino == INodeNo::ROOT;
        FileAttr {
            ino,
            size: if root { 0 } else { self.size },
            blocks: if root { 0 } else { self.size / 512 },
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if root { FileType::Directory } else { FileType::RegularFile },
            perm: if root { 0o700 } else { 0o600 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: BLOCK as u32,
        }
    }
}

// What is not here is answered with ENOSYS: fallocate(2) among it, so that the
// block layer writes its zeros itself.
impl Filesystem for Files {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // A kernel with a lower limit keeps it.
        config.set_max_write(1 << 20).ok();
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == "disk" {
            reply.entry(&TTL, &self.attr(DISK), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attr(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        at: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut out = vec![0; u64::from(size).min(self.size.saturating_sub(at)) as usize];
        self.state.lock().unwrap().medium.read(at, &mut out);
        reply.data(&out);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        at: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state.lock().unwrap();
        state.medium.write(at, data);
        if let Some(log) = &mut state.log {
            log.push(Event::Write { at, data: data.to_vec() });
            drop(state);
            std::thread::sleep(Duration::from_nanos(data.len() as u64 * NS_PER_BYTE));
        }
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        if let Some(log) = &mut self.state.lock().unwrap().log {
            log.push(Event::Flush);
        }
        reply.ok();
    }
}
