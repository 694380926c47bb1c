//! Why a journal cannot be used, and the way out.

use crate::engine::events::journal_error::{
    Distrust, FileStep, ForeignDatabase, JournalError, LockHolder, Trouble, WriterEnd,
};
use crate::sys::{Errno, errno_words};

/// A sentence or two, the last one advice.
pub(in crate::cli) fn words(error: &JournalError) -> String {
    match error {
        JournalError::Locked { path, holder } => format!(
            "another run with this journal is alive: {} (lock {})\n  wait for it, or stop it with SIGINT: it can be resumed",
            holder_words(holder),
            path.display()
        ),
        JournalError::File { path, step, errno } => {
            format!("journal {}: {}: {}", path.display(), step_words(*step), errno_words(*errno))
        }
        JournalError::Untrusted { path, what } => format!(
            "journal {}: {}\n  look at who put it there; then remove it, or name another place with --state",
            path.display(),
            distrust(*what)
        ),
        JournalError::Database { path, sqlite, trouble, errno } => {
            let system = errno.map(|errno| format!(" ({})", errno_words(errno))).unwrap_or_default();
            format!("journal {}: {sqlite}{system}\n  {}", path.display(), way_out(*trouble))
        }
        JournalError::Foreign { path, what } => format!(
            "journal {}: {}\n  use the persistcp that wrote it, or --restart to begin a new one and copy again",
            path.display(),
            foreign(*what)
        ),
        JournalError::Busy { path } => {
            format!("journal {}: a run is alive and busy with it; ask again", path.display())
        }
        JournalError::Writer { path, what } => format!("journal {}: {}", path.display(), end(what)),
    }
}

/// Why it takes no rows, in short.
pub(super) fn unwritable(error: &JournalError) -> String {
    match error {
        JournalError::File { step, errno, .. } => format!("{}: {}", step_words(*step), errno_words(*errno)),
        JournalError::Database { sqlite, trouble, errno, .. } => match (errno, trouble) {
            (Some(errno), _) => errno_words(*errno),
            (None, Trouble::Full) => errno_words(Errno::NOSPC),
            (None, Trouble::ReadOnly) => errno_words(Errno::ROFS),
            (None, _) => sqlite.clone(),
        },
        error => words(error),
    }
}

/// Who holds the lock.
pub(super) fn holder_words(holder: &LockHolder) -> &str {
    holder.0.as_deref().unwrap_or("its process is not known")
}

fn step_words(step: FileStep) -> &'static str {
    match step {
        FileStep::Open => "open",
        FileStep::Create => "create",
        FileStep::SetAside => "set aside",
        FileStep::LookAt => "look at",
        FileStep::OpenDirectory => "open the directory",
        FileStep::CreateDirectory => "create the directory",
        FileStep::MakePrivate => "make private",
        FileStep::ReadDirectory => "read the directory",
        FileStep::LockDirectory => "lock the directory",
        FileStep::OpenLock => "open the lock",
        FileStep::AskForLock => "ask for the lock",
        FileStep::TakeLock => "take the lock",
        FileStep::WriteLock => "write the lock",
    }
}

fn distrust(what: Distrust) -> String {
    match what {
        Distrust::NoDirectory => "a directory is expected there, not a symlink or a file".into(),
        Distrust::NotRegular(kind) => format!("it is {}, not a regular file", kind.words()),
        Distrust::OtherOwner(uid) => {
            format!("it belongs to another user (uid {uid}), who could exchange what is in it")
        }
        Distrust::OthersWrite(mode) => {
            format!("others may write to it (mode {mode:04o}); if all in it is yours, chmod go-w does")
        }
        Distrust::ForeignTransaction => "it is half a transaction, on a file system that does not tell whose".into(),
    }
}

fn foreign(what: ForeignDatabase) -> String {
    match what {
        ForeignDatabase::NoJournal => "it is not a persistcp journal".into(),
        ForeignDatabase::Newer(version, known) => format!("it is of version {version}; this persistcp knows {known}"),
        ForeignDatabase::Older(version) => format!("it is of the older version {version}"),
    }
}

fn end(what: &WriterEnd) -> String {
    match what {
        WriterEnd::NoVfs => "SQLite lacks its Unix VFS".into(),
        WriterEnd::NotStarted(error) => format!("cannot start its thread: {error}"),
        WriterEnd::Panicked => "its thread panicked".into(),
    }
}

const fn way_out(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Damaged => {
            "the copy on the target is untouched; the journal is damaged: --restart begins a new one and copies again"
        }
        Trouble::Full => "its file system is full: free space there, then run the same command again",
        Trouble::Quota => "raise the quota on its file system, then run the same command again",
        Trouble::TooLarge => "raise the limit of file sizes (ulimit -f), then run the same command again",
        Trouble::ReadOnly => {
            "its file system is mounted read-only: look at dmesg, mount it read-write, then run the same command again"
        }
        Trouble::Device => {
            "its file system answers with errors: look at dmesg and smartctl, check the disk and whether it is still \
             mounted, then run the same command again"
        }
        Trouble::Busy => "another program has it open: end that, then run the same command again",
        Trouble::Unopened => {
            "look whether its file system is still mounted and its directory is there, then run the same command again"
        }
        Trouble::Memory => "there is too little memory: run the same command again with fewer --threads",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_damaged_database_is_to_be_restarted() {
        let said = |trouble, errno| {
            words(&JournalError::Database { path: "/j".into(), sqlite: "disk I/O error".into(), trouble, errno })
        };
        assert!(said(Trouble::Damaged, None).contains("--restart"));
        for trouble in [Trouble::Full, Trouble::ReadOnly, Trouble::Device, Trouble::Busy, Trouble::Unopened] {
            assert!(!said(trouble, None).contains("--restart"), "{trouble:?}");
        }
        let large = said(Trouble::TooLarge, Some(Errno::FBIG));
        assert!(large.contains("File too large") && large.contains("ulimit -f"), "{large}");
    }
}
