//! Why a journal cannot be used, as data: the command line says it in words, with the way out.

use crate::sys::stat::Kind;
use crate::sys::{Errno, errno_name};
use std::path::PathBuf;

/// Why the journal cannot be used. The text of the error is its name and place alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Another run of the same plan holds the lock.
    #[error("journal locked: {}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it.
        holder: LockHolder,
    },
    /// A file or directory operation failed.
    #[error("journal file: {}: {step:?} {}", path.display(), errno_name(*errno))]
    File {
        /// What was worked on.
        path: PathBuf,
        /// What was tried.
        step: FileStep,
        /// Why.
        errno: Errno,
    },
    /// Somebody else could have made it, or could exchange it: it is not opened.
    #[error("journal untrusted: {}: {what:?}", path.display())]
    Untrusted {
        /// What was looked at.
        path: PathBuf,
        /// What it is.
        what: Distrust,
    },
    /// SQLite reports an error.
    #[error("journal database: {}: {trouble:?}: {sqlite}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's own words.
        sqlite: String,
        /// What that means.
        trouble: Trouble,
        /// Of the system call that failed, where it is known.
        errno: Option<Errno>,
    },
    /// Not a journal, or one of another version.
    #[error("journal foreign: {}: {what:?}", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        what: ForeignDatabase,
    },
    /// A run is alive and writes.
    #[error("journal busy: {}", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The writer thread is gone.
    #[error("journal writer: {}: {what:?}", path.display())]
    Writer {
        /// The database.
        path: PathBuf,
        /// Why it ended.
        what: WriterEnd,
    },
}

impl JournalError {
    /// True when nothing can be written, and that is all that is wrong: it may still be read.
    #[must_use]
    pub fn is_unwritable(&self) -> bool {
        match self {
            Self::File { errno, .. } => {
                [Errno::ROFS, Errno::NOSPC, Errno::DQUOT, Errno::FBIG, Errno::IO].contains(errno)
            }
            Self::Database { trouble, .. } => match trouble {
                Trouble::Full
                | Trouble::ReadOnly
                | Trouble::Quota
                | Trouble::TooLarge
                | Trouble::Device
                | Trouble::Unopened => true,
                Trouble::Damaged | Trouble::Busy | Trouble::Memory => false,
            },
            _ => false,
        }
    }

    /// True when its file system, or a quota on it, is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Database { trouble: Trouble::Full | Trouble::Quota, .. })
    }
}

/// Who holds a lock: "pid N, started …" as that run wrote it, escaped, if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder(pub Option<String>);

/// What was tried on a file of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStep {
    /// Open the database.
    Open,
    /// Make the database.
    Create,
    /// Rename the database for `--restart`.
    SetAside,
    /// Look at a file or a directory.
    LookAt,
    /// Open the directory.
    OpenDirectory,
    /// Make the directory.
    CreateDirectory,
    /// Close the directory to others.
    MakePrivate,
    /// Read the directory.
    ReadDirectory,
    /// Lock the directory against the folding of the log.
    LockDirectory,
    /// Open the lock.
    OpenLock,
    /// Ask whether the lock is held.
    AskForLock,
    /// Take the lock.
    TakeLock,
    /// Write into the lock who holds it.
    WriteLock,
}

/// Why something may not be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// A symlink or a file is where the directory is expected.
    NoDirectory,
    /// It is of this type, and a regular file is expected.
    NotRegular(Kind),
    /// It belongs to this user.
    OtherOwner(u32),
    /// Others may write to it, by this mode.
    OthersWrite(u32),
    /// Half a transaction, on a file system that does not tell whose.
    ForeignTransaction,
}

/// What is wrong with a database or with its file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is damaged.
    Damaged,
    /// Its file system is full.
    Full,
    /// A quota is used up.
    Quota,
    /// The limit of file sizes is reached.
    TooLarge,
    /// Its file system is mounted read-only.
    ReadOnly,
    /// Its file system answers with errors.
    Device,
    /// Another program has it open.
    Busy,
    /// It cannot be opened.
    Unopened,
    /// There is too little memory.
    Memory,
}

/// Why a database is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignDatabase {
    /// It is not a journal.
    NoJournal,
    /// It is of the first version; the second is the latest that is known.
    Newer(i32, i32),
    /// It is of this version, which is too old.
    Older(i32),
}

/// Why the writer cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterEnd {
    /// SQLite was built without what writes to files.
    NoVfs,
    /// Its thread cannot be started, in the words of the standard library.
    NotStarted(String),
    /// Its thread panicked.
    Panicked,
}
