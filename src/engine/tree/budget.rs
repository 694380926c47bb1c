//! The bound on descriptors of directories that stay open between tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// How many descriptors of unfinished directories may stay open.
#[derive(Debug)]
pub struct FdBudget(pub(crate) AtomicI64);

impl FdBudget {
    /// A budget of `n` descriptors.
    #[must_use]
    pub fn new(n: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(n)))
    }

    pub(crate) fn take(&self) -> bool {
        if self.0.fetch_sub(1, Ordering::Relaxed) > 0 {
            return true;
        }
        self.give_back();
        false
    }

    pub(crate) fn give_back(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
