//! Why a run ended early.

use super::operation;
use crate::engine::events::stop::{FailedCall, StopReason};
use crate::sys::{Errno, errno_words};

/// One sentence for the report.
pub(in crate::cli) fn reason(reason: &StopReason) -> String {
    match reason {
        StopReason::Signal => "a signal asked to stop".into(),
        StopReason::Fatal(why) | StopReason::Full(why, _) => why.clone(),
        StopReason::Failed(FailedCall { path, op, errno }, _) => {
            let (op, answer) = (operation::words(op), errno_words(*errno));
            format!("{path}: {op}: {answer}; {}, then run the same command again", advice(*errno))
        }
        StopReason::NotDurable(errno, _) => format!(
            "the target could not be made durable (syncfs: {}); nothing of this epoch is marked done: check the disk (dmesg, \
             smartctl, free space), then run the same command again",
            errno_words(*errno)
        ),
    }
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NOSPC => "make room on the target",
        Errno::DQUOT => "raise the quota on the target",
        Errno::ROFS => "the target turned read-only: look at dmesg, check the disk, mount it read-write",
        Errno::MFILE | Errno::NFILE => "raise the limit of open files (ulimit -n) or use fewer --threads",
        _ => "look at dmesg and check the disk",
    }
}
