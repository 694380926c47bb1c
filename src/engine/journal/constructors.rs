//! A constructor for each kind of row, so that only a file has a digest, only a directory an
//! id, and only a file with chunks in progress is unfinished.

use super::row::Row;
use super::source::SourceId;
use super::state::State;
use crate::engine::content::digest::Digest;
use crate::engine::meta::Wanted;
use crate::sys::stat::{Stat, Time};

/// The name that a row is about.
#[derive(Clone, Copy, Debug)]
pub struct RowKey<'a> {
    /// The directory's id; 0 is the root.
    pub dir: i64,
    /// The name in it.
    pub name: &'a [u8],
    /// Index of the plan's target.
    pub target: u32,
}

/// An inode of the source, and the one that was made of it.
#[derive(Debug)]
pub struct InodePair<'a> {
    /// As it was read.
    pub source: &'a Stat,
    /// `None` where it could not be read or kept whole: the next run copies it again.
    pub id: Option<SourceId>,
    /// The finished one.
    pub target: &'a Stat,
    /// What it is to have.
    pub wanted: Wanted,
}

impl<'a> InodePair<'a> {
    /// An inode that is in its place: its own source.
    #[must_use]
    pub fn in_place(stat: &'a Stat, wanted: Wanted) -> Self {
        Self { source: stat, id: Some(SourceId::in_place(stat)), target: stat, wanted }
    }
}

impl Row {
    fn new(key: RowKey<'_>, state: State, source: Option<SourceId>, wanted: Wanted) -> Self {
        Self {
            dir: key.dir,
            name: key.name.to_vec(),
            id: None,
            target: key.target,
            state,
            size: 0,
            rdev: 0,
            nlink: 1,
            source,
            dst_ino: 0,
            dst_ctime: Time::default(),
            allocated: 0,
            alias: false,
            digest: None,
            link: None,
            wanted,
            verified: None,
        }
    }

    fn finished(key: RowKey<'_>, inodes: InodePair<'_>) -> Self {
        let InodePair { source, id, target, wanted } = inodes;
        Self {
            size: source.size,
            nlink: source.nlink,
            dst_ino: target.ino,
            dst_ctime: target.ctime,
            allocated: target.allocated,
            ..Self::new(key, State::Done, id, wanted)
        }
    }

    /// A finished regular file.
    #[must_use]
    pub fn file(key: RowKey<'_>, inodes: InodePair<'_>, digest: Digest) -> Self {
        Self { digest: Some(digest), ..Self::finished(key, inodes) }
    }

    /// A finished symlink.
    #[must_use]
    pub fn symlink(key: RowKey<'_>, inodes: InodePair<'_>, text: Vec<u8>) -> Self {
        Self { link: Some(text), ..Self::finished(key, inodes) }
    }

    /// A finished FIFO or device node.
    #[must_use]
    pub fn special(key: RowKey<'_>, inodes: InodePair<'_>) -> Self {
        let rdev = inodes.source.rdev;
        Self { rdev, ..Self::finished(key, inodes) }
    }

    /// A large file, inode `ino`, that does not have all its chunks yet. `stands` is what it will
    /// replace, if anything; its ctime tells that from anything that comes there later.
    #[must_use]
    pub fn unfinished(
        key: RowKey<'_>,
        (source, id): (&Stat, SourceId),
        wanted: Wanted,
        ino: u64,
        stands: Option<Stat>,
    ) -> Self {
        Self {
            size: source.size,
            nlink: source.nlink,
            dst_ino: ino,
            dst_ctime: stands.map(|stands| stands.ctime).unwrap_or_default(),
            ..Self::new(key, State::Partial, Some(id), wanted)
        }
    }

    /// The finished directory `id`, which looks like `found`.
    #[must_use]
    pub fn directory(key: RowKey<'_>, id: i64, source: Option<SourceId>, found: &Stat, wanted: Wanted) -> Self {
        Self { state: State::Done, dst_ctime: found.ctime, ..Self::open_directory(key, id, source, found, wanted) }
    }

    /// The same while it is being filled: its ctime is not known yet.
    #[must_use]
    pub fn open_directory(key: RowKey<'_>, id: i64, source: Option<SourceId>, found: &Stat, wanted: Wanted) -> Self {
        Self {
            id: Some(id),
            nlink: found.nlink,
            dst_ino: found.ino,
            allocated: found.allocated,
            ..Self::new(key, State::Open, source, wanted)
        }
    }

    /// A directory on the way to an entry that is not the plan's.
    #[must_use]
    pub fn ancestor(key: RowKey<'_>, id: i64, found: &Stat) -> Self {
        let wanted = Wanted::plain_directory(found.mode, None);
        Self { state: State::Ancestor, ..Self::open_directory(key, id, None, found, wanted) }
    }

    /// What an entry made from `source` would be; nothing is known of the target yet.
    #[must_use]
    pub fn expected(key: RowKey<'_>, source: &Stat, id: SourceId, wanted: Wanted) -> Self {
        Self {
            size: source.size,
            rdev: source.rdev,
            nlink: source.nlink,
            allocated: source.allocated,
            ..Self::new(key, State::Done, Some(id), wanted)
        }
    }

    /// The same, with the target side of `recorded`.
    #[must_use]
    pub fn made_as(self, recorded: &Self) -> Self {
        Self { id: recorded.id, dst_ino: recorded.dst_ino, allocated: recorded.allocated, ..self }
    }

    /// The same, read just before `verified`, in seconds since the epoch, and recorded as it was found.
    #[must_use]
    pub fn as_found(self, verified: Option<i64>) -> Self {
        Self { verified, ..self }
    }

    /// A further name of the inode, made by a link, which moved its ctime.
    #[must_use]
    pub fn alias(&self, key: RowKey<'_>, ctime: Time) -> Self {
        Self {
            dir: key.dir,
            name: key.name.to_vec(),
            target: key.target,
            alias: true,
            dst_ctime: ctime,
            verified: None,
            ..self.clone()
        }
    }

    /// A finished directory that is about to be filled again.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self { state: State::Open, verified: None, ..self.clone() }
    }

    /// The same entry, found whole under another inode or ctime.
    #[must_use]
    pub fn settled(self, found: &Stat) -> Self {
        Self { dst_ino: found.ino, dst_ctime: found.ctime, state: State::Done, ..self }
    }

    /// The same entry, which the source's path leads to by now: `stat`, as it is on the target. Each of its
    /// names is guarded by itself.
    #[must_use]
    pub fn found_in_place(self, stat: &Stat) -> Self {
        let verified = self.verified.filter(|_| !self.alias);
        Self { source: Some(SourceId::in_place(stat)), alias: false, verified, ..self }
    }

    /// What is there by its owner's doing, verified at `at`; the content of each of its names is guarded by itself.
    #[must_use]
    pub fn of_owner(self, at: i64) -> Self {
        Self { state: State::Done, verified: Some(at), ..self }
    }

    /// The same entry, on which its owner has set what is `wanted`: it looks like `found`, and was verified at `at`.
    #[must_use]
    pub fn of_owner_with(self, wanted: Wanted, found: &Stat, at: i64) -> Self {
        let (dst_ino, dst_ctime, nlink) = (found.ino, found.ctime, found.nlink);
        Self { source: None, alias: false, wanted, dst_ino, dst_ctime, nlink, ..self }.of_owner(at)
    }

    /// The same, whose content is to be `digest` and is not: nobody has written it since it was that.
    #[must_use]
    pub fn damaged_since(self, digest: Digest) -> Self {
        Self { digest: Some(digest), state: State::Bad, verified: None, ..self }
    }

    /// The same entry, verified at `at` with the times, inode and ctime of `found`.
    #[must_use]
    pub fn verified_as(self, found: &Stat, at: i64) -> Self {
        let wanted = Wanted { mtime: Some(found.mtime), ..self.wanted };
        let (dst_ino, dst_ctime, nlink) = (found.ino, found.ctime, found.nlink);
        Self { dst_ino, dst_ctime, nlink, state: State::Done, verified: Some(at), wanted, ..self }
    }

    /// The same entry, found equal to the source inode `source` with `nlink` names.
    #[must_use]
    pub fn made_from(self, source: SourceId, nlink: u32) -> Self {
        // Names removed from the source are still on the target, where each moves the ctime.
        let nlink = self.nlink.max(nlink);
        // The name that its content was verified under may belong to another inode now.
        let verified = self.verified.filter(|_| !self.alias);
        Self { source: Some(source), nlink, alias: false, verified, ..self }
    }
}
