//! What went wrong with one path, and the one place that collects it.

use super::detail::{Advice, Detail, Stale, StaleCause};
use super::kind::ProblemKind;
use super::note::Note;
use super::operation::Operation;
use super::unpreserved::{Unpreserved, UnpreservedSet};
use super::value::PropertyValue;
use crate::base::path::{RelPath, escape};
use crate::sys::Errno;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

/// Something that could not be done, or that is not as it should be.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Below the root of the target, or below the source for what never arrived.
    pub path: RelPath,
    /// Name of the plan's target; empty for none.
    pub target: String,
    /// What is wrong.
    pub kind: ProblemKind,
    /// The attribute, for xattrs and flags.
    pub attribute: Option<String>,
    /// What was tried, of a call that failed.
    pub op: Option<Operation>,
    /// What the kernel answered.
    pub errno: Option<Errno>,
    /// What it should be.
    pub expected: Option<PropertyValue>,
    /// What it is.
    pub found: Option<PropertyValue>,
    /// What is wrong in detail.
    pub detail: Detail,
    /// What helps.
    pub advice: Option<Advice>,
    /// How many entries it concerns; `path` is the first of them.
    pub count: u64,
    /// What the file system cannot hold, and its device number.
    unpreserved: Option<(u64, Unpreserved)>,
    /// Every verification finds it again from the entry's row.
    told_by_row: bool,
}

impl Problem {
    /// A problem that its detail describes completely.
    #[must_use]
    pub fn new(path: RelPath, kind: ProblemKind, detail: Detail) -> Self {
        Self {
            path,
            target: String::new(),
            kind,
            attribute: None,
            op: None,
            errno: None,
            expected: None,
            found: None,
            detail,
            advice: None,
            count: 1,
            unpreserved: None,
            told_by_row: false,
        }
    }

    /// A call that failed.
    #[must_use]
    pub fn failed(path: RelPath, kind: ProblemKind, op: Operation, errno: Errno) -> Self {
        Self::new(path, kind, Detail::Failed).because(op, errno)
    }

    /// A comparison that failed.
    #[must_use]
    pub fn differs(
        path: RelPath,
        kind: ProblemKind,
        expected: impl Into<PropertyValue>,
        found: impl Into<PropertyValue>,
    ) -> Self {
        let (expected, found) = (Some(expected.into()), Some(found.into()));
        Self { expected, found, ..Self::new(path, kind, Detail::Differs) }
    }

    /// Something that an earlier run or an option has already given up.
    #[must_use]
    pub fn lost(path: RelPath, unpreserved: Unpreserved, dev: u64) -> Self {
        Self::new(path, unpreserved.kind(), Detail::Unpreserved(unpreserved)).of_disk(dev, unpreserved)
    }

    /// Says that the file system `dev` is at fault; when none of its inodes can have something,
    /// further ones only count.
    #[must_use]
    pub fn of_disk(mut self, dev: u64, unpreserved: Unpreserved) -> Self {
        self.unpreserved = Some((dev, unpreserved));
        self
    }

    /// What the file system at fault cannot hold.
    #[must_use]
    pub fn unpreserved(&self) -> Option<Unpreserved> {
        self.unpreserved.map(|(_, unpreserved)| unpreserved)
    }

    /// True for a difference that a known loss explains.
    #[must_use]
    pub fn is_known(&self, lost: UnpreservedSet) -> bool {
        Unpreserved::of_difference(self.kind, self.attribute.as_deref())
            .is_some_and(|unpreserved| lost.contains(unpreserved))
    }

    /// What it is reported once for: a file system, and what none of its inodes can have.
    fn group(&self) -> Option<(u64, Unpreserved)> {
        self.unpreserved.filter(|(_, unpreserved)| unpreserved.is_of_file_system())
    }

    /// True for what only the copying run meets: no row of the journal records it, and no
    /// verification finds it.
    fn is_kept(&self) -> bool {
        // What is stale is recorded when it is found, before it is counted.
        let found_again =
            matches!(self.kind, ProblemKind::Extra | ProblemKind::Fixup | ProblemKind::IdMap | ProblemKind::Stale);
        !found_again && !self.told_by_row && self.unpreserved().is_none_or(Unpreserved::is_without_row)
    }

    /// The source no longer has `path`, where so many entries are.
    #[must_use]
    pub fn stale(path: RelPath, cause: StaleCause, entries: u64) -> Self {
        let detail = Detail::Stale(Box::new(Stale { cause, entries, kept: None }));
        let mut problem = Self::new(path, ProblemKind::Stale, detail);
        problem.attribute = cause.attribute().map(str::to_string);
        problem
    }

    /// Says that every verification finds it again; only other problems are recorded.
    #[must_use]
    pub fn told_by_row(mut self) -> Self {
        self.told_by_row = true;
        self
    }

    /// Names the call that caused it, and its error.
    #[must_use]
    pub fn because(mut self, op: Operation, errno: Errno) -> Self {
        (self.op, self.errno) = (Some(op), Some(errno));
        self
    }

    /// Says what helps.
    #[must_use]
    pub fn advising(mut self, advice: Advice) -> Self {
        self.advice = Some(advice);
        self
    }

    /// Names the plan's target.
    #[must_use]
    pub fn in_target(mut self, target: &str) -> Self {
        self.target = target.to_string();
        self
    }

    /// Makes it speak for `count` entries, of which `path` is the first.
    #[must_use]
    pub fn counting(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// Names the attribute.
    #[must_use]
    pub fn about(mut self, attribute: &[u8]) -> Self {
        self.attribute = Some(escape(attribute).into_owned());
        self
    }

    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.path, self.kind, &self.attribute).hash(&mut hasher);
        hasher.finish()
    }
}

/// How many problems are kept; all are counted.
const KEPT: usize = 10_000;

/// Problems that wait to be recorded together.
const BATCH: usize = 64;

/// Where problems are recorded.
#[derive(Clone)]
struct ProblemRecorder(Arc<dyn Fn(Vec<Problem>) + Send + Sync>);

impl std::fmt::Debug for ProblemRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}

/// Collects problems from every thread. The same path, kind and attribute counts once.
#[derive(Debug, Default)]
pub struct Problems(Mutex<ProblemList>);

#[derive(Debug, Default)]
struct ProblemList {
    /// Of whole file systems: few, but each counts for many.
    groups: Vec<Problem>,
    kept: Vec<Problem>,
    seen: HashSet<u64>,
    count: u64,
    notes: Vec<Note>,
    notes_count: u64,
    /// The first entry whose rights were taken, and how many there are.
    rights_taken: Option<(RelPath, u64)>,
    record: Option<ProblemRecorder>,
    waiting: Vec<Problem>,
}

impl Problems {
    /// Adds one problem; false when it was known. For a whole file system the first is kept and the
    /// others are counted.
    pub fn add(&self, problem: Problem) -> bool {
        let mut inner = self.lock();
        // Past the limit a repeat may count twice: better than memory without bound.
        if problem.group().is_none() && inner.seen.len() < 16 * KEPT && !inner.seen.insert(problem.key()) {
            return false;
        }
        let record = inner.record.clone().filter(|_| problem.is_kept());
        let mut full = Vec::new();
        if record.is_some() {
            inner.waiting.push(problem.clone());
            if inner.waiting.len() >= BATCH {
                full = std::mem::take(&mut inner.waiting);
            }
        }
        inner.count += problem.count;
        if problem.group().is_some() {
            match inner.groups.iter_mut().find(|p| p.group() == problem.group() && p.target == problem.target) {
                Some(first) => first.count += 1,
                None => inner.groups.push(problem),
            }
        } else if inner.kept.len() < KEPT {
            inner.kept.push(problem);
        }
        drop(inner);
        if let Some(ProblemRecorder(record)) = record.filter(|_| !full.is_empty()) {
            record(full);
        }
        true
    }

    /// Passes what only a copying run meets to `record`, in batches: what was found so far, and from
    /// here on until [`Self::end_record`].
    pub fn begin_record(&self, record: impl Fn(Vec<Problem>) + Send + Sync + 'static) {
        let mut inner = self.lock();
        let before = inner.kept.iter().filter(|problem| problem.is_kept()).cloned().collect();
        inner.waiting = before;
        inner.record = Some(ProblemRecorder(Arc::new(record)));
    }

    /// Records a problem that is not counted yet.
    pub fn record_only(&self, problem: Problem) {
        let mut inner = self.lock();
        let Some(ProblemRecorder(record)) = inner.record.clone() else { return };
        inner.waiting.push(problem);
        let full = if inner.waiting.len() >= BATCH { std::mem::take(&mut inner.waiting) } else { Vec::new() };
        drop(inner);
        if !full.is_empty() {
            record(full);
        }
    }

    /// Passes on what is waiting.
    pub fn record_waiting(&self) {
        let mut inner = self.lock();
        let (record, waiting) = (inner.record.clone(), std::mem::take(&mut inner.waiting));
        drop(inner);
        if let Some(ProblemRecorder(record)) = record.filter(|_| !waiting.is_empty()) {
            record(waiting);
        }
    }

    /// The same, and stops recording.
    pub fn end_record(&self) {
        self.record_waiting();
        self.lock().record = None;
    }

    /// Adds something worth saying that is not a failure (a socket, a symlinked entry).
    pub fn note(&self, note: Note) {
        let mut inner = self.lock();
        inner.notes_count += 1;
        if inner.notes.len() < KEPT && !inner.notes.contains(&note) {
            inner.notes.push(note);
        }
    }

    /// The same of an entry whose rights were taken: said once, with their number and the first path.
    pub fn note_rights_taken(&self, path: RelPath) {
        self.lock().rights_taken.get_or_insert((path, 0)).1 += 1;
    }

    /// True when one of `kind` is among those kept, or some were not kept.
    #[must_use]
    pub fn has(&self, kind: ProblemKind) -> bool {
        let inner = self.lock();
        inner.kept.len() >= KEPT || inner.kept.iter().any(|problem| problem.kind == kind)
    }

    /// True when one of these kinds with a path that `counts` is among those kept, or some were not kept.
    #[must_use]
    pub fn has_any(&self, kinds: &[ProblemKind], counts: impl Fn(&RelPath) -> bool) -> bool {
        let inner = self.lock();
        inner.kept.len() >= KEPT || inner.kept.iter().any(|p| kinds.contains(&p.kind) && counts(&p.path))
    }

    /// Number of problems so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// The problems that were kept, and how many there are in all.
    #[must_use]
    pub fn take(&self) -> (Vec<Problem>, u64, Vec<Note>) {
        let mut inner = self.lock();
        let mut all = std::mem::take(&mut inner.groups);
        all.append(&mut inner.kept);
        let taken = inner.rights_taken.take().map(|(first, count)| Note::RightsTaken(first, count));
        let mut notes = Vec::from_iter(taken);
        notes.append(&mut inner.notes);
        (all, inner.count, notes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ProblemList> {
        // A panic while adding leaves a valid vector.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_problem_counts_once() {
        let problems = Problems::default();
        let path = RelPath::new(b"a").expect("valid");
        let failed = |name: &[u8]| {
            let op = Operation::SetXattr(name.into());
            Problem::failed(path.clone(), ProblemKind::Xattr, op, Errno::PERM).about(name)
        };
        assert!(problems.add(failed(b"user.a")));
        assert!(!problems.add(failed(b"user.a")));
        assert!(problems.add(failed(b"user.b")));
        assert_eq!(problems.count(), 2);
    }

    #[test]
    fn what_a_file_system_cannot_hold_is_said_once_and_counted() {
        let problems = Problems::default();
        for name in [b"a", b"b", b"c"] {
            problems.add(Problem::lost(RelPath::new(name).expect("valid"), Unpreserved::Acl, 7));
        }
        let (kept, count, _) = problems.take();
        assert_eq!((kept.len(), kept[0].count, count), (1, 3, 3));
        assert_eq!(kept[0].path, RelPath::new(b"a").expect("valid"));
    }
}
