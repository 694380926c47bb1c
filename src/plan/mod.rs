//! The plan: what goes where, as the user wrote it and as numbers.
//!
//! [`Plan::read`] parses and validates a file and reports all of its errors at
//! once; [`Plan::resolve`] looks at the source and the id maps and gives a
//! [`resolved::Resolved`].

mod conflicts;
mod diagnostic;
mod expand;
pub mod explicit;
pub mod export;
mod follow;
pub(crate) mod id_file;
mod ids;
pub mod import;
mod mode;
mod names;
pub mod nix_expr;
pub(crate) mod nix_text;
pub mod renumber;
mod resolve;
pub mod resolved;
mod schema;
mod show;
pub(crate) mod spelling;
pub(crate) mod static_ids;
mod value;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use mode::{Change, Mode};
pub use names::PlanName;
pub use resolve::{Backup, Overrides, ResolveError};
pub(crate) use show::exact;
pub use show::{drift, json, stranger_words, table};

use crate::path::RelPath;
use resolved::{EntryKind, IdKind, Need};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

/// A plan as written: names and globs are not resolved yet.
#[derive(Debug)]
pub struct Plan {
    file: PathBuf,
    text: String,
    name: String,
    source: Option<PathBuf>,
    root: PathBuf,
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
    targets: Vec<TargetDraft>,
    fixups: Vec<FixupDraft>,
}

impl Plan {
    /// The numbers that the plan itself gives.
    fn ids(&self, kind: IdKind) -> &BTreeMap<String, u32> {
        match kind {
            IdKind::User => &self.users,
            IdKind::Group => &self.groups,
        }
    }
}

#[derive(Debug)]
struct TargetDraft {
    span: Range<usize>,
    name: String,
    from: RelPath,
    to: RelPath,
    need: Need,
    parents: Option<Parents>,
    exclude: Vec<String>,
    entries: Vec<EntryDraft>,
}

#[derive(Debug)]
struct Parents {
    owner: Option<IdRef>,
    group: Option<IdRef>,
    /// There may be no inode to change: bits.
    mode: Option<u32>,
}

#[derive(Clone, Debug)]
struct EntryDraft {
    span: Range<usize>,
    /// Relative to the target's `from`.
    path: RelPath,
    /// [`Self::path`] has components to expand.
    is_glob: bool,
    kind: EntryKind,
    owner: Option<IdRef>,
    group: Option<IdRef>,
    mode: Option<Mode>,
    need: Need,
    /// Whether a symlink is followed, where the plan says so.
    follow: Option<bool>,
}

#[derive(Debug)]
struct FixupDraft {
    path: RelPath,
    owner: Option<IdRef>,
    group: Option<IdRef>,
    mode: Option<Mode>,
    recursive: bool,
    dir_mode: Option<Mode>,
    file_mode: Option<Mode>,
}

/// A user or group in the plan.
#[derive(Clone, Debug)]
struct IdRef {
    span: Range<usize>,
    value: IdValue,
}

#[derive(Clone, Debug)]
enum IdValue {
    Name(String),
    Number(u32),
}
