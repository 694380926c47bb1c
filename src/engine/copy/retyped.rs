//! What the source has in the place of a directory that an earlier run copied. With `--delete` that
//! directory makes way, but as all that is removed only after everything else is copied, so its
//! successor waits until then.

use super::entry::{CopyEntry, Override};
use super::open_dir::OpenDir;
use crate::base::path::Name;
use crate::sys::stat::Kind;
use std::sync::{Arc, Mutex, PoisonError};

/// Names that wait; each holds its directory.
#[derive(Debug, Default)]
pub(super) struct RetypedNames(Mutex<Vec<RetypedName>>);

/// A name that waits.
#[derive(Debug)]
pub(super) struct RetypedName {
    pub(super) dir: Arc<OpenDir>,
    pub(super) name: Name,
    pub(super) own: Override,
    pub(super) kind: Kind,
}

impl RetypedNames {
    /// All that wait by now.
    pub(super) fn take(&self) -> Vec<RetypedName> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn add(&self, entry: &CopyEntry<'_>, kind: Kind) {
        entry.node().hold();
        let (dir, name, own) = (Arc::clone(entry.dir), entry.name.clone(), entry.own);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(RetypedName { dir, name, own, kind });
    }
}
