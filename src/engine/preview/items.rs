//! The items of a preview, and their counts.

use crate::base::path::RelPath;
use crate::engine::mapping::model::Mapping;
use crate::sys::stat::Kind;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a run would do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Foreseen {
    /// It is copied for the first time.
    New,
    /// It is copied again.
    Changed,
    /// Nothing.
    Unchanged,
    /// Nothing: somebody has changed it on the target.
    Kept,
    /// Nothing: it was copied, and somebody has removed it from the target.
    Missing,
    /// Nothing: it is in its place already.
    InPlace,
    /// Nothing: the source no longer has it.
    Stale,
    /// It is removed, if nobody has changed it.
    Delete,
    /// It cannot be read.
    Unreadable,
}

impl Foreseen {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::New,
        Self::Changed,
        Self::Unchanged,
        Self::Kept,
        Self::Missing,
        Self::InPlace,
        Self::Stale,
        Self::Delete,
        Self::Unreadable,
    ];

    /// The word of the output, which never changes.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
            Self::Missing => "missing",
            Self::InPlace => "in-place",
            Self::Stale => "stale",
            Self::Delete => "delete",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One entry.
#[derive(Clone, Debug)]
pub struct ForeseenItem {
    /// What would be done.
    pub what: Foreseen,
    /// Its type.
    pub kind: Kind,
    /// Entries, itself among them.
    pub entries: u64,
    /// Apparent bytes of a regular file; 0 for further names of an inode.
    pub bytes: u64,
    /// Below the root.
    pub path: RelPath,
    /// Index of the plan's target.
    pub target: u32,
}

/// How many items of one kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ItemCounts {
    /// Entries.
    pub entries: u64,
    /// Apparent bytes.
    pub bytes: u64,
}

/// The counts of one target of the plan.
#[derive(Clone, Debug)]
pub struct TargetCounts {
    /// Its name.
    pub name: String,
    /// By what would be done, in the order of [`Foreseen::ALL`].
    pub counts: [ItemCounts; 9],
}

/// Counts that all threads add to.
pub(super) struct SharedCounts(Vec<[(AtomicU64, AtomicU64); 9]>);

impl SharedCounts {
    pub(super) fn new(targets: usize) -> Self {
        Self((0..targets).map(|_| Default::default()).collect())
    }

    pub(super) fn add(&self, item: &ForeseenItem) {
        if let Some(counts) = self.0.get(item.target as usize) {
            let (entries, bytes) = &counts[item.what as usize];
            entries.fetch_add(item.entries, Relaxed);
            bytes.fetch_add(item.bytes, Relaxed);
        }
    }

    pub(super) fn read(&self, plan: &Mapping) -> Vec<TargetCounts> {
        let read = |(entries, bytes): &(AtomicU64, AtomicU64)| ItemCounts {
            entries: entries.load(Relaxed),
            bytes: bytes.load(Relaxed),
        };
        let targets = plan.targets.iter().zip(&self.0);
        targets
            .map(|(target, counts)| TargetCounts { name: target.name.clone(), counts: counts.each_ref().map(read) })
            .collect()
    }
}
