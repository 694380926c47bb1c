//! The one way to end a run early: every loop of the engine asks here.

use super::operation::Operation;
use crate::base::path::RelPath;
use crate::sys::Errno;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a run ends before its work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT, SIGTERM or SIGHUP.
    Signal,
    /// Continuing is useless or unsafe: a failed syncfs, a dying disk, a journal that cannot be written.
    Fatal(String),
    /// The same for a call on the target, and what is full, if its error says so.
    Failed(FailedCall, Option<Full>),
    /// syncfs(2) failed on the target, and what is full, if its error says so.
    NotDurable(Errno, Option<Full>),
    /// There is no space left; the text is the finder's.
    Full(String, Full),
}

/// A call on the target that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCall {
    /// Below the root of the target.
    pub path: RelPath,
    /// What was tried.
    pub op: Operation,
    /// Its error.
    pub errno: Errno,
}

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The file system of this target of the plan.
    Target(u32),
    /// A quota on it.
    Quota(u32),
    /// The file system of the journal.
    Journal,
}

/// A flag with its first reason, shared by all threads.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Debug, Default)]
struct StopState {
    flag: AtomicBool,
    reason: Mutex<Option<StopReason>>,
}

impl Stop {
    /// True once anything asked to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.flag.load(Ordering::Relaxed)
    }

    /// Asks to stop; the first reason is kept, but a fatal one outranks a signal.
    /// True when the flag was not set before.
    pub fn set(&self, reason: StopReason) -> bool {
        let mut kept = self.0.reason.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*kept, &reason) {
            (None, _)
            | (
                Some(StopReason::Signal),
                StopReason::Fatal(_) | StopReason::Failed(..) | StopReason::NotDurable(..) | StopReason::Full(..),
            ) => *kept = Some(reason),
            _ => {}
        }
        !self.0.flag.swap(true, Ordering::Relaxed)
    }

    /// The reason, once set.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        self.0.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
