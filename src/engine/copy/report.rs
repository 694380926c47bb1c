//! How the copier counts and reports what became of an entry.

use super::context::Context;
use super::node::DirNode;
use crate::base::path::RelPath;
use crate::engine::events::counters::{Tally, add};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::stop::{Full, Reason};
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::meta::{Rights, Wanted};
use crate::engine::tree::temporary::temporary_name;
use crate::sys::stat::{Kind, Stat};
use crate::sys::{Errno, errno_words};

impl Context {
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

    /// Counts what an earlier run has copied, or what stays as it is.
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

    /// A file system as a whole that cannot hold `loss`: said once, counted for each.
    pub(super) fn lost(&self, node: &DirNode, path: RelPath, unpreserved: Unpreserved) {
        self.problem(node.target, Problem::lost(path, unpreserved, node.disk.dev));
    }

    /// Says that the plan's owner gets no rights that the source lends out.
    pub(super) fn note_rights(&self, wanted: &Wanted, path: impl Fn() -> RelPath) {
        if wanted.rights.taken {
            self.run.problems.note_each(Rights::WORDS, path());
        }
    }

    /// A failure on the write side: a full or dying disk ends the run, the rest
    /// is one problem.
    pub(super) fn target_failed(&self, target: u32, path: RelPath, operation: &str, errno: Errno) {
        let advice = match errno {
            // These two from `make_beside` only: no call of the write side answers so otherwise.
            Errno::ISDIR => {
                let mut problem = Problem::differs(path, ProblemKind::Type, "no directory", Kind::Directory.words());
                problem.message =
                    "a directory with content stands in the place of this entry; move it away and run again".into();
                return self.problem(target, problem);
            }
            Errno::NOTUNIQ => {
                let message = "another name in this directory is the same to the target's file system, which tells \
                               names apart by less than their bytes (case, normalisation); rename one in the backup";
                return self.problem(target, Problem::new(path, ProblemKind::Unsupported, message));
            }
            // From `make_beside` as well: a directory has the temporary name.
            Errno::EXIST => {
                let temporary = path.last().map(|name| temporary_name(&name).to_string()).unwrap_or_default();
                let message = format!(
                    "a directory stands beside it as {temporary}, the name that its copy needs until it is durable; \
                     look at it, move it away and run again"
                );
                return self.problem(target, Problem::new(path, ProblemKind::Type, message));
            }
            Errno::NOSPC => "make room on the target",
            Errno::DQUOT => "raise the quota on the target",
            Errno::ROFS => "the target turned read-only: look at dmesg, check the disk, mount it read-write",
            Errno::MFILE | Errno::NFILE => "raise the limit of open files (ulimit -n) or use fewer --threads",
            Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG if operation.starts_with("create") => {
                let mut problem = Problem::failed(path, ProblemKind::Unsupported, operation, errno);
                problem.message.push_str("; the target's file system does not take this name");
                self.problem(target, problem);
                return;
            }
            Errno::FBIG => {
                let mut problem = Problem::failed(path, ProblemKind::Unsupported, operation, errno);
                problem.message.push_str("; the target's file system holds no file of this size, or the limit of file sizes (ulimit -f) is lower");
                self.problem(target, problem);
                return;
            }
            _ => {
                self.problem(target, Problem::failed(path, ProblemKind::Io, operation, errno));
                return;
            }
        };
        let words = format!("{path}: {operation}: {}; {advice}, then run the same command again", errno_words(errno));
        self.run.stop.set(match errno {
            Errno::NOSPC => Reason::Full(words, Full::Target(target)),
            Errno::DQUOT => Reason::Full(words, Full::Quota(target)),
            _ => Reason::Fatal(words),
        });
    }
}
