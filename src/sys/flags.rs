//! Inode flags, as lsattr(1) shows them, and project ids.

use super::raw::{get_fsxattr, set_fsxattr};
use super::{Errno, Op, retry};
use rustix::fd::AsFd;
use rustix::fs::IFlags;

bitflags::bitflags! {
    /// A set of `FS_*_FL` bits (linux/fs.h), including those without a name here.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u32 {
        /// Flags that a user can set, and the two that show that a copy is less than its source (encrypted,
        /// verity); not layout bits such as `e`.
        const MEANT = 0x6093_ccff;
        /// Nothing can be changed.
        const IMMUTABLE = 0x10;
        /// Content can only be added.
        const APPEND = 0x20;
        /// Immutable and append-only: they forbid everything else, so they come last.
        const IMMUTABLE_OR_APPEND = 0x30;
        /// No copy-on-write, compression and its opposite: they only work on an empty file.
        const AT_CREATION = 0x0080_0404;
        /// Case-insensitive names: only for an empty directory.
        const CASEFOLD = 0x4000_0000;
        const _ = !0;
    }
}

/// Bit and letter, as in chattr(1).
const LETTERS: [(u32, char); 18] = [
    (0x0000_0001, 's'),
    (0x0000_0002, 'u'),
    (0x0000_0004, 'c'),
    (0x0000_0008, 'S'),
    (0x0000_0010, 'i'),
    (0x0000_0020, 'a'),
    (0x0000_0040, 'd'),
    (0x0000_0080, 'A'),
    (0x0000_0400, 'm'),
    (0x0000_0800, 'E'),
    (0x0000_4000, 'j'),
    (0x0000_8000, 't'),
    (0x0001_0000, 'D'),
    (0x0002_0000, 'T'),
    (0x0010_0000, 'V'),
    (0x0080_0000, 'C'),
    (0x2000_0000, 'P'),
    (0x4000_0000, 'F'),
];

impl Flags {
    /// Each flag on its own.
    pub fn each(self) -> impl Iterator<Item = Self> {
        (0..32).map(|bit| Self::from_bits_retain(1 << bit)).filter(move |flag| self.intersects(*flag))
    }
}

impl std::fmt::Display for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("+")?;
        LETTERS.iter().filter(|(bit, _)| self.bits() & bit != 0).try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

/// The flags of an open file or directory (`FS_IOC_GETFLAGS`, ioctl_iflags(2)).
/// `ENOTTY` or `EOPNOTSUPP` if the file system has none.
pub fn get(fd: impl AsFd) -> Result<Flags, Errno> {
    retry(Op::GetFlags, || rustix::fs::ioctl_getflags(fd.as_fd())).map(|flags| Flags::from_bits_retain(flags.bits()))
}

/// Sets the flags (`FS_IOC_SETFLAGS`). `EOPNOTSUPP` for a flag that the file
/// system does not know, `EPERM` for immutable and append-only without `CAP_LINUX_IMMUTABLE`.
pub fn set(fd: impl AsFd, flags: Flags) -> Result<(), Errno> {
    retry(Op::SetFlags, || rustix::fs::ioctl_setflags(fd.as_fd(), IFlags::from_bits_retain(flags.bits())))
}

/// The project id, for quotas (`FS_IOC_FSGETXATTR`).
pub fn project(fd: impl AsFd) -> Result<u32, Errno> {
    get_fsxattr(fd).map(|x| x.projid)
}

/// Sets the project id (`FS_IOC_FSSETXATTR`); everything else is kept.
pub fn set_project(fd: impl AsFd, id: u32) -> Result<(), Errno> {
    let now = get_fsxattr(fd.as_fd())?;
    set_fsxattr(fd, super::raw::FsXattr { projid: id, ..now })
}

/// True for the errors of a file system that has no such thing at all.
#[must_use]
pub fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_as_lsattr_shows_them() {
        assert_eq!(Flags::IMMUTABLE_OR_APPEND.to_string(), "+ia");
        assert_eq!(Flags::AT_CREATION.to_string(), "+cmC");
        assert_eq!(Flags::MEANT.bits(), LETTERS.iter().fold(0, |all, (bit, _)| all | bit));
    }
}
