//! Why a run does not start, as data: the command line says it in words, with what to do.

use super::detail::Contradiction;
use super::journal_error::{JournalError, LockHolder};
use crate::base::path::RelPath;
use crate::engine::mapping::model::Need;
use crate::engine::mapping::renumber::Unrenumbered;
use crate::sys::Errno;
use std::path::PathBuf;

/// One reason. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// In the words of what found it outside the engine.
    Told(String),

    /// The source cannot be opened.
    SourceUnopened(PathBuf, Errno),
    /// The source cannot be read.
    SourceUnread(PathBuf, Errno),
    /// The source has nothing in it.
    SourceEmpty(PathBuf),
    /// The source lacks what the plan needs.
    Missing(PathBuf, Vec<Lacking>),
    /// Earlier runs mapped these otherwise.
    MappedOtherwise(Vec<Remapping>),
    /// Owners cannot be set.
    NotRoot,

    /// The root of the targets cannot be opened.
    RootUnopened(PathBuf, Errno),
    /// It cannot be told where the root lies.
    RootUnknown(PathBuf, Errno),
    /// Something on the way to a target is not a directory, or cannot be opened.
    NoWay(Destination, Errno),
    /// The file system of a directory does not tell what it is.
    Untold(Destination, Errno),
    /// A target is on a file system of this type, mounted here, that loses everything at power-off.
    Volatile(Destination, String, PathBuf),
    /// A target is on the root of the running system.
    OnSystemRoot(Destination),
    /// A target's file system, of this type, keeps no owners and modes.
    WithoutOwners(Destination, &'static str),
    /// Something else filled a target.
    NotEmpty(Destination),
    /// A target is mounted read-only at this place.
    ReadOnly(Destination, PathBuf),

    /// Another run of the plan is alive.
    Alive(LockHolder),
    /// The journal cannot be used.
    Journal(JournalError),
    /// There is no journal at this place.
    NoJournal(PathBuf),

    /// These targets need so many bytes, and so many are free.
    NoRoom(Vec<String>, u64, u64),
    /// The same for inodes.
    NoInodes(Vec<String>, u64, u64),
    /// A name is longer than the file system of these targets holds.
    NameTooLong(Vec<String>, TooMuch),
    /// The same for a file.
    FileTooLarge(Vec<String>, TooMuch),

    /// It cannot be determined whether source and target contain one another.
    NestingUnknown(Errno),
    /// The first, a destination, is inside the second, which is to be copied.
    IntoItself(String, String),
    /// The first, which is to be copied, is inside the second, a destination.
    OverSource(String, String),
    /// The journal's directory is inside the source.
    JournalInSource(String, String),
    /// A destination is inside the journal's directory.
    InJournal(String, String),
    /// The journal's directory is inside a destination.
    JournalInTarget(String, String),

    /// The plan would replace this file, which gives the target's numbers, in the target of this
    /// name, where the last path leaves it out.
    MapReplaced(RelPath, String, RelPath),
    /// Numbers cannot be turned into the target's.
    Unrenumbered(Unrenumbered),
    /// The plan says two things of one inode.
    Contradiction(Contradiction),
}

/// A path below the root of the targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The root.
    pub root: PathBuf,
    /// What is below it.
    pub path: RelPath,
}

/// An entry that the source does not have as the plan declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// How much it is needed.
    pub need: Need,
    /// Below the source.
    pub path: RelPath,
    /// What is there instead, if anything.
    pub found: Option<&'static str>,
}

/// How an earlier run mapped an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remapping {
    /// The first path came from the second, and shall come from the third.
    Source(RelPath, RelPath, RelPath),
    /// The first path went to the second, and shall go to the third.
    Destination(RelPath, RelPath, RelPath),
}

/// What a file system cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// How much it is, in bytes.
    pub size: u64,
    /// How much is held at most.
    pub most: u64,
    /// Which entry that is.
    pub path: RelPath,
}
