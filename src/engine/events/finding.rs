//! What the owner of a target in use did there since it was copied: found by verification, counted
//! by directory, and no problem.

use super::value::Appearance;
use crate::base::path::RelPath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What became of an entry in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UseClass {
    /// Its owner gave it other content.
    Changed,
    /// Its owner removed it.
    Removed,
    /// Its owner made it: nothing was copied under this name.
    New,
}

impl UseClass {
    /// All, in the order of [`UseCounts`].
    pub const ALL: [Self; 3] = [Self::Changed, Self::Removed, Self::New];

    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::New => "new",
        }
    }
}

/// One entry in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseFinding {
    /// Below the root.
    pub path: RelPath,
    /// Name of the mapping's target.
    pub target: String,
    /// What became of it.
    pub class: UseClass,
    /// Recorded entries at and below it.
    pub count: u64,
    /// What is there instead, if it was changed.
    pub found: Option<Appearance>,
}

/// Entries in use by class, in the order of [`UseClass::ALL`].
pub type UseCounts = [u64; 3];

/// All that verification found in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetUse {
    /// Entries by class.
    pub counts: UseCounts,
    /// Entries that this run took into the manifest, with all that is below new directories.
    pub accepted: u64,
    /// The same for each directory, by path. Beyond a limit they only count above.
    pub directories: Vec<(RelPath, UseCounts)>,
    /// The first entries.
    pub entries: Vec<UseFinding>,
}

impl TargetUse {
    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

/// How many entries, and how many directories, are kept; all entries are counted.
const KEPT: usize = 10_000;

/// Collects them from every thread.
#[derive(Debug, Default)]
pub struct UseFindings(Mutex<UseList>);

#[derive(Debug, Default)]
struct UseList {
    counts: UseCounts,
    accepted: u64,
    directories: BTreeMap<RelPath, UseCounts>,
    entries: Vec<UseFinding>,
}

impl UseFindings {
    /// Adds an entry.
    pub fn add(&self, finding: UseFinding) {
        let (class, count) = (finding.class as usize, finding.count);
        let mut list = self.lock();
        list.counts[class] += count;
        let above = finding.path.parent().unwrap_or_default();
        if list.directories.len() < KEPT || list.directories.contains_key(&above) {
            list.directories.entry(above).or_default()[class] += count;
        }
        if list.entries.len() < KEPT {
            list.entries.push(finding);
        }
    }

    /// Counts an entry that was taken into the manifest.
    pub fn accepted(&self) {
        self.lock().accepted += 1;
    }

    /// What was added.
    #[must_use]
    pub fn take(&self) -> TargetUse {
        let UseList { counts, accepted, directories, mut entries } = std::mem::take(&mut *self.lock());
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        TargetUse { counts, accepted, directories: directories.into_iter().collect(), entries }
    }

    fn lock(&self) -> MutexGuard<'_, UseList> {
        // A panic while adding leaves valid counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_by_class_and_by_directory() {
        let findings = UseFindings::default();
        let path = |text: &str| RelPath::new(text.as_bytes()).expect("valid");
        for (name, class, count) in
            [("b/x", UseClass::New, 1), ("a/y", UseClass::Changed, 1), ("a/z", UseClass::Removed, 7)]
        {
            findings.add(UseFinding { path: path(name), target: "t".into(), class, count, found: None });
        }
        let TargetUse { counts, directories, entries, .. } = findings.take();
        assert_eq!(counts, [1, 7, 1]);
        assert_eq!(directories, [(path("a"), [1, 7, 0]), (path("b"), [0, 0, 1])]);
        assert_eq!(entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>(), ["a/y", "a/z", "b/x"].map(path));
        assert!(findings.take().is_empty());
    }
}
