//! The names of one directory of the source, eight bytes for each.

use crate::base::path::Name;
use std::hash::{BuildHasher, RandomState};

/// Names that a walk met, as hashes: two names with one hash would only hide something stale, and
/// the key is random, so that nobody can choose such names.
#[derive(Debug, Default)]
pub(crate) struct SourceNames {
    key: RandomState,
    hashes: Vec<u64>,
}

impl SourceNames {
    pub(crate) fn add(&mut self, name: &Name) {
        self.hashes.push(self.key.hash_one(name.as_bytes()));
    }

    /// The same, complete and ready to be asked.
    pub(crate) fn sorted(mut self) -> Self {
        self.hashes.sort_unstable();
        self
    }

    /// True for a name that was added. They must be sorted.
    pub(crate) fn has(&self, name: &Name) -> bool {
        self.hashes.binary_search(&self.key.hash_one(name.as_bytes())).is_ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_added_are_known_and_no_others() {
        let name = |text: &str| Name::new(text.as_bytes()).expect("valid");
        let mut names = SourceNames::default();
        assert!(names.is_empty());
        ["b", "a", "c"].iter().for_each(|text| names.add(&name(text)));
        let names = names.sorted();
        assert!(["a", "b", "c"].iter().all(|text| names.has(&name(text))));
        assert!(!names.has(&name("d")));
    }
}
