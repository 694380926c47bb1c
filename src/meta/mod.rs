//! Metadata: one place reads it, one applies it, one compares it.

mod apply;
mod compare;
mod xattrs;

pub use apply::{apply_to_directory, apply_to_file, apply_to_link, apply_to_node};
pub use compare::compare;
pub use xattrs::Xattrs;

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
}

impl Wanted {
    /// The metadata of a source inode as it is.
    #[must_use]
    pub fn from_source(stat: &Stat, xattrs: Xattrs, keep: Keep) -> Self {
        Self {
            kind: stat.kind,
            mode: stat.mode,
            owner: keep.owner.then_some((stat.uid, stat.gid)),
            atime: keep.atime.then_some(stat.atime),
            mtime: Some(stat.mtime),
            xattrs: Some(xattrs),
        }
    }

    /// Puts the plan's own values over the source's.
    pub fn override_with(&mut self, uid: Option<u32>, gid: Option<u32>, mode: Option<u32>) {
        if let Some(owner) = &mut self.owner {
            *owner = (uid.unwrap_or(owner.0), gid.unwrap_or(owner.1));
        }
        if let Some(mode) = mode {
            self.mode = mode;
        }
    }
}

/// What of the metadata is kept at all.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Owner and group.
    pub owner: bool,
    /// Access times.
    pub atime: bool,
}
