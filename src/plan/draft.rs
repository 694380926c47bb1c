//! A plan as written.

use super::spelling;
use crate::base::path::RelPath;
use crate::engine::mapping::mode::Mode;
use crate::engine::mapping::model::{EntryKind, IdKind, Need};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

/// A plan as written: names and globs are not resolved yet.
#[derive(Debug)]
pub struct Plan {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    pub(crate) name: String,
    pub(crate) source: Option<PathBuf>,
    pub(crate) root: PathBuf,
    pub(crate) users: BTreeMap<String, u32>,
    pub(crate) groups: BTreeMap<String, u32>,
    pub(crate) targets: Vec<TargetDraft>,
    pub(crate) fixups: Vec<FixupDraft>,
}

impl Plan {
    /// The numbers that the plan itself gives.
    pub(super) fn ids(&self, kind: IdKind) -> &BTreeMap<String, u32> {
        match kind {
            IdKind::User => &self.users,
            IdKind::Group => &self.groups,
        }
    }
}

#[derive(Debug)]
pub(crate) struct TargetDraft {
    pub(crate) span: Range<usize>,
    pub(crate) name: String,
    pub(crate) from: RelPath,
    pub(crate) to: RelPath,
    pub(crate) need: Need,
    pub(crate) parents: Option<Parents>,
    pub(crate) exclude: Vec<String>,
    /// Destinations of other targets inside this one's, filled from elsewhere: this one leaves them out.
    pub(crate) inner: Vec<RelPath>,
    pub(crate) entries: Vec<EntryDraft>,
}

impl TargetDraft {
    /// The patterns of what others fill inside this target.
    pub(crate) fn inner_patterns(&self) -> impl Iterator<Item = String> + '_ {
        let inner = self.inner.iter().filter_map(|inner| inner.strip_prefix(&self.to));
        inner.map(|below| spelling::anchored(&String::from_utf8_lossy(below.as_bytes())))
    }
}

#[derive(Debug)]
pub(crate) struct Parents {
    pub(crate) owner: Option<IdRef>,
    pub(crate) group: Option<IdRef>,
    /// As bits: there may be no inode whose mode could be changed.
    pub(crate) mode: Option<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct EntryDraft {
    pub(crate) span: Range<usize>,
    /// Relative to the target's `from`.
    pub(crate) path: RelPath,
    /// [`Self::path`] has components to expand.
    pub(crate) is_glob: bool,
    pub(crate) kind: EntryKind,
    pub(crate) owner: Option<IdRef>,
    pub(crate) group: Option<IdRef>,
    pub(crate) mode: Option<Mode>,
    pub(crate) need: Need,
    /// Whether a symlink is followed, if the plan says.
    pub(crate) follow: Option<bool>,
}

#[derive(Debug)]
pub(crate) struct FixupDraft {
    pub(crate) path: RelPath,
    pub(crate) owner: Option<IdRef>,
    pub(crate) group: Option<IdRef>,
    pub(crate) mode: Option<Mode>,
    pub(crate) recursive: bool,
    pub(crate) dir_mode: Option<Mode>,
    pub(crate) file_mode: Option<Mode>,
}

/// A user or group in the plan.
#[derive(Clone, Debug)]
pub(crate) struct IdRef {
    pub(crate) span: Range<usize>,
    pub(crate) value: IdValue,
}

#[derive(Clone, Debug)]
pub(crate) enum IdValue {
    Name(String),
    Number(u32),
}
