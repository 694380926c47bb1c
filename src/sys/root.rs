//! A directory that paths cannot leave: the backup tree, or the new system's root.

use super::file::read_full;
use super::stat::{Kind, stat_fd};
use super::{Errno, Op, retry};
use crate::base::path::RelPath;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use std::path::Path;

/// How often a call is repeated after `EAGAIN`.
const PATIENCE: u32 = 10_000;

/// An open directory inside which every path is resolved as if it were `/`: absolute symlinks and `..`
/// stay inside (openat2(2), `RESOLVE_IN_ROOT`).
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// Opens the directory at `path`, following symlinks: the caller named it.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        retry(Op::Open, || rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()))
            .map(Self)
    }

    /// The directory behind an open descriptor, as another root.
    pub fn again(fd: impl AsFd) -> Result<Self, Errno> {
        // Not a duplicate: that of an O_PATH handle could not be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        retry(Op::Open, || rustix::fs::openat(fd.as_fd(), c".", flags, Mode::empty())).map(Self)
    }

    /// Opens `path` inside the root. `flags` gets `O_CLOEXEC`; magic links
    /// (`/proc/*/fd`) are refused with `ELOOP`.
    pub fn open_in(&self, path: &RelPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.open_by(path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    /// The same without following any symlink: `ELOOP` for one on the way, and at the end unless `flags` are
    /// `O_PATH | O_NOFOLLOW`, which open the symlink itself.
    pub fn open_strict(&self, path: &RelPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.open_by(path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
    }

    fn open_by(&self, path: &RelPath, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        let name = if path.is_root() { Path::new(".") } else { path.as_path() };
        let open =
            || retry(Op::Open, || rustix::fs::openat2(&self.0, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve));
        // A rename anywhere on the machine while `..` is resolved causes EAGAIN: the kernel cannot tell that it
        // stayed inside (openat2(2)).
        for _ in 0..PATIENCE {
            match open() {
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
        open()
    }

    /// Reads a whole small file inside the root (id maps, passwd). The limit guards against a file that is
    /// not what its name suggests: `EFBIG`.
    pub fn read(&self, path: &RelPath, limit: u64) -> Result<Vec<u8>, Errno> {
        // O_NONBLOCK: a FIFO in the file's place must not block.
        let fd = self.open_in(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        if stat_fd(&fd)?.kind != Kind::File {
            return Err(Errno::INVAL);
        }
        let mut bytes = Vec::new();
        let mut part = vec![0; 64 << 10];
        loop {
            let got = read_full(&fd, &mut part, bytes.len() as u64)?;
            bytes.extend_from_slice(&part[..got]);
            if bytes.len() as u64 > limit {
                return Err(Errno::FBIG);
            }
            if got < part.len() {
                return Ok(bytes);
            }
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// True when nothing exists at `path`, which may be followed: `ENOENT` or `ENOTDIR`.
#[must_use]
pub fn is_absent(path: &Path) -> bool {
    matches!(retry(Op::Stat, || rustix::fs::statat(CWD, path, AtFlags::empty())), Err(Errno::NOENT | Errno::NOTDIR))
}

/// The path of an open descriptor's file, according to the kernel.
pub fn real_path(fd: &impl AsFd) -> Result<std::path::PathBuf, Errno> {
    use std::os::unix::ffi::OsStringExt;
    let link = super::xattr::proc_path(fd.as_fd());
    let text = retry(Op::Readlink, || rustix::fs::readlink(link.as_c_str(), Vec::new()))?;
    Ok(std::ffi::OsString::from_vec(text.into_bytes()).into())
}
