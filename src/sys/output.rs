//! Files that a command writes for its caller: reports and exports.
//!
//! The directory is given by the caller and followed; the last name never is, so that nobody who can
//! write beside it can redirect root's output to another file. An existing file is replaced as a
//! whole, once the new content is durable.

use super::dir::TargetDir;
use super::stat::{Kind, stat_fd};
use super::xattr::proc_path;
use super::{Errno, Op, effective_ids, file, retry};
use crate::base::path::Name;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RenameFlags};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What to do with an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced; of a symlink the link itself, not what it leads to.
    Replaced,
    /// It is kept, with `EEXIST`.
    Kept,
}

/// As umask(2) leaves them, like those of a shell's redirection.
const FILE: Mode = Mode::from_raw_mode(0o666);
/// How many taken names are skipped.
const ATTEMPTS: u32 = 64;

/// Writes `content` to `path`: beside it, synced, then renamed. A FIFO or device of root or of the
/// caller takes it as a stream, and so do the links of `/dev` and `/proc` that represent descriptors.
/// `EPERM` for those of other users, `EISDIR` for a directory.
pub fn write(path: &Path, content: &[u8], existing: Existing) -> Result<(), Errno> {
    let name = path.file_name().ok_or(Errno::ISDIR)?;
    let name = Name::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = TargetDir::from_fd(retry(Op::Open, || rustix::fs::open(above, flags, Mode::empty()))?);
    match dir.open_handle(&name) {
        Ok(handle) if existing == Existing::Replaced => {
            let stat = stat_fd(&handle)?;
            match stat.kind {
                Kind::Directory => return Err(Errno::ISDIR),
                Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => {
                    if ![0, effective_ids().0].contains(&stat.uid) {
                        return Err(Errno::PERM);
                    }
                    return stream(Path::new(OsStr::from_bytes(proc_path(handle.as_fd()).as_bytes())), content);
                }
                Kind::Symlink if is_the_kernels(&dir)? => return stream(path, content),
                Kind::File | Kind::Symlink | Kind::Socket => {}
            }
        }
        Ok(_) => return Err(Errno::EXIST),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let (temporary, fd) = make(&dir)?;
    let written = file::write_full(&fd, content, 0)
        .and_then(|()| retry(Op::Syncfs, || rustix::fs::fsync(&fd)))
        .and_then(|()| put(&dir, &temporary, &name, existing));
    if written.is_err() {
        // Nobody needs the temporary file; the failure is already reported.
        dir.unlink(&temporary).ok();
        return written;
    }
    match retry(Op::Syncfs, || rustix::fs::fsync(dir.as_fd())) {
        // Some file systems do not sync directories.
        Err(Errno::INVAL) => Ok(()),
        synced => synced,
    }
}

/// True for `/dev` and procfs: links there represent descriptors, and only root and the kernel can
/// create them.
fn is_the_kernels(dir: &TargetDir) -> Result<bool, Errno> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    if retry(Op::Statfs, || rustix::fs::fstatfs(dir.as_fd()))?.f_type.cast_unsigned() == PROC_SUPER_MAGIC {
        return Ok(true);
    }
    let stat = dir.stat()?;
    let devices = retry(Op::Open, || rustix::fs::open(c"/dev", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()));
    Ok(devices.and_then(stat_fd).is_ok_and(|devices| (devices.dev, devices.ino) == (stat.dev, stat.ino)))
}

fn stream(path: &Path, content: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::APPEND | OFlags::CLOEXEC;
    let fd = retry(Op::Open, || rustix::fs::open(path, flags, Mode::empty()))?;
    let mut rest = content;
    while !rest.is_empty() {
        match retry(Op::Write, || rustix::io::write(&fd, rest))? {
            0 => return Err(Errno::NOSPC),
            written => rest = &rest[written..],
        }
    }
    Ok(())
}

/// A new file beside the one to be written.
fn make(dir: &TargetDir) -> Result<(Name, OwnedFd), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let pid = std::process::id();
    for attempt in 0..ATTEMPTS {
        let name = Name::new(format!(".persistcp-output-{pid}-{attempt}").as_bytes()).map_err(|_| Errno::INVAL)?;
        match retry(Op::Create, || rustix::fs::openat(dir.as_fd(), name.as_c_str(), flags, FILE)) {
            Err(Errno::EXIST) => {}
            made => return made.map(|fd| (name, fd)),
        }
    }
    Err(Errno::EXIST)
}

fn put(dir: &TargetDir, temporary: &Name, name: &Name, existing: Existing) -> Result<(), Errno> {
    if existing == Existing::Replaced {
        return dir.rename(temporary, name);
    }
    let at = |flags| {
        retry(Op::Rename, || {
            rustix::fs::renameat_with(dir.as_fd(), temporary.as_c_str(), dir.as_fd(), name.as_c_str(), flags)
        })
    };
    match at(RenameFlags::NOREPLACE) {
        // The file system does not know the flag; a link does not replace either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            dir.link_from(dir, temporary, name)?;
            dir.unlink(temporary)
        }
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_final_symlink_is_replaced_and_never_followed() {
        let place = tempfile::tempdir().expect("a directory");
        let other = place.path().join("shadow");
        std::fs::write(&other, "secret").expect("written");
        for (name, text) in [("report", other.as_path()), ("second", Path::new("dangling"))] {
            let at = place.path().join(name);
            symlink(text, &at).expect("a link");
            write(&at, b"new", Existing::Replaced).expect("written");
            assert!(std::fs::symlink_metadata(&at).expect("there").is_file());
        }
        assert_eq!(std::fs::read(&other).expect("read"), b"secret");
        // By an unusual path; if standard error is a socket it cannot be opened.
        write(Path::new("/dev/../dev/stderr"), b"", Existing::Replaced).ok();
        assert!(std::fs::symlink_metadata("/dev/stderr").expect("there").is_symlink());
    }

    #[test]
    fn what_is_to_be_kept_is_kept() {
        let place = tempfile::tempdir().expect("a directory");
        let at = place.path().join("plan.toml");
        write(&at, b"one", Existing::Kept).expect("written");
        assert_eq!(write(&at, b"two", Existing::Kept), Err(Errno::EXIST));
        assert_eq!(write(place.path(), b"two", Existing::Replaced), Err(Errno::ISDIR));
        assert_eq!(std::fs::read(&at).expect("read"), b"one");
        assert_eq!(std::fs::read_dir(place.path()).expect("listed").count(), 1, "no temporary file stays");
    }
}
