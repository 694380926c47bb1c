//! What an inode is to have at its end.

use super::keep::{Keep, Owners, own_number};
use super::read::{Attributes, narrowed};
use super::xattrs::{ACL_ACCESS, Xattrs};
use crate::engine::events::unpreserved::{Unpreserved, UnpreservedSet};
use crate::engine::mapping::explicit::Explicit;
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Stat, Time};

/// What an inode is to have at its end: the source's metadata, with the plan's overrides already
/// applied.
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
    /// Inode flags, those of [`Flags::MEANT`], except [`Self::given_up`].
    pub flags: Flags,
    /// Flags of the source that the target's file system does not know: they are not expected.
    pub given_up: Flags,
    /// Project id; 0 leaves what the target's directory gave.
    pub project: u32,
    /// What the target's file system cannot hold of all this.
    pub lost: UnpreservedSet,
    /// What happened to set-ID bits and capabilities; no row keeps it.
    pub rights: Rights,
}

/// Set-user-ID and set-group-ID, which lend out an owner's rights.
pub(crate) const SET_ID: u32 = 0o6000;
const CAPABILITY: &[u8] = b"security.capability";

/// Set-ID bits and capabilities of the source, which the plan's owner has not granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Set-ID bits that the plan's own mode asks for.
    asked: u32,
    /// Some were dropped because the plan gives another owner or group.
    pub taken: bool,
}

/// True for kinds that can lend out rights; on directories the bits say what is inherited, as for chown(2).
pub(crate) const fn lends_rights(kind: Kind) -> bool {
    !matches!(kind, Kind::Directory | Kind::Symlink)
}

impl Wanted {
    /// The metadata of a source inode as it is, its owners with the target's numbers.
    #[must_use]
    pub fn from_source(stat: &Stat, mut attributes: Attributes, keep: &Keep) -> Self {
        let mut lost = attributes.lost;
        if let Owners::Renumbered(renumbering) = &keep.owner {
            attributes.xattrs.renumber(|kind, id| own_number(renumbering, kind, id, &mut lost));
        }
        let mut wanted = Self {
            kind: stat.kind,
            // With an ACL the group's bits are its mask: without it they would let the whole group in.
            mode: narrowed(stat, &attributes).unwrap_or(stat.mode),
            owner: keep.owner.of(stat, &mut lost),
            atime: keep.atime.then_some(stat.atime),
            mtime: Some(stat.mtime),
            xattrs: Some(attributes.xattrs),
            flags: attributes.flags,
            given_up: Flags::empty(),
            project: attributes.project,
            lost,
            rights: Rights::default(),
        };
        if !keep.owner.are_kept() && stat.kind == Kind::File {
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
            flags: Flags::empty(),
            given_up: Flags::empty(),
            project: 0,
            lost: UnpreservedSet::default(),
            rights: Rights::default(),
        }
    }

    /// The access ACL, as the attribute that holds it.
    pub(super) fn access_acl(&self) -> Option<&[u8]> {
        self.xattrs.as_ref()?.get(ACL_ACCESS)
    }

    /// Takes over what was already found that the target's file system cannot hold. What no copy,
    /// verification or comparison expects is decided only here.
    pub fn give_up(&mut self, prior: &Self) {
        for unpreserved in prior.lost.each() {
            self.lost.insert(unpreserved);
        }
        if prior.lost.contains(Unpreserved::Flags) {
            // A row of an older release does not record which.
            let old = prior.given_up.is_empty() && prior.flags.difference(self.flags).is_empty();
            let given_up = if old { self.flags.difference(prior.flags) } else { prior.given_up };
            self.given_up = self.flags.intersection(given_up);
            self.flags = self.flags.difference(given_up);
        }
    }

    /// Under `--no-owner` a set-user-ID file would lend out the rights of
    /// whoever runs the copy.
    fn drop_foreign_rights(&mut self, stat: &Stat) {
        let (uid, gid) = crate::sys::effective_ids();
        for (bit, foreign) in [(0o4000, stat.uid != uid), (0o2000, stat.gid != gid)] {
            if foreign && self.mode & bit != 0 {
                self.mode &= !bit;
                self.lost.insert(Unpreserved::SetId);
            }
        }
    }

    /// Overrides the source's values with the plan's. An owner or group other than the source's gets
    /// none of the rights that the inode lends out, except set-ID bits that a mode of the plan asks for.
    pub fn override_with(&mut self, explicit: Explicit) {
        let Explicit { uid, gid, mode } = explicit;
        let kind = self.kind;
        let before = self.owner;
        if let Some(owner) = &mut self.owner {
            *owner = (uid.unwrap_or(owner.0), gid.unwrap_or(owner.1));
        }
        if self.owner != before && lends_rights(self.kind) {
            let kept = self.mode & (!SET_ID | self.rights.asked);
            let capability = self.xattrs.as_mut().is_some_and(|xattrs| xattrs.remove(CAPABILITY));
            let shown = |bits| mode.map_or(bits, |mode| mode.of(bits, kind));
            self.rights.taken |= capability || shown(kept) != shown(self.mode);
            self.mode = kept;
        }
        if let Some(change) = mode.filter(|_| self.kind != Kind::Symlink) {
            // A bit that merely stays as it was is not asked for.
            self.rights.asked = change.of(self.rights.asked, kind) & SET_ID;
            let mode = change.of(self.mode, kind);
            self.mode = mode;
            // Otherwise the ACL would first widen what the mode then narrows.
            if let Some(xattrs) = &mut self.xattrs {
                xattrs.set_mode(mode);
            }
        }
    }
}
