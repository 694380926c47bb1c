//! Inodes with several names that a walk has met.

use crate::sys::stat::Stat;
use roaring::RoaringTreemap;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Such inodes, by device: about a bit each, as file systems number their inodes densely. Names outside the
/// walk never turn up, so that none of them can be forgotten.
#[derive(Debug, Default)]
pub(crate) struct LinkedInodes(Mutex<HashMap<u64, RoaringTreemap>>);

impl LinkedInodes {
    /// True the first time that the inode with this stat is met, and whenever it has one name.
    pub(crate) fn is_new(&self, stat: &Stat) -> bool {
        let met =
            || self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(stat.dev).or_default().insert(stat.ino);
        stat.nlink <= 1 || met()
    }
}
