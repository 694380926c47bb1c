//! Reads what statx(2) does not say of an inode.

use super::Xattrs;
use crate::path::escape;
use crate::sys::Errno;
use crate::sys::flags::{self, Flags, is_absent};
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;

/// Everything about an inode beyond its stat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Inode flags, those of [`Flags::MEANT`].
    pub flags: Flags,
    /// Project id.
    pub project: u32,
    /// Some of them could not be read: this is less than the inode has.
    pub unread: bool,
}

/// Something that could not be read: what, and why.
pub type Unread = (String, Errno);

impl Attributes {
    /// Reads them all; what cannot be read is named and taken for none.
    pub fn read(holder: Holder<'_>, stat: &Stat) -> (Self, Vec<Unread>) {
        let mut unread = Vec::new();
        let mut or_none = |what: String, errno: Errno| unread.push((what, errno));
        let mut attributes = Self::default();
        match Xattrs::read_each(holder) {
            Ok((xattrs, failed)) => {
                attributes.xattrs = xattrs;
                for (name, errno) in failed {
                    or_none(format!("read {}", escape(name.as_bytes())), errno);
                }
            }
            Err(errno) => or_none("read attributes".into(), errno),
        }
        // Only an open file or directory answers; of the others the kernel shows no flags but these three.
        let Holder::File(fd) = holder else { return (attributes, unread) };
        if !matches!(stat.kind, Kind::File | Kind::Directory) {
            return (attributes, unread);
        }
        match flags::get(fd) {
            Ok(flags) => attributes.flags = flags.and(Flags::MEANT),
            Err(errno) if is_absent(errno) => return (attributes, unread),
            Err(errno) => or_none("read flags".into(), errno),
        }
        match flags::project(fd) {
            Ok(project) => attributes.project = project,
            Err(errno) if is_absent(errno) => {}
            Err(errno) => or_none("read the project id".into(), errno),
        }
        (attributes, unread)
    }
}
