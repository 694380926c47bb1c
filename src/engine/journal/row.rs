//! A row of the journal: an entry of the target, as it is to be.

use super::source::{Doubt, Proof, SourceId};
use super::state::State;
use crate::engine::content::digest::{Algorithm, Digest};
use crate::engine::events::unpreserved::{Disk, Unpreserved};
use crate::engine::meta::{Wanted, Xattrs};
use crate::engine::volume::Volume;
use crate::sys::stat::{Kind, Stat, Time};

/// Files of at least this many bytes are copied in chunks, with a row for each.
pub const CHUNKED: u64 = 64 << 20;

/// Blocks of attributes and of the extent tree come and go without filling any hole.
const SLACK: u64 = 64 << 10;

/// An entry of the target. `constructors.rs` has the ways to make one.
#[derive(Clone, Debug)]
pub struct Row {
    /// The directory's id; 0 is the root.
    pub dir: i64,
    /// The name in it.
    pub name: Vec<u8>,
    /// A directory's own id.
    pub id: Option<i64>,
    /// Index of the plan's target.
    pub target: u32,
    /// Its state.
    pub state: State,
    /// Apparent size in bytes.
    pub size: u64,
    /// Device number of a node.
    pub rdev: u64,
    /// Number of names of the source inode.
    pub nlink: u32,
    /// What it was made from; `None` for a parent that the backup does not have.
    pub source: Option<SourceId>,
    /// Inode number on the target.
    pub dst_ino: u64,
    /// ctime on the target when it was finished or last verified.
    pub dst_ctime: Time,
    /// Allocated bytes on the target when it was finished.
    pub(super) allocated: u64,
    /// Made by linking to an entry that has its own row.
    pub alias: bool,
    /// Of a regular file's content.
    pub digest: Option<Digest>,
    /// A symlink's text.
    pub link: Option<Vec<u8>>,
    /// What it is to have.
    pub wanted: Wanted,
    /// When it was verified, in seconds since the epoch.
    pub verified: Option<i64>,
}

impl Row {
    /// The type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.wanted.kind
    }

    /// Allocated bytes on the target when it was finished.
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Bytes of memory that it takes beyond its own size.
    #[must_use]
    pub fn heap_bytes(&self) -> u64 {
        let link = self.link.as_ref().map_or(0, Vec::len);
        (self.name.len() + link) as u64 + self.xattrs().map_or(0, Xattrs::heap_bytes)
    }

    /// The attributes to expect, none for rows that do not say.
    #[must_use]
    pub fn xattrs(&self) -> Option<&Xattrs> {
        self.wanted.xattrs.as_ref()
    }

    /// True when `stat` takes clearly more space than the file that was finished with holes: they
    /// have been filled since.
    #[must_use]
    pub fn is_dense(&self, stat: &Stat) -> bool {
        let slack = SLACK + self.allocated / 16;
        self.kind() == Kind::File && self.allocated + slack <= self.size && stat.allocated > self.allocated + slack
    }

    /// True when the rows of its chunks make up its digest, or are about to.
    #[must_use]
    pub fn has_chunks(&self) -> bool {
        let merged = self.digest.is_some_and(|digest| digest.algorithm == Algorithm::Blake3);
        self.state != State::Partial && !self.alias && merged && self.size >= CHUNKED
    }

    /// True for a large file that a later run resumes at its first missing chunk: unfinished, or
    /// complete but interrupted before it was renamed into place.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.state == State::Partial || self.state == State::Replacing && self.has_chunks()
    }

    /// True for what no run copied: a run found it in its place, when the source's path led to it.
    #[must_use]
    pub fn was_in_place(&self) -> bool {
        self.source.is_some_and(|source| source.is_in_place())
    }

    /// True when it is done, and recorded with the inode and ctime of `stat`.
    #[must_use]
    pub fn is_done_as(&self, stat: &Stat) -> bool {
        self.state == State::Done && (self.dst_ino, self.dst_ctime) == (stat.ino, stat.ctime)
    }

    /// What `stat`, of an inode of `volume`, tells about the source that this row was made from.
    #[must_use]
    pub fn source_proof(&self, stat: &Stat, volume: &Volume) -> Proof {
        let Some(source) = self.source.filter(|_| self.source_looks_the_same(stat)) else { return Proof::Changed };
        if (source.ino, source.ctime) != (stat.ino, stat.ctime)
            || source.volume.is_some_and(|id| !volume.shares_inodes_with(id))
        {
            Proof::Unproven(Doubt::Numbers)
        } else if volume.clock_proves(stat) {
            Proof::Holds
        } else {
            Proof::Unproven(Doubt::Clock)
        }
    }

    /// True when `stat` has the type, size, mtime and device number of the source that this
    /// row was made from whole.
    #[must_use]
    pub fn source_looks_the_same(&self, stat: &Stat) -> bool {
        self.source.is_some()
            && self.kind() == stat.kind
            && (stat.kind != Kind::File || self.size == stat.size)
            && (!matches!(stat.kind, Kind::CharDevice | Kind::BlockDevice) || self.rdev == stat.rdev)
            && self.wanted.mtime == Some(stat.mtime)
    }

    /// True when `stat` is the target as this row left it. Another link moves the ctime of an inode,
    /// so for linked inodes it does not count until they are verified. Attributes that the file
    /// system cannot hold do not count, nor do inode numbers that it makes up.
    #[must_use]
    pub fn target_unchanged(&self, stat: &Stat, disk: Disk) -> bool {
        let lost = |unpreserved| self.wanted.lost.contains(unpreserved);
        self.kind() == stat.kind
            && (disk.bare || self.dst_ino == stat.ino)
            && (stat.kind != Kind::File || self.size == stat.size)
            && (lost(Unpreserved::Mtime) || self.wanted.mtime.is_none_or(|t| t == stat.mtime))
            && (lost(Unpreserved::Mode) || stat.kind == Kind::Symlink || self.wanted.mode == stat.mode)
            && (lost(Unpreserved::Owner) || self.wanted.owner.is_none_or(|o| o == (stat.uid, stat.gid)))
            && (self.dst_ctime == stat.ctime || self.nlink > 1 && self.verified.is_none() && self.state != State::Bad)
    }

    /// True when nothing has happened to the inode since the row was written: what it lacks, its
    /// run could not apply. Never where inode numbers and ctimes are made up.
    #[must_use]
    pub fn is_untouched(&self, stat: &Stat, disk: Disk) -> bool {
        // Verification also records a directory's ctime after other people's names have moved its times.
        let tells = self.kind() != Kind::Directory || self.source.is_none();
        tells
            && !disk.bare
            && self.kind() == stat.kind
            && self.dst_ino == stat.ino
            && self.dst_ctime == stat.ctime
            && (stat.kind != Kind::File || self.size == stat.size)
    }

    /// What `stat`, found on the target under this row's name, says about changes since the row was
    /// written.
    #[must_use]
    pub fn standing(&self, stat: &Stat, disk: Disk) -> RowChange {
        if self.target_unchanged(stat, disk) || self.is_untouched(stat, disk) {
            return RowChange::AsRecorded;
        }
        let same_time = self.wanted.lost.contains(Unpreserved::Mtime)
            || self.wanted.mtime.is_none_or(|mtime| mtime == stat.mtime)
            // Later links have moved its ctime, and its mtime may be what could not be set.
            || self.source.is_none() && self.nlink > 1 && self.verified.is_none();
        if stat.kind != self.kind() || stat.kind == Kind::File && (stat.size != self.size || !same_time) {
            RowChange::Changed
        } else {
            RowChange::Touched
        }
    }

    /// True when `stat` is the inode that verification found damaged, untouched since.
    #[must_use]
    pub fn still_damaged(&self, stat: &Stat, disk: Disk) -> bool {
        self.state == State::Bad && (disk.bare || self.dst_ino == stat.ino) && self.dst_ctime == stat.ctime
    }
}

/// What somebody else did to an entry since its row was written, as far as a stat tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Nothing: everything is as recorded, or as its run left it.
    AsRecorded,
    /// Its ctime, inode, owner or mode differ; only reading tells whether its content does.
    Touched,
    /// Another type, size or modification time.
    Changed,
}
