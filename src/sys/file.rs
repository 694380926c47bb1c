//! Reading, writing and changing open files.

use super::dir::timestamps;
use super::raw::as_file;
use super::stat::Time;
use super::xattr::{Holder, proc_path};
use super::{Errno, Op, retry, transfer};
use filetime::{FileTime, set_file_handle_times};
use rustix::fd::AsFd;
use rustix::fs::{Advice, AtFlags, FallocateFlags, Gid, Mode, OFlags, SeekFrom, Uid};
use rustix::io::{IoSliceMut, ReadWriteFlags};
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};

/// Fills `buffer` from `offset`; fewer bytes only at the end of the file (pread(2)).
pub fn read_full(fd: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        let at = offset + filled as u64;
        match read_once(fd.as_fd(), &mut buffer[filled..], at)? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// One pread(2): `O_DIRECT` readers must keep their buffers aligned, so a short read is not continued
/// here.
pub fn read_once(fd: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    transfer(Op::Read, buffer.len(), |length| rustix::io::pread(fd.as_fd(), &mut buffer[..length], offset))
}

/// Writes all of `data` at `offset` (pwrite(2)). A write of no bytes is `ENOSPC`.
pub fn write_full(fd: impl AsFd, data: &[u8], offset: u64) -> Result<(), Errno> {
    let mut done = 0;
    while done < data.len() {
        let (rest, at) = (&data[done..], offset + done as u64);
        match transfer(Op::Write, rest.len(), |length| rustix::io::pwrite(fd.as_fd(), &rest[..length], at))? {
            0 => return Err(Errno::NOSPC),
            n => done += n,
        }
    }
    Ok(())
}

/// Start and end of the first data at or after `from`, by `SEEK_DATA` and
/// `SEEK_HOLE` (lseek(2)); `None` when only a hole is left. A file system
/// without hole support answers with one extent that ends at the file's size.
pub fn next_data(fd: impl AsFd, from: u64) -> Result<Option<(u64, u64)>, Errno> {
    let start = match retry(Op::SeekData, || rustix::fs::seek(fd.as_fd(), SeekFrom::Data(from))) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let end = match retry(Op::SeekData, || rustix::fs::seek(fd.as_fd(), SeekFrom::Hole(start))) {
        Ok(end) => end,
        // Truncated between the two calls.
        Err(Errno::NXIO) => start,
        Err(errno) => return Err(errno),
    };
    Ok((end > start).then_some((start, end)))
}

/// Sets the size (ftruncate(2)).
pub fn set_size(fd: impl AsFd, size: u64) -> Result<(), Errno> {
    retry(Op::Truncate, || rustix::fs::ftruncate(fd.as_fd(), size))
}

/// Reserves blocks without changing the size (fallocate(2)). `EOPNOTSUPP` if the file system cannot,
/// which only costs layout.
pub fn reserve(fd: impl AsFd, size: u64) -> Result<(), Errno> {
    retry(Op::Fallocate, || rustix::fs::fallocate(fd.as_fd(), FallocateFlags::KEEP_SIZE, 0, size))
}

/// Makes a range a hole (fallocate(2), `FALLOC_FL_PUNCH_HOLE`). `EOPNOTSUPP` if the file system has no
/// holes.
pub fn punch_hole(fd: impl AsFd, offset: u64, length: u64) -> Result<(), Errno> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    retry(Op::Fallocate, || rustix::fs::fallocate(fd.as_fd(), flags, offset, length))
}

/// Turns `O_DIRECT` on or off (fcntl(2), `F_SETFL`). `EINVAL` if unsupported.
pub fn set_direct(fd: impl AsFd, direct: bool) -> Result<(), Errno> {
    let flags = retry(Op::Fcntl, || rustix::fs::fcntl_getfl(fd.as_fd()))?;
    let flags = if direct { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT };
    retry(Op::Fcntl, || rustix::fs::fcntl_setfl(fd.as_fd(), flags))
}

/// Drops clean pages of the whole file from the page cache (posix_fadvise(2),
/// `POSIX_FADV_DONTNEED`). Dirty pages stay.
pub fn evict(fd: impl AsFd) -> Result<(), Errno> {
    retry(Op::Advise, || rustix::fs::fadvise(fd.as_fd(), 0, None, Advice::DontNeed))
}

/// The same for a range.
pub fn evict_range(fd: impl AsFd, offset: u64, length: u64) -> Result<(), Errno> {
    let length = std::num::NonZero::new(length);
    retry(Op::Advise, || rustix::fs::fadvise(fd.as_fd(), offset, length, Advice::DontNeed))
}

/// Asks for read-ahead of a file that is read from start to end.
pub fn read_sequentially(fd: impl AsFd) -> Result<(), Errno> {
    retry(Op::Advise, || rustix::fs::fadvise(fd.as_fd(), 0, None, Advice::Sequential))
}

/// True when the byte at `offset` can be read without going to the medium (preadv2(2),
/// `RWF_NOWAIT`).
pub fn is_cached(fd: impl AsFd, offset: u64) -> Result<bool, Errno> {
    let mut byte = [0_u8];
    let mut slices = [IoSliceMut::new(&mut byte)];
    match retry(Op::Probe, || rustix::io::preadv2(fd.as_fd(), &mut slices, offset, ReadWriteFlags::NOWAIT)) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Owner and group (fchown(2)); clears set-user-ID and capabilities.
pub fn chown(holder: Holder<'_>, uid: u32, gid: u32) -> Result<(), Errno> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    match holder {
        Holder::File(fd) => retry(Op::Chown, || rustix::fs::fchown(fd, uid, gid)),
        Holder::Handle(fd) => retry(Op::Chown, || rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH)),
    }
}

/// The twelve mode bits (fchmod(2)) of anything but a symlink. fchmod(2) refuses
/// handles; `/proc/self/fd/N` reaches the same inode.
pub fn chmod(holder: Holder<'_>, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode);
    match holder {
        Holder::File(fd) => retry(Op::Chmod, || rustix::fs::fchmod(fd, mode)),
        Holder::Handle(fd) => {
            let path = proc_path(fd);
            retry(Op::Chmod, || rustix::fs::chmod(path.as_c_str(), mode))
        }
    }
}

/// Access (if given) and modification time (futimens(3), utimensat(2)).
pub fn set_times(holder: Holder<'_>, atime: Option<Time>, mtime: Time) -> Result<(), Errno> {
    // The smallest number of seconds has no negative, which filetime would compute.
    let first = [atime, Some(mtime)].into_iter().flatten().any(|time| time.sec == i64::MIN);
    match holder {
        Holder::File(fd) if !first => retry(Op::Utimens, || {
            let time = |time: Time| FileTime::from_unix_time(time.sec, time.nsec);
            let set = set_file_handle_times(&as_file(fd), atime.map(time), Some(time(mtime)));
            set.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
        }),
        Holder::File(fd) => retry(Op::Utimens, || rustix::fs::futimens(fd, &timestamps(atime, mtime))),
        Holder::Handle(fd) => {
            retry(Op::Utimens, || rustix::fs::utimensat(fd, c"", &timestamps(atime, mtime), AtFlags::EMPTY_PATH))
        }
    }
}

/// The text of the symlink behind a handle.
pub fn read_link(handle: impl AsFd) -> Result<Vec<u8>, Errno> {
    retry(Op::Readlink, || rustix::fs::readlinkat(handle.as_fd(), c"", Vec::new())).map(std::ffi::CString::into_bytes)
}

/// The process that holds a POSIX lock on any part of the file, other than this one (fcntl(2), `F_GETLK`).
/// Locks of other machines and of other pid namespaces have no usable number.
pub fn lock_holder(fd: impl AsFd) -> Result<Option<i32>, Errno> {
    let wanted = Flock::from(FlockType::WriteLock);
    let held = retry(Op::Fcntl, || fcntl_getlk(fd.as_fd(), &wanted))?;
    Ok(held.filter(|lock| lock.typ != FlockType::Unlocked).map(|lock| Pid::as_raw(lock.pid)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::stat::stat_fd;

    #[test]
    fn times_before_and_long_after_the_epoch_arrive_to_the_nanosecond() {
        // tmpfs keeps all 64 bits of the seconds.
        let file = tempfile::NamedTempFile::new_in("/dev/shm").expect("a temporary file");
        for sec in [i64::MIN, i64::MIN + 1, -1, 0, 1 << 40, i64::MAX - 1, i64::MAX] {
            // The kernel keeps no nanoseconds of the first and the last second.
            let nsec = if matches!(sec, i64::MIN | i64::MAX) { 0 } else { 999_999_999 };
            let time = Time { sec, nsec };
            set_times(Holder::file(file.as_file()), Some(time), time).expect("set the times");
            let stat = stat_fd(file.as_file()).expect("stat");
            assert_eq!((stat.atime, stat.mtime), (time, time));
            set_times(Holder::file(file.as_file()), None, Time { sec: 7, nsec: 1 }).expect("set one time");
            let stat = stat_fd(file.as_file()).expect("stat");
            assert_eq!((stat.atime, stat.mtime), (time, Time { sec: 7, nsec: 1 }));
        }
    }
}
