//! What a file system as a whole cannot hold, or does not report.
//!
//! A single attribute missing from a single inode is a problem of its own. What no inode of the
//! file system can have is reported once and counted for each; so is what the source's file
//! system does not report for any of its inodes.

use super::kind::ProblemKind;
use crate::sys::Errno;
use crate::sys::flags::is_absent;

/// A class of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unpreserved {
    /// Owner and group.
    Owner,
    /// The owner's name: the number is another name's on the target.
    Name,
    /// Permission bits.
    Mode,
    /// Set-user-ID and set-group-ID, where the owner is not the source's.
    SetId,
    /// Modification times, or their precision or range.
    Mtime,
    /// Access times.
    Atime,
    /// `user.*` attributes.
    User,
    /// `trusted.*` attributes.
    Trusted,
    /// `security.*` attributes, capabilities among them.
    Security,
    /// Attributes of another namespace.
    Other,
    /// POSIX ACLs.
    Acl,
    /// Inode flags: lost ones are no longer in the row, so the others are still compared.
    Flags,
    /// Inode flags of symlinks, FIFOs and device nodes, which no call sets.
    SpecialFlags,
    /// Project ids.
    Project,
    /// Holes.
    Holes,
    /// Hard links.
    Links,
    /// Symlinks.
    Symlinks,
    /// FIFOs and device nodes.
    Special,
    /// Extended attributes, ACLs among them, that the source's file system does not report.
    UntoldXattrs,
    /// Inode flags that it does not report.
    UntoldFlags,
    /// Project ids that it does not report.
    UntoldProject,
    /// One hard link: its name has an inode of its own, though the file system holds links.
    Apart,
}

/// All classes, in the order of their bits in the journal.
const ALL: [Unpreserved; 22] = [
    Unpreserved::Owner,
    Unpreserved::Mode,
    Unpreserved::SetId,
    Unpreserved::Mtime,
    Unpreserved::Atime,
    Unpreserved::User,
    Unpreserved::Trusted,
    Unpreserved::Security,
    Unpreserved::Other,
    Unpreserved::Acl,
    Unpreserved::Flags,
    Unpreserved::Project,
    Unpreserved::Holes,
    Unpreserved::Links,
    Unpreserved::Symlinks,
    Unpreserved::Special,
    Unpreserved::SpecialFlags,
    Unpreserved::Name,
    Unpreserved::UntoldXattrs,
    Unpreserved::UntoldFlags,
    Unpreserved::UntoldProject,
    Unpreserved::Apart,
];

impl Unpreserved {
    /// The class of an extended attribute's name.
    #[must_use]
    pub fn of_xattr(name: &[u8]) -> Self {
        match name {
            _ if name.starts_with(b"system.posix_acl_") => Self::Acl,
            _ if name.starts_with(b"user.") => Self::User,
            _ if name.starts_with(b"trusted.") => Self::Trusted,
            _ if name.starts_with(b"security.") => Self::Security,
            _ => Self::Other,
        }
    }

    /// The class that a difference of this kind belongs to.
    #[must_use]
    pub fn of_difference(kind: ProblemKind, attribute: Option<&str>) -> Option<Self> {
        Some(match kind {
            ProblemKind::Owner | ProblemKind::Group => Self::Owner,
            ProblemKind::Mode => Self::Mode,
            ProblemKind::Mtime => Self::Mtime,
            ProblemKind::Acl => Self::Acl,
            ProblemKind::Xattr => Self::of_xattr(attribute.unwrap_or_default().as_bytes()),
            ProblemKind::Project => Self::Project,
            ProblemKind::Link => Self::Links,
            ProblemKind::Holes => Self::Holes,
            _ => return None,
        })
    }

    /// The kind of its problems.
    #[must_use]
    pub fn kind(self) -> ProblemKind {
        match self {
            Self::Owner | Self::Name => ProblemKind::Owner,
            Self::Mode | Self::SetId => ProblemKind::Mode,
            Self::Mtime => ProblemKind::Mtime,
            Self::Atime => ProblemKind::Atime,
            Self::User | Self::Trusted | Self::Security | Self::Other => ProblemKind::Xattr,
            Self::Acl => ProblemKind::Acl,
            Self::Flags | Self::SpecialFlags => ProblemKind::Flags,
            Self::Project => ProblemKind::Project,
            Self::Holes => ProblemKind::Holes,
            Self::Links | Self::Apart => ProblemKind::Link,
            Self::Symlinks | Self::Special => ProblemKind::Unsupported,
            Self::UntoldXattrs | Self::UntoldFlags | Self::UntoldProject => ProblemKind::Unreadable,
        }
    }

    /// True for what no inode of the file system can have.
    #[must_use]
    pub fn is_of_file_system(self) -> bool {
        self != Self::Apart
    }

    /// True for what no row of the journal records, or not as exactly as the run that met it.
    #[must_use]
    pub fn is_without_row(self) -> bool {
        matches!(self, Self::Symlinks | Self::Special | Self::Apart)
    }

    /// Its bit in the journal.
    #[must_use]
    pub fn bit(self) -> u32 {
        ALL.iter().position(|unpreserved| *unpreserved == self).map_or(0, |n| 1 << n)
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnpreservedSet(u32);

impl UnpreservedSet {
    /// The bits, as the journal stores them.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Any bits; unknown ones are dropped.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits & ((1 << ALL.len()) - 1))
    }

    /// Adds a class; false when it was there.
    pub fn insert(&mut self, unpreserved: Unpreserved) -> bool {
        let new = !self.contains(unpreserved);
        self.0 |= unpreserved.bit();
        new
    }

    /// True for a class that is in the set.
    #[must_use]
    pub fn contains(self, unpreserved: Unpreserved) -> bool {
        self.0 & unpreserved.bit() != 0
    }

    /// Each class.
    pub fn each(self) -> impl Iterator<Item = Unpreserved> {
        ALL.into_iter().filter(move |unpreserved| self.contains(*unpreserved))
    }
}

/// The file system that an inode is written to, as far as metadata is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// Device number.
    pub dev: u64,
    /// Keeps no Unix owners and modes (vfat, exfat, ntfs) and refuses to set them with `EPERM`.
    pub bare: bool,
}

impl Disk {
    /// One that keeps owners and modes, or of which nothing else is known.
    #[must_use]
    pub fn usual(dev: u64) -> Self {
        Self { dev, bare: false }
    }

    /// True when this error is the file system's, not one inode's.
    #[must_use]
    pub fn cannot(self, errno: Errno) -> bool {
        is_absent(errno) || self.bare && matches!(errno, Errno::PERM | Errno::INVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_bit_of_its_own() {
        let mut lost = UnpreservedSet::default();
        for unpreserved in ALL {
            assert!(lost.insert(unpreserved) && !lost.insert(unpreserved), "{unpreserved:?}");
        }
        assert_eq!(lost.each().collect::<Vec<_>>(), ALL);
        assert_eq!(UnpreservedSet::from_bits(u32::MAX), lost);
    }
}
