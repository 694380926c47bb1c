//! Reads what statx(2) does not tell about an inode.

use super::xattrs::{ACL_ACCESS, Xattrs};
use crate::engine::events::operation::Operation;
use crate::engine::events::unpreserved::UnpreservedSet;
use crate::sys::flags::{Flags, is_absent};
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, flags, xattr};

/// Everything about an inode beyond its stat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Inode flags, those of [`Flags::MEANT`].
    pub flags: Flags,
    /// Project id.
    pub project: u32,
    /// Some could not be read: the inode has more than this.
    pub unread: bool,
    /// It may have an access ACL that could not be read.
    pub acl_unread: bool,
    /// What its file system does not tell about any inode.
    pub lost: UnpreservedSet,
    /// It has the mark of an unfinished copy, which is not among the attributes.
    pub marked: bool,
}

/// A question about an inode beyond its stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// The names of its extended attributes (listxattr(2)).
    Xattrs,
    /// The value of one (getxattr(2)); whether it is the access ACL.
    Value {
        /// It is the access ACL.
        acl: bool,
    },
    /// Inode flags (ioctl_iflags(2)).
    Flags,
    /// The project id.
    Project,
}

/// A question that was answered with an error.
#[derive(Clone, Debug)]
pub struct UnreadAttribute {
    /// What was asked.
    pub question: Question,
    /// The call that asked.
    pub operation: Operation,
    /// The answer.
    pub errno: Errno,
}

impl UnreadAttribute {
    /// True for ioctl(2)'s error for a request unknown to the driver: it has no such thing.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.question, Question::Flags | Question::Project) && self.errno == Errno::INVAL
    }
}

impl Question {
    /// What was asked for, in words for a person.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Xattrs | Self::Value { .. } => "extended attributes",
            Self::Flags => "inode flags",
            Self::Project => "project ids",
        }
    }

    /// Asks only whether the inode answers; `None` if there is nothing of the kind.
    pub fn ask(self, holder: Holder<'_>) -> Option<Result<(), Errno>> {
        let answer = match self {
            Self::Xattrs => xattr::list(holder).map(drop),
            Self::Flags => flags::get(holder.fd()).map(drop),
            Self::Project => flags::project(holder.fd()).map(drop),
            Self::Value { .. } => return None,
        };
        match answer {
            Err(errno) if is_absent(errno) => None,
            answer => Some(answer),
        }
    }
}

/// Whether a file system can have flags and project ids of inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InodeFlags {
    /// Each inode is asked.
    Asked,
    /// It has none. Through FUSE the question alone opens the file once more.
    None,
}

impl Attributes {
    /// Reads them all; what cannot be read is returned by name and taken for absent.
    pub fn read(holder: Holder<'_>, stat: &Stat) -> (Self, Vec<UnreadAttribute>) {
        Self::read_of(holder, stat, InodeFlags::Asked)
    }

    /// The same, of a file system that may have no flags and project ids.
    pub fn read_of(holder: Holder<'_>, stat: &Stat, inode_flags: InodeFlags) -> (Self, Vec<UnreadAttribute>) {
        let mut unread = Vec::new();
        let mut or_none = |question, operation, errno| unread.push(UnreadAttribute { question, operation, errno });
        let mut attributes = Self::default();
        match Xattrs::read_each(holder) {
            Ok((xattrs, failed)) => {
                attributes.xattrs = xattrs;
                attributes.marked = attributes.xattrs.take_mark();
                for (name, errno) in failed {
                    let acl = name.as_bytes() == ACL_ACCESS;
                    or_none(Question::Value { acl }, Operation::ReadXattr(name.as_bytes().into()), errno);
                }
            }
            Err(errno) => or_none(Question::Xattrs, Operation::ListXattrs, errno),
        }
        // Only an open file or directory answers; for others the kernel shows no flags but these three.
        let Holder::File(fd) = holder else { return (attributes, unread) };
        if !matches!(stat.kind, Kind::File | Kind::Directory) || inode_flags == InodeFlags::None {
            return (attributes, unread);
        }
        match flags::get(fd) {
            Ok(flags) => attributes.flags = flags.intersection(Flags::MEANT),
            Err(errno) if is_absent(errno) => return (attributes, unread),
            Err(errno) => or_none(Question::Flags, Operation::ReadFlags, errno),
        }
        match flags::project(fd) {
            Ok(project) => attributes.project = project,
            Err(errno) if is_absent(errno) => {}
            Err(errno) => or_none(Question::Project, Operation::ReadProject, errno),
        }
        (attributes, unread)
    }
}

/// The mode for an inode whose access ACL could not be read; `None` if it loses nothing by that.
#[must_use]
pub fn narrowed(stat: &Stat, attributes: &Attributes) -> Option<u32> {
    let narrow = stat.mode & !0o070;
    (attributes.acl_unread && stat.kind != Kind::Symlink && narrow != stat.mode).then_some(narrow)
}
