//! One line of the journal: an entry of the target, as it shall be.

use crate::engine::content::digest::{Algorithm, ChunkValue, Digest};
use crate::engine::events::unpreserved::{Disk, Unpreserved};
use crate::engine::meta::{Attributes, Wanted, Xattrs};
use crate::engine::volume::Volume;
use crate::sys::stat::{Kind, Stat, Time};
use std::sync::Arc;

/// Files of at least this many bytes are copied in chunks, with a row for each.
pub const CHUNKED: u64 = 64 << 20;

/// Blocks of attributes and of the extent tree come and go without any hole being filled.
const SLACK: u64 = 64 << 10;

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A directory that is being filled.
    Open,
    /// Whole on the medium.
    Done,
    /// A directory on the way to an entry that the plan does not own.
    Ancestor,
    /// Verification found it damaged, with the inode number and ctime of the row: it is
    /// copied again, unless somebody has changed it since.
    Bad,
    /// A large file of which some chunks are on the medium; they have rows of their own. The
    /// ctime is that of what it will replace.
    Partial,
    /// What another inode is about to replace by a rename: the row is that of the new one, but
    /// for the ctime, which is that of the older one.
    Replacing,
}

impl State {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Open => 0,
            Self::Done => 1,
            Self::Ancestor => 2,
            Self::Bad => 3,
            Self::Partial => 4,
            Self::Replacing => 5,
        }
    }

    pub(super) const fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Open,
            1 => Self::Done,
            2 => Self::Ancestor,
            3 => Self::Bad,
            4 => Self::Partial,
            5 => Self::Replacing,
            _ => return None,
        })
    }
}

/// The source inode that an entry was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId {
    /// Its file system, by its number in the table `volume`; `None` in rows of a release
    /// that did not record it.
    pub volume: Option<i64>,
    /// Inode number.
    pub ino: u64,
    /// Time of the last change of the inode.
    pub ctime: Time,
}

impl SourceId {
    /// The identity in the stat of an inode of `volume`.
    #[must_use]
    pub fn of(stat: &Stat, volume: &Volume) -> Self {
        Self { volume: Some(volume.id), ino: stat.ino, ctime: stat.ctime }
    }

    /// The same, or none where the inode's attributes could not all be read: no later
    /// run may take what was made of them for the whole.
    #[must_use]
    pub fn of_whole(stat: &Stat, volume: &Volume, attributes: &Attributes) -> Option<Self> {
        (!attributes.unread).then(|| Self::of(stat, volume))
    }
}

/// What a stat of the source tells of the entry that a row was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It has not changed.
    Holds,
    /// Type, size and mtime are those of the row; whether the rest is, only reading it tells.
    Unproven(Doubt),
    /// It has changed, or it could not be read whole.
    Changed,
}

/// Why a stat that looks the same proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing is known of the ctime of its file system.
    Clock,
    /// Another inode number, ctime or file system than the row's.
    Numbers,
}

/// An entry of the target.
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
    /// Where it stands.
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
    pub allocated: u64,
    /// Made by linking to an entry that has its own row.
    pub alias: bool,
    /// Of a regular file's content.
    pub digest: Option<Digest>,
    /// A symlink's text.
    pub link: Option<Vec<u8>>,
    /// What it shall have.
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

    /// True when `stat` takes clearly more room than the file that was finished
    /// with holes: they were filled since.
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

    /// True for a large file that a later run goes on with at its first missing chunk: unfinished,
    /// or whole and cut off on its way into its place.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.state == State::Partial || self.state == State::Replacing && self.has_chunks()
    }

    /// What `stat`, of an inode of `volume`, tells of the source that this row was made from.
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

    /// True when `stat` is the target as this row left it. A further name moves
    /// the ctime of an inode, so linked inodes are held to the rest until they are verified. What the file
    /// system cannot hold cannot tell, nor can inode numbers that it makes up anew.
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

    /// True when nothing at all has happened to the inode since the row was written: what it
    /// has not, its run could not give it. Where inode numbers and ctimes are made up, never.
    #[must_use]
    pub fn is_untouched(&self, stat: &Stat, disk: Disk) -> bool {
        // Verification records a directory's ctime after others' names have moved its times, too.
        let tells = self.kind() != Kind::Directory || self.source.is_none();
        tells
            && !disk.bare
            && self.kind() == stat.kind
            && self.dst_ino == stat.ino
            && self.dst_ctime == stat.ctime
            && (stat.kind != Kind::File || self.size == stat.size)
    }

    /// What `stat`, found on the target under this row's name, says of what happened
    /// there since the row was written.
    #[must_use]
    pub fn standing(&self, stat: &Stat, disk: Disk) -> Standing {
        if self.target_unchanged(stat, disk) || self.is_untouched(stat, disk) {
            return Standing::AsRecorded;
        }
        let same_time = self.wanted.lost.contains(Unpreserved::Mtime)
            || self.wanted.mtime.is_none_or(|mtime| mtime == stat.mtime)
            // Names that came after it have moved its ctime, and its mtime may be what could not be set.
            || self.source.is_none() && self.nlink > 1 && self.verified.is_none();
        if stat.kind != self.kind() || stat.kind == Kind::File && (stat.size != self.size || !same_time) {
            Standing::Changed
        } else {
            Standing::Touched
        }
    }

    /// True when `stat` is the inode that verification found damaged, and nothing has
    /// happened to it since.
    #[must_use]
    pub fn still_damaged(&self, stat: &Stat, disk: Disk) -> bool {
        self.state == State::Bad && (disk.bare || self.dst_ino == stat.ino) && self.dst_ctime == stat.ctime
    }
}

/// What somebody else did to an entry since its row was written, as far as a stat tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: everything is as recorded, or as its run left it.
    AsRecorded,
    /// Its ctime, inode, owner or mode differ: whether its content does only a look at that tells.
    Touched,
    /// Another type, size or modification time.
    Changed,
}

/// A name of a linked source inode.
#[derive(Clone, Debug)]
pub struct Member {
    /// The directory's id.
    pub dir: i64,
    /// The name in it.
    pub name: Vec<u8>,
    /// Index of the plan's target.
    pub target: u32,
    /// Inode number on the target.
    pub dst_ino: u64,
    /// Number of names that the source inode had.
    pub nlink: u32,
    /// What all names of its group have in common, and no other name: the source inode in one
    /// state, and the owner and mode that the plan gives it.
    pub group: Arc<[u8]>,
}

impl Member {
    pub(super) fn of(row: Row) -> Self {
        let mtime = row.wanted.mtime.map(|time| (time.sec, time.nsec));
        let key = (row.source, row.size, row.rdev, mtime, row.wanted.mode, row.wanted.owner, row.digest, row.link);
        let group = Arc::from(format!("{:?} {key:?}", row.wanted.kind).into_bytes());
        Self { dir: row.dir, name: row.name, target: row.target, dst_ino: row.dst_ino, nlink: row.nlink, group }
    }
}

/// One chunk of a large file that the target has.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The directory's id.
    pub dir: i64,
    /// The file's name in it.
    pub name: Vec<u8>,
    /// Its place in the file, in chunks.
    pub index: u64,
    /// Its value.
    pub value: ChunkValue,
}

/// What an epoch makes durable.
#[derive(Clone, Debug)]
pub enum Record {
    /// An entry.
    Row(Box<Row>),
    /// A chunk of an entry that is not whole yet, or is mended.
    Chunk(Chunk),
}
