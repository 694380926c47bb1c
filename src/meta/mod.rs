//! Metadata: one place reads it, one applies it, one compares it.

mod acl;
mod apply;
mod compare;
mod read;
mod xattrs;

pub use apply::{Applied, Place, apply, apply_at_birth};
pub use compare::{Actual, compare};
pub use read::{Attributes, Unread};
pub use xattrs::Xattrs;

use crate::loss::{Loss, Lost};
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Stat, Time};

/// What an inode shall have at its end: the source's metadata, with the plan's
/// overrides already put in.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Type.
    pub kind: Kind,
    /// The twelve mode bits.
    pub mode: u32,
    /// Owner and group; `None` under `--no-owner`.
    pub owner: Option<(u32, u32)>,
    /// Access time, when it is to be kept.
    pub atime: Option<Time>,
    /// Modification time; `None` leaves it (a parent that the backup does not have).
    pub mtime: Option<Time>,
    /// Extended attributes; `None` leaves them.
    pub xattrs: Option<Xattrs>,
    /// Inode flags, those of [`Flags::MEANT`].
    pub flags: Flags,
    /// Project id; 0 leaves what the target's directory gave.
    pub project: u32,
    /// What the target's file system cannot hold of all this.
    pub lost: Lost,
}

impl Wanted {
    /// The metadata of a source inode as it is.
    #[must_use]
    pub fn from_source(stat: &Stat, attributes: Attributes, keep: Keep) -> Self {
        let mut wanted = Self {
            kind: stat.kind,
            // With an ACL the group's bits are its mask: without it they would let the whole group in.
            mode: if attributes.unread && stat.kind != Kind::Symlink { stat.mode & !0o070 } else { stat.mode },
            owner: keep.owner.then_some((stat.uid, stat.gid)),
            atime: keep.atime.then_some(stat.atime),
            mtime: Some(stat.mtime),
            xattrs: Some(attributes.xattrs),
            flags: attributes.flags,
            project: attributes.project,
            lost: Lost::default(),
        };
        if !keep.owner && stat.kind == Kind::File {
            wanted.drop_foreign_rights(stat);
        }
        wanted
    }

    /// The metadata of a directory that the backup does not have.
    #[must_use]
    pub fn plain_directory(mode: u32, owner: Option<(u32, u32)>) -> Self {
        Self {
            kind: Kind::Directory,
            mode,
            owner,
            atime: None,
            mtime: None,
            xattrs: None,
            flags: Flags::NONE,
            project: 0,
            lost: Lost::default(),
        }
    }

    /// Under `--no-owner` a set-user-ID file would lend out the rights of
    /// whoever runs the copy.
    fn drop_foreign_rights(&mut self, stat: &Stat) {
        let (uid, gid) = crate::sys::effective_ids();
        for (bit, foreign) in [(0o4000, stat.uid != uid), (0o2000, stat.gid != gid)] {
            if foreign && self.mode & bit != 0 {
                self.mode &= !bit;
                self.lost.insert(Loss::SetId);
            }
        }
    }

    /// Puts the plan's own values over the source's.
    pub fn override_with(&mut self, uid: Option<u32>, gid: Option<u32>, mode: Option<u32>) {
        if let Some(owner) = &mut self.owner {
            *owner = (uid.unwrap_or(owner.0), gid.unwrap_or(owner.1));
        }
        if let Some(mode) = mode.filter(|_| self.kind != Kind::Symlink) {
            self.mode = mode;
            // Else the ACL would first widen what the mode then narrows.
            if let Some(xattrs) = &mut self.xattrs {
                xattrs.set_mode(mode);
            }
        }
    }
}

fn acl_access(wanted: &Wanted) -> Option<&[u8]> {
    wanted.xattrs.as_ref()?.get(xattrs::ACL_ACCESS)
}

/// What of the metadata is kept at all.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Owner and group.
    pub owner: bool,
    /// Access times.
    pub atime: bool,
}
