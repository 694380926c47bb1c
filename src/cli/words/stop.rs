//! Why a run ended early.

use super::{journal, operation, preflight};
use crate::base::human::{bytes, count};
use crate::engine::events::no_thread::NoThread;
use crate::engine::events::stop::{Cause, FailedCall, FreeRoom, Shortage, StopReason};
use crate::sys::{Errno, errno_words};

/// One sentence for the report.
pub(in crate::cli) fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Told(words) => words.clone(),
        Cause::Stopped(reason) => self::reason(reason),
        Cause::Shortage(shortage) => self::shortage(shortage),
        Cause::Journal(error) => journal::words(error),
    }
}

fn reason(reason: &StopReason) -> String {
    match reason {
        StopReason::Signal => "a signal asked to stop".into(),
        StopReason::Failed(FailedCall { path, op, errno }, _) => {
            let (op, answer) = (operation::words(op), errno_words(*errno));
            format!("{path}: {op}: {answer}; {}, then run the same command again", advice(*errno))
        }
        StopReason::NotDurable(errno, _) => format!(
            "the target could not be made durable (syncfs: {}); nothing of this epoch is marked done: check the disk (dmesg, \
             smartctl, free space), then run the same command again",
            errno_words(*errno)
        ),
        StopReason::FixupsNotDurable(errno) => {
            format!("the fixups could not be made durable (syncfs: {})", errno_words(*errno))
        }
        StopReason::Journal(error, _) => journal::words(error),
        StopReason::SourceUnopened(source, errno) => {
            format!("the source {} cannot be opened: {}", source.display(), errno_words(*errno))
        }
        StopReason::RootUnopened(root, errno) => format!("{}: open: {}", root.display(), errno_words(*errno)),
        StopReason::TargetGone(target, why) => {
            let why = why.as_ref().map(|why| format!(" ({})", preflight::words(why))).unwrap_or_default();
            format!(
                "the target {} is not mounted any more, or something else is mounted over it{why}; mount it as before, \
                 then run the same command again",
                preflight::at(target)
            )
        }
        StopReason::NoThread(why) => no_thread(why),
        StopReason::EpochsPanicked => {
            "the thread that makes entries durable panicked; what it had is not recorded".into()
        }
    }
}

/// That a thread cannot be started.
pub(in crate::cli) fn no_thread(why: &NoThread) -> String {
    match why {
        NoThread::One(error) => format!("cannot start a thread: {error}"),
        NoThread::Pool(error) => {
            format!("cannot start a thread: {error}; raise the limit of processes (ulimit -u, pids.max of its cgroup)")
        }
    }
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NOSPC => "free space on the target",
        Errno::DQUOT => "raise the quota on the target",
        Errno::ROFS => "the target turned read-only: look at dmesg, check the disk, mount it read-write",
        Errno::MFILE | Errno::NFILE => "raise the limit of open files (ulimit -n) or use fewer --threads",
        _ => "look at dmesg and check the disk",
    }
}

fn shortage(shortage: &Shortage) -> String {
    let Shortage { bytes: needed, inodes, free } = *shortage;
    let still = format!("{} in {} inodes are still to be copied", bytes(needed), count(inodes));
    let Some(free) = free else {
        return format!("{still}; the quota must be raised by at least that much");
    };
    let mut short = Vec::new();
    if needed > free.bytes {
        short.push(format!("{} are free: {} are missing", bytes(free.bytes), bytes(needed.saturating_sub(free.bytes))));
    }
    if let FreeRoom { inodes: Some(inodes_free), .. } = free
        && inodes > inodes_free
    {
        short.push(format!(
            "{} inodes are free: {} inodes are missing (delete files, or make the file system anew with more: \
             mkfs.ext4 -N or -i)",
            count(inodes_free),
            count(inodes.saturating_sub(inodes_free))
        ));
    }
    if short.is_empty() {
        // statfs(2) counts what cannot be had.
        short.push(format!(
            "{} are free by the file system's own account, which is not enough (its metadata, or a thin disk below it)",
            bytes(free.bytes)
        ));
    }
    format!("{still}; {}", short.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_inodes_are_told_apart() {
        let said = |free| shortage(&Shortage { bytes: 5 << 20, inodes: 40, free });
        let bytes = said(Some(FreeRoom { bytes: 1 << 20, inodes: Some(900) }));
        assert!(bytes.contains("4.00 MiB are missing") && !bytes.contains("inodes are missing"), "{bytes}");
        let inodes = said(Some(FreeRoom { bytes: 1 << 29, inodes: Some(3) }));
        assert!(inodes.contains("37 inodes are missing") && !inodes.contains("MiB are missing"), "{inodes}");
        assert!(said(Some(FreeRoom { bytes: 1 << 29, inodes: None })).contains("own account"));
        assert!(said(None).contains("raised by at least"));
    }
}
