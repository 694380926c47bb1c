//! How the copier counts and reports the result for an entry.

use super::context::CopyContext;
use super::node::DirNode;
use crate::base::path::RelPath;
use crate::engine::events::counters::{Tally, add};
use crate::engine::events::detail::{Advice, Detail};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::stop::{FailedCall, Full, StopReason};
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::events::value::PropertyValue;
use crate::engine::meta::Wanted;
use crate::engine::tree::temporary::temporary_name;
use crate::sys::Errno;
use crate::sys::stat::{Kind, Stat};

impl CopyContext {
    pub(super) fn tally(&self, target: u32) -> &Tally {
        &self.run.counters.targets[target as usize]
    }

    /// Counts a regular file of the source.
    pub(super) fn count_file(&self, target: u32, stat: &Stat) {
        let tally = self.tally(target);
        add(&tally.files, 1);
        add(&tally.bytes, stat.size);
        add(&tally.allocated, stat.allocated);
    }

    /// Counts what an earlier run copied, or what is kept as it is.
    pub(super) fn count_skipped(&self, target: u32, stat: &Stat) {
        let tally = self.tally(target);
        add(&tally.skipped, 1);
        if stat.kind == Kind::File {
            add(&tally.skipped_bytes, stat.size);
        }
    }

    pub(super) fn problem(&self, target: u32, mut problem: Problem) {
        // Rows of an edited plan can name a target that it no longer has.
        if let Some(known) = self.run.mapping.targets.get(target as usize) {
            problem.target.clone_from(&known.name);
        }
        self.run.problems.add(problem);
    }

    /// Reports why something stays as it is; without a reason its owner's state was accepted, which is counted.
    pub(super) fn keep(&self, target: u32, why: Vec<Problem>) {
        if let (true, Some(tally)) = (why.is_empty(), self.run.counters.targets.get(target as usize)) {
            add(&tally.accepted, 1);
        }
        why.into_iter().for_each(|problem| self.problem(target, problem));
    }

    /// A whole file system that cannot hold `loss`: reported once, counted for each entry.
    pub(super) fn lost(&self, node: &DirNode, path: RelPath, unpreserved: Unpreserved) {
        self.problem(node.target, Problem::lost(path, unpreserved, node.disk.dev));
    }

    /// Notes that the plan's owner does not inherit set-ID bits or capabilities of the source.
    pub(super) fn note_rights(&self, wanted: &Wanted, path: impl Fn() -> RelPath) {
        if wanted.rights.taken {
            self.run.problems.note_rights_taken(path());
        }
    }

    /// A failure on the write side: a full or dying disk ends the run, anything else is one
    /// problem.
    pub(super) fn target_failed(&self, target: u32, path: RelPath, operation: Operation, errno: Errno) {
        let full = match errno {
            // Only `make_beside` returns these two: no system call of the write side does.
            Errno::ISDIR => {
                let mut problem =
                    Problem::differs(path, ProblemKind::Type, PropertyValue::NoDirectory, Kind::Directory);
                problem.detail = Detail::DirectoryInPlace;
                return self.problem(target, problem);
            }
            Errno::NOTUNIQ => {
                return self.problem(target, Problem::new(path, ProblemKind::Unsupported, Detail::NameTaken));
            }
            // Also from `make_beside`: a directory has the temporary name.
            Errno::EXIST => {
                let temporary = path.last().map(|name| temporary_name(&name).to_string()).unwrap_or_default();
                return self.problem(target, Problem::new(path, ProblemKind::Type, Detail::TemporaryTaken(temporary)));
            }
            Errno::NOSPC => Some(Full::Target(target)),
            Errno::DQUOT => Some(Full::Quota(target)),
            Errno::ROFS | Errno::MFILE | Errno::NFILE => None,
            Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG if operation.creates() => {
                let mut problem = Problem::failed(path, ProblemKind::Unsupported, operation, errno);
                problem.advice = Some(Advice::RenameInSource);
                self.problem(target, problem);
                return;
            }
            Errno::FBIG => {
                let mut problem = Problem::failed(path, ProblemKind::Unsupported, operation, errno);
                problem.advice = Some(Advice::TooLarge);
                self.problem(target, problem);
                return;
            }
            _ => {
                self.problem(target, Problem::failed(path, ProblemKind::Io, operation, errno));
                return;
            }
        };
        self.run.stop.set(StopReason::Failed(FailedCall { path, op: operation, errno }, full));
    }
}
