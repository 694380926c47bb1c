//! What is wrong with a path, and what helps, as data: the command line puts it into words.

use super::no_thread::NoThread;
use super::operation::Operation;
use super::unpreserved::Unpreserved;
use crate::base::path::RelPath;
use crate::engine::mapping::model::Need;
use crate::sys::Errno;
use crate::sys::stat::Kind;

/// What is wrong, beyond the kind of the problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A call failed: `op` and `errno` of the problem.
    Failed,
    /// `expected` and `found` of the problem.
    Differs,
    /// A file system does not hold this, or does not report it.
    Unpreserved(Unpreserved),
    /// As the text that was recorded or that its finder gave.
    Told(String),
    /// Two trees are compared, and only the first has it.
    OnlyInSource,
    /// The same, and only the second has it.
    OnlyInTarget,
    /// The contents differ, in no byte before this offset.
    DiffersAt(u64),

    /// No run of the plan has copied anything.
    NothingCopied,
    /// There was nothing to verify.
    NothingVerified,
    /// The last run that copied did not finish.
    CopyCut(Box<CopyCut>),
    /// The plan declares it, and it was not copied.
    NotCopied(Need),
    /// The plan declares it, and no run has looked for it.
    NotLookedFor(Need),
    /// The backup has this, not what the plan declares.
    NotAsDeclared(&'static str),
    /// Earlier runs finished entries without their access times.
    AtimesLeft,
    /// The copy of a large file is not finished.
    FileUnfinished,
    /// A directory is not finished.
    DirectoryUnfinished,
    /// That many more are not finished.
    DirectoriesUnfinished(u64),
    /// It was copied and is missing.
    Gone,
    /// It was accepted on the target, and has other content under the size and times that it had then.
    AcceptedNotTimes,
    /// It is a recorded file under another name, with other content though nobody has written it.
    DamagedElsewhere,
    /// It was accepted on the target, and an earlier pass found it damaged.
    AcceptedDamaged,
    /// It was accepted on the target, and somebody has changed it since.
    ChangedSinceAccepted,
    /// It was accepted on the target, and is gone.
    AcceptedRemoved,
    /// Its removal was accepted, and the source has it, or something newer.
    RemovalAccepted,
    /// It was accepted on the target and is missing there.
    AcceptedGone,
    /// The backup has it, and no run has copied it.
    NeverCopied,
    /// The plan no longer declares it.
    NoLongerDeclared,
    /// The source no longer has it.
    Stale(Box<Stale>),
    /// What was in its place was removed, and nothing is there yet.
    WayCleared,
    /// It is not in this list.
    Unlisted(List),
    /// That many more names of its directory are not.
    UnlistedToo(u64, List),

    /// A btrfs snapshot has an empty directory for a subvolume.
    SubvolumeMissing,
    /// Its ACL could not be read, so its mode becomes the second.
    AclUnread(u32, u32),
    /// That many entries answered with an error, before later ones answered.
    AnsweredLater(u64, &'static str),
    /// The source changed between two names of an inode.
    NamesDiffer,
    /// It became a link to an inode for which the plan says something under another name.
    BecameName,
    /// Its further names are not known, as it could not be read.
    NamesUnread,
    /// Something of this kind took the place of an entry of the source.
    EntryReplaced(Kind),
    /// Something of this kind took the place of a file of the source.
    FileReplaced(Kind),
    /// The source changed while it was read, this many times.
    ChangedWhileRead(u32),
    /// The source has an older state than the one that was copied: `expected` of the problem.
    OlderSource,
    /// The source has `expected` of the problem here, on a file system of this type that is not the one which was
    /// copied.
    OtherVolume(String),
    /// The source gives other bytes than when it was copied, although nothing has changed it.
    SourceDamaged,
    /// The source changed while it was compared.
    ChangedWhileCompared,
    /// Reading gives another length than the source's file system says.
    WrongLength(u64),
    /// A mount in the source was not entered.
    NotEntered(MountContent),
    /// Patterns leave out all of it; the first of them.
    AllExcluded(String),
    /// A map cannot rename this.
    NotRenamed(&'static str),
    /// A directory above could not be entered or made.
    NotReached,
    /// The name is reserved for unfinished copies.
    NameReserved,
    /// The name is reserved for the state.
    StateReserved,

    /// Somebody changed it since it was copied; `expected` and `found` of the problem.
    ChangedSinceCopied,
    /// Its content is another one, though size and modification time are as recorded.
    ContentNotTimes,
    /// Something else took the place of a declared entry, of which so many entries are recorded.
    EntryRetyped(u64),
    /// Somebody changed it while its copy was made.
    ChangedWhileCopied,
    /// No run has recorded what is there; `expected` (what the backup has) and `found` of the problem.
    Unrecorded,
    /// An earlier run found it in its place, and the source has something else there.
    WasInPlace,
    /// The source has only a symlink to the place itself, where nothing is.
    LinkToItself,
    /// It is a database whose log of this name on the target is somebody else's.
    DatabaseLog(String),
    /// It is a log of this database, which somebody has changed on the target.
    DatabaseChanged(String),
    /// It is one state with this file of the same database, which stays gone, or as it is.
    DatabaseHeldBack(String),
    /// A directory of this user and mode is there, which no run of the plan made.
    ForeignDirectory(u32, u32),
    /// A directory with content is in the place of another kind of entry.
    DirectoryInPlace,
    /// The target's file system takes two names for one.
    NameTaken,
    /// A directory has this temporary name.
    TemporaryTaken(String),
    /// Something of this kind and user has a temporary name and is not known to be of a run.
    ForeignTemporary(Kind, u32),

    /// These ranges of a large file differ.
    BadChunks(Box<BadChunks>),
    /// The owner could not be set, so the set-ID bits were not; its mode, where the ACL was not kept either.
    SetIdDropped(Option<u32>),
    /// Without its ACL the first mode would let more users in; it has the second.
    ModeNarrowed(u32, u32),
    /// The plan says two things of one inode.
    Contradiction(Contradiction),
    /// No thread could be started to apply a fixup.
    FixupWithoutThread(NoThread),
    /// A fixup was applied, and the inode has this owner and mode.
    FixupUndone((u32, u32), u32),
}

/// How the interrupted run began, how far it got, and what resumes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyCut {
    /// When it began, RFC 3339.
    pub began: String,
    /// It stopped by itself; otherwise it was killed.
    pub stopped: bool,
    /// Entries that are finished.
    pub finished: u64,
    /// Entries that it had to handle, if that is more.
    pub expected: Option<u64>,
    /// The command that resumes it.
    pub command: Option<String>,
}

/// What was copied and the source no longer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// How it left the source.
    pub cause: StaleCause,
    /// Recorded entries at and below it.
    pub entries: u64,
    /// Why it is still there, if it was to be removed.
    pub kept: Option<StaleKept>,
}

/// How an entry left the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleCause {
    /// The name is gone.
    Name,
    /// The directory became something else.
    Retyped,
    /// An entry of the plan is gone as a whole.
    Entry,
    /// The directory is empty, and another one than it was: what was mounted on it may not be.
    Emptied,
}

impl StaleCause {
    const ALL: [Self; 4] = [Self::Name, Self::Retyped, Self::Entry, Self::Emptied];

    /// The problem's attribute; none for a name.
    #[must_use]
    pub const fn attribute(self) -> Option<&'static str> {
        match self {
            Self::Name => None,
            Self::Retyped => Some("retyped"),
            Self::Entry => Some("entry"),
            Self::Emptied => Some("emptied"),
        }
    }

    /// The cause that has this attribute.
    #[must_use]
    pub fn of_attribute(attribute: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|cause| cause.attribute() == attribute).unwrap_or(Self::Name)
    }
}

/// Why something stale was not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StaleKept {
    /// The run could not read or write everything: what is missing from the copy may be this.
    CopyNotWhole,
    /// The source could not be asked again.
    SourceUnknown,
    /// So much of it was removed, and some was not.
    Some(KeptEntries),
}

/// The entries of a stale tree that were kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptEntries {
    /// Entries that were removed.
    pub removed: u64,
    /// Those that were kept, the first few.
    pub named: Vec<(RelPath, KeptBecause)>,
    /// All of those.
    pub count: u64,
}

/// Why an entry of a stale tree was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBecause {
    /// Somebody has changed it since it was copied.
    Changed,
    /// No run has recorded it.
    Unrecorded,
    /// Its copy was never finished, or was found damaged.
    NotWhole,
    /// It is a mount point.
    MountPoint,
    /// A run found it in its place, where it is in use.
    InUse,
    /// It was accepted on the target as it is.
    Accepted,
    /// It belongs to the same database or repository as this, which somebody has made or changed.
    BelongsTo(RelPath),
    /// A call failed.
    Failed(Operation, Errno),
}

/// What is in a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountContent {
    /// So many entries and bytes of the file system around it.
    Bind(u64, u64),
    /// So many bytes in use of a file system of this type; none of what has no size.
    FileSystem(String, Option<u64>),
}

/// What the plan says of an inode by one of its names, and otherwise by another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contradiction {
    /// The one name.
    pub path: RelPath,
    /// Owner, group or mode.
    pub attribute: SaidAttribute,
    /// What it says by this name.
    pub here: String,
    /// What it says by another.
    pub elsewhere: String,
    /// How many names the inode has.
    pub names: u32,
}

/// An attribute that the plan can give an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SaidAttribute {
    /// Its owner.
    Owner,
    /// Its group.
    Group,
    /// Its permission bits.
    Mode,
}

/// The chunks of a large file that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadChunks {
    /// How many.
    pub bad: usize,
    /// Of how many.
    pub of: u64,
    /// The first bytes and the last of the first few.
    pub ranges: Vec<(u64, u64)>,
    /// Why some could not be read, if so.
    pub failure: Option<(Operation, Errno)>,
}

/// What a name on the target was looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// The journal.
    Manifest,
    /// The source.
    Backup,
}

/// What helps, beyond what the detail suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It may be immutable.
    LiftImmutable,
    /// It may be torn.
    RemoveTorn,
    /// Rename it in the source: the target does not take the name.
    RenameInSource,
    /// The file is too large for the target, or for a limit.
    TooLarge,
    /// The next run continues with what could be read.
    GoesOn,
    /// Only a backup of the target itself can have it: it was accepted there.
    RestoreOwn,
    /// Somebody changed it since it was accepted.
    AcceptAgain,
    /// Somebody changed it, and a repair puts it right.
    Repair,
    /// Without `--reflink always` it is copied.
    CopyBlocks,
    /// Somebody changed it, and the source has newer content.
    NewerWaits,
    /// It was accepted as its owner has it, and the source has newer content.
    NewerThanAccepted,
}
