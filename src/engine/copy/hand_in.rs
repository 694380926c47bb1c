//! The last step of a copy: a finished entry goes to its epoch.

use super::entry::CopyEntry;
use super::link::{Copied, CopiedAt, CopyResult};
use crate::engine::journal::epoch::{Submit, Written};
use crate::engine::journal::{Record, Row};
use std::sync::Arc;

/// Hands a finished entry to the epoch; returns what further names of its inode link to.
pub(super) fn hand_in(submit: &Submit, entry: &CopyEntry<'_>, written: Written) -> CopyResult {
    let copied = match &written.record {
        Record::Row(row) if row.nlink > 1 => Some(Copied {
            at: CopiedAt::Node(Arc::clone(entry.node())),
            name: written.replace.as_ref().map_or(entry.name, |r| &r.temporary).clone(),
            row: Arc::new(Row::clone(row)),
        }),
        _ => None,
    };
    submit.send(written);
    CopyResult::Complete(copied)
}
