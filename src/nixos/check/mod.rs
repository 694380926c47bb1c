//! Is the new system whole? Read only: a list of small checks over a shared context,
//! each with rows that say what is wrong and which command mends it.
//!
//! It does not judge the copy itself, which is verification's job; it looks at what the copy is for: a
//! machine that boots, knows its users and can read its secrets.

mod age;
mod boot;
mod builds;
mod commands;
mod context;
mod declared;
mod decryption;
mod docker;
mod esp;
mod fixups;
mod gnupg;
mod home;
mod homes;
mod id_files;
mod ids;
mod live;
mod machine_id;
mod mismatch;
mod network_manager;
mod password_file;
mod passwords;
mod plan_file;
mod replaced;
mod row;
mod secrecy;
mod ssh;
mod storage;
mod system;
pub mod table;
mod tree;

pub use row::{CheckRow, Remedy, RowStatus};
pub use system::Booted;

use crate::engine::mapping::model::Mapping;
use crate::engine::report::Outcome;
use crate::plan::{Backup, Overrides, Plan, ResolveError};
use crate::sys::root::Root;
use crate::sys::{Errno, errno_words};
use context::CheckContext;
use plan_file::{PlanFile, PlanNumbers};
use std::path::{Path, PathBuf};
use tree::SystemTree;

/// The table.
#[derive(Debug)]
pub struct CheckTable {
    /// Name of the plan.
    pub plan: String,
    /// The root that was looked at.
    pub root: PathBuf,
    /// Whether its system was taken to be running.
    pub booted: Booted,
    /// In the order of the checks.
    pub rows: Vec<CheckRow>,
}

impl CheckTable {
    /// Rows with this verdict.
    #[must_use]
    pub fn count(&self, status: RowStatus) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }

    /// Problems when something fails.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.count(RowStatus::Fail) == 0 { Outcome::Done } else { Outcome::Problems }
    }
}

type Check = fn(&CheckContext) -> Vec<CheckRow>;

/// Every check, in the order of the table.
const CHECKS: [(&str, Check); 15] = [
    ("mounts", storage::check),
    ("declared", declared::check),
    ("live", live::check),
    ("machine-id", machine_id::check),
    ("ids", ids::check),
    ("ssh", ssh::check),
    ("gnupg", gnupg::check),
    ("age", age::check),
    ("homes", homes::check),
    ("networkmanager", network_manager::check),
    ("docker", docker::check),
    ("replaced", replaced::check),
    ("passwords", passwords::check),
    ("boot", |context| [boot::check(context), esp::check(context)].concat()),
    ("fixups", fixups::check),
];

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The plan is wrong, or its root cannot be opened.
    #[error(transparent)]
    Plan(#[from] ResolveError),
    /// The root cannot be read.
    #[error("the root {}: {}", .path.display(), errno_words(*.errno))]
    Root {
        /// As the plan or the caller names it.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
}

/// Checks the root of the plan in `file`. With `booted` `None` the root decides: `/` is.
pub fn look(file: &Path, overrides: &Overrides, booted: Option<Booted>) -> Result<CheckTable, CheckError> {
    let read = || Plan::read(file).map_err(ResolveError::Plan);
    let plan = read()?;
    let names = plan.names();
    let (plan, numbers) = match plan.resolve(overrides, Backup::Arrived) {
        Ok(plan) => (plan, PlanNumbers::Known),
        // A damaged map, or a name that no map has, gets a row.
        Err(ResolveError::IdMap(_) | ResolveError::Plan(_)) => {
            (read()?.without_lookups().resolve(overrides, Backup::Arrived)?, PlanNumbers::Lost)
        }
        Err(error) => return Err(error.into()),
    };
    let cannot = |errno| CheckError::Root { path: plan.root.clone(), errno };
    let root = Root::open(&plan.root).map_err(cannot)?;
    let booted = match booted {
        Some(booted) => booted,
        None if is_own(&root).map_err(cannot)? => Booted::Yes,
        None => Booted::No,
    };
    let file = PlanFile { path: file.to_path_buf(), names, numbers };
    Ok(table(CheckContext::new(SystemTree::new(plan, root), file, booted)))
}

/// True when the root is that of this process.
fn is_own(root: &Root) -> Result<bool, Errno> {
    let own = Root::open(Path::new("/"))?;
    let (own, root) = (crate::sys::stat::stat_fd(&own)?, crate::sys::stat::stat_fd(root)?);
    Ok((own.dev, own.ino) == (root.dev, root.ino))
}

fn table(context: CheckContext) -> CheckTable {
    let mut rows = Vec::new();
    for (group, check) in CHECKS {
        rows.extend(check(&context).into_iter().map(|row| CheckRow { group, ..row }));
    }
    let CheckContext { tree, booted, .. } = context;
    let Mapping { name, root, .. } = tree.plan;
    CheckTable { plan: name, root, booted, rows }
}
