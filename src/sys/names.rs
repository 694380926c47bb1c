//! Names that one reading of a directory has already returned. Some drivers return a name twice (unions
//! of directories, offsets that moved because of a change meanwhile), although it is one entry.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// How many names are remembered at least, so that memory stays bounded in any directory.
const KEPT: usize = 1 << 17;

/// The names by two 64-bit hashes with secret keys: no name can hide another.
#[derive(Default)]
pub(super) struct NameSet {
    keys: (RandomState, RandomState),
    recent: HashSet<(u64, u64)>,
    older: HashSet<(u64, u64)>,
}

impl NameSet {
    /// True when `name` is not among the last names seen.
    pub(super) fn is_new(&mut self, name: &[u8]) -> bool {
        let hash = (self.keys.0.hash_one(name), self.keys.1.hash_one(name));
        if self.older.contains(&hash) || !self.recent.insert(hash) {
            return false;
        }
        if self.recent.len() == KEPT {
            self.older = std::mem::take(&mut self.recent);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_once_and_memory_is_bounded() {
        let mut names = NameSet::default();
        for n in 0..3 * KEPT as u64 {
            assert!(names.is_new(&n.to_le_bytes()));
            assert!(!names.is_new(&n.to_le_bytes()));
            assert!(!names.is_new(&n.saturating_sub(KEPT as u64 - 1).to_le_bytes()), "{n}");
        }
        assert!(names.recent.len() + names.older.len() <= 2 * KEPT);
    }
}
