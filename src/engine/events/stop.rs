//! The one way to end a run early: every loop of the engine asks here.

use super::journal_error::JournalError;
use super::no_thread::NoThread;
use super::operation::Operation;
use super::refusal::{Destination, Refusal};
use crate::base::path::RelPath;
use crate::sys::Errno;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a run ends before its work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT, SIGTERM or SIGHUP.
    Signal,
    /// A call on the target failed so that continuing is useless or unsafe; what is full, if its
    /// error says so.
    Failed(FailedCall, Option<Full>),
    /// syncfs(2) failed on the target, and what is full, if its error says so.
    NotDurable(Errno, Option<Full>),
    /// The same after the fixups.
    FixupsNotDurable(Errno),
    /// The journal cannot be read or written; what is full, if that is why.
    Journal(JournalError, Option<Full>),
    /// The source cannot be opened any more.
    SourceUnopened(PathBuf, Errno),
    /// The root of the targets cannot be opened.
    RootUnopened(PathBuf, Errno),
    /// This target is not the file system that it was at the start; why it cannot be opened, if so.
    TargetGone(Destination, Option<Box<Refusal>>),
    /// A thread cannot be started.
    NoThread(NoThread),
    /// The thread that makes entries durable panicked.
    EpochsPanicked,
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

impl StopReason {
    /// What is full, where that is why.
    #[must_use]
    pub fn full(&self) -> Option<Full> {
        match self {
            Self::Failed(_, full) | Self::NotDurable(_, full) | Self::Journal(_, full) => *full,
            _ => None,
        }
    }
}

/// What is left to copy to a file system that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Bytes that are still to be copied.
    pub bytes: u64,
    /// Inodes of them.
    pub inodes: u64,
    /// What is free; none where a quota is used up.
    pub free: Option<FreeRoom>,
}

/// What is free on a file system by its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeRoom {
    /// Bytes.
    pub bytes: u64,
    /// Inodes, where their number is limited.
    pub inodes: Option<u64>,
}

/// What a report says of why a run ended early or did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// In the words of a report that was kept, or of who refused.
    Told(String),
    /// The run was stopped.
    Stopped(StopReason),
    /// So much room is missing.
    Shortage(Shortage),
    /// The journal could not be ended.
    Journal(JournalError),
}

/// A flag with its first reason, shared by all threads.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
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
        if kept.is_none() || *kept == Some(StopReason::Signal) && reason != StopReason::Signal {
            *kept = Some(reason);
        }
        !self.0.flag.swap(true, Ordering::Relaxed)
    }

    /// The reason, once set.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        self.0.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
