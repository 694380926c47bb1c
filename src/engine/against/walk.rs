//! A comparison at work: what all its parts share, and the directories that it walks.

use super::alike::Alike;
use super::comparison::Comparison;
use crate::base::path::{Name, RelPath};
use crate::engine::driver::Drivers;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::groups::GroupKey;
use crate::engine::journal::{Journal, JournalError, Row};
use crate::engine::mapping::explicit::Covering;
use crate::engine::mapping::index::Index;
use crate::engine::stale::StaleSearch;
use crate::engine::tree::budget::FdBudget;
use crate::engine::tree::node::{SourceNode, TargetNode};
use crate::engine::tree::scheduler::Tasks;
use crate::engine::verify::Verifier;
use crate::engine::volume::Volumes;
use crate::sys::Errno;
use crate::sys::dir::{SourceDir, TargetDir};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A comparison at work.
pub(super) struct ComparisonWalk<'a> {
    pub(super) of: &'a Comparison<'a>,
    pub(super) index: Index,
    pub(super) stale: StaleSearch,
    /// The target inode of each linked source inode that the journal does not know.
    pub(super) linked: Mutex<HashMap<GroupKey, u64>>,
    pub(super) drivers: Drivers,
    pub(super) volumes: Volumes,
    pub(super) alike: Alike,
    pub(super) tasks: Tasks,
    pub(super) source_budget: Arc<FdBudget>,
    pub(super) target_budget: Arc<FdBudget>,
}

/// A directory of the backup and its place on the target.
pub(super) struct ComparedDir {
    pub(super) src: Arc<SourceNode>,
    pub(super) dst: Arc<TargetNode>,
    /// Below the root.
    pub(super) path: RelPath,
    pub(super) target: u32,
    /// Its id in the journal.
    pub(super) id: Option<i64>,
    pub(super) cursor: Option<usize>,
    /// Number of the share within which names of one inode are links.
    pub(super) share: u32,
    pub(super) dev: u64,
    /// The fixups that say something of what is in it.
    pub(super) covering: Covering,
}

impl Drop for ComparedDir {
    fn drop(&mut self) {
        self.src.close();
        self.dst.close();
    }
}

/// Both sides of a directory, open.
pub(super) struct DirPair {
    pub(super) src: Arc<SourceDir>,
    pub(super) dst: Arc<TargetDir>,
}

impl<'a> ComparisonWalk<'a> {
    pub(super) fn new(of: &'a Comparison<'a>, journal: &Journal) -> Result<Self, JournalError> {
        Ok(Self {
            of,
            index: Index::new(&of.verifier.run.mapping),
            stale: StaleSearch::new(&of.verifier.run.mapping, journal, false)?,
            linked: Mutex::default(),
            drivers: Drivers::new(of.source),
            volumes: Volumes::new(journal.reader()?.volumes()?),
            alike: Alike::default(),
            tasks: Tasks::of_source(of.means.inline, of.means.late),
            source_budget: FdBudget::new(of.means.directories),
            target_budget: FdBudget::new(of.means.directories),
        })
    }

    pub(super) fn verifier(&self) -> &'a Verifier {
        self.of.verifier
    }

    pub(super) fn unreadable(&self, target: u32, path: RelPath, operation: Operation, errno: Errno) {
        self.verifier().problem(target, Problem::failed(path, ProblemKind::Unreadable, operation, errno));
    }

    pub(super) fn sides(&self, dir: &ComparedDir) -> Option<DirPair> {
        let src = match dir.src.open() {
            Ok(src) => src,
            Err(errno) => {
                self.unreadable(dir.target, dir.path.clone(), Operation::OpenDirectory, errno);
                return None;
            }
        };
        // A missing directory is already reported.
        let dst = dir.dst.open().ok()?;
        Some(DirPair { src, dst })
    }

    /// The journal's id of the directory at `path`.
    pub(super) fn id_of(&self, path: &RelPath) -> Option<i64> {
        if path.is_root() {
            return Some(0);
        }
        self.verifier().ask(|reader| reader.find_path(path)).flatten()?.id
    }

    pub(super) fn recorded(&self, dir: Option<i64>, name: &Name) -> Option<Row> {
        let dir = dir?;
        self.verifier().ask(|reader| reader.find(dir, name)).flatten()
    }
}
