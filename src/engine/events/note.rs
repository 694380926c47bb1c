//! What is worth knowing and no failure, as data: the command line says it in words.

use super::detail::MountContent;
use super::journal_error::JournalError;
use super::refusal::Destination;
use super::value::Appearance;
use crate::base::path::{Name, RelPath};
use crate::engine::mapping::model::{IdConflict, LeftOut, Link};
use crate::sys::Errno;
use crate::sys::stat::Kind;
use std::path::PathBuf;

/// One such thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// In the words of a report that was kept, or of what found it outside the engine.
    Told(String),

    /// An entry was copied without what the plan declares elsewhere.
    LeftOut(LeftOut),
    /// The entry for this path is a symlink or lies behind one, and the plan does not say what becomes of it.
    Symlink(RelPath, Link),
    /// A target is mounted read-only at this place.
    ReadOnlyTarget(Destination, PathBuf),
    /// A number of the backup is another name's on the target.
    IdConflict(IdConflict),
    /// Owners get the target's numbers because an earlier run began so.
    RemapsAsBegun,
    /// Without privilege no `trusted.*` attribute is seen.
    TrustedUnseen,

    /// So many temporary names of an interrupted run were removed; the first of them.
    TemporariesRemoved(u64, RelPath),
    /// An interrupted run left this, and a run that copies removes it.
    TemporaryLeft(RelPath),
    /// An unfinished copy whose source is gone was removed.
    UnfinishedRemoved(RelPath),
    /// The half of a file that no record knows was removed; so many bytes of it were allocated.
    HalfRemoved(RelPath, u64),
    /// A directory that an interrupted run had closed has this owner and mode again.
    Reopened(RelPath, (u32, u32), u32),

    /// Two trees were compared without their owners.
    OwnersNotCompared,
    /// A socket was not copied.
    Socket(RelPath),
    /// The source has the mark of an unfinished copy here, which is not copied.
    MarkNotCopied(RelPath),
    /// A service writes databases that are to be copied.
    InUse(Box<InUse>),
    /// A file system of this type, which shows the state of the running system, was not entered.
    KernelNotEntered(RelPath, String),
    /// The mount that the target itself is on was not entered.
    TargetNotEntered(RelPath),
    /// The mounted view of a container's layers was not entered.
    ViewNotEntered(RelPath, MountContent),
    /// The state of a copy at the top of a tree is no part of that.
    JournalLeftOut(PathBuf),
    /// A subvolume of so many entries and bytes is copied as a directory.
    Subvolume(RelPath, u64, u64),
    /// It was in its place already, and everything below it that no other mount covers.
    InPlace(RelPath),
    /// A symlink of the source leads to this directory, which is in its place; what is in it is not recorded.
    InPlaceUnrecorded(RelPath),
    /// A symlink of the backup becomes a directory, because the plan declares the second path.
    SymlinkToDirectory(RelPath, RelPath),
    /// Something of this type made way for a directory.
    DirectoryInPlaceOf(RelPath, Kind),
    /// What no run of the plan wrote was replaced.
    UnrecordedReplaced(RelPath, Appearance),
    /// What somebody had changed on the target was replaced.
    ChangedReplaced(RelPath, Appearance),
    /// A log that somebody left beside this database is removed with the state that it belongs to.
    LogRemoved(RelPath, Name),
    /// So many bytes have no blocks of their own, but those of the source.
    BlocksShared(u64),
    /// An inode has all the names that the target's file system allows.
    LinksExhausted(RelPath),
    /// So many entries lost rights to which the plan's owner must not come; the first of them.
    RightsTaken(RelPath, u64),

    /// So many entries were made by `rsync --fake-super`; the first of them.
    FakeSuper(RelPath, u64),
    /// So many files that changed within these minutes were read twice.
    ReadTwice(u64, i64),
    /// So many entries were asked for this, and whichever inode is asked answers so.
    NoAnswer(u64, &'static str, Errno),
    /// So many unchanged entries were read again because change times of this file system prove nothing.
    RereadForTimes(u64, String),
    /// The same because numbers or times are others than those recorded; the file system that makes them up.
    RereadForNumbers(u64, Option<String>),
    /// So many further names of hard-linked files were not found on this file system.
    NamesNotFound(u64, String),

    /// So many entries changed while they were to be accepted; the first of them.
    NotAccepted(RelPath, u64),
    /// What was verified before and has not changed was left out.
    SinceLeftOut(u64),
    /// A difference was repaired: its path, and the problem in the words of [`super::words::Words`].
    Repaired(RelPath, String),
    /// So many differences were repaired.
    RepairedInAll(u64),
    /// So many further problems were found before the copy.
    FoundBeforeCopy(u64),
    /// The journal takes no rows.
    JournalUnwritable(JournalError),
}

/// Databases of the source that are open for writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// What to stop.
    pub unit: OpenedBy,
    /// The id of a process that has one open.
    pub process: u32,
    /// Its name.
    pub name: String,
    /// The databases.
    pub files: Vec<PathBuf>,
}

/// What has a file open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpenedBy {
    /// A service of the machine.
    Service(String),
    /// A service of a user.
    UserService(String),
    /// A process of this name.
    Process(String),
}
