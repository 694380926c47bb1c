//! The bound on descriptors of directories that stay open between tasks.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many descriptors of unfinished directories may stay open.
#[derive(Debug)]
pub struct FdBudget(AtomicI64);

impl FdBudget {
    /// A budget of `n` descriptors.
    #[must_use]
    pub fn new(n: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(n)))
    }

    fn take(&self) -> bool {
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

/// A directory's descriptor, kept open while the budget has room for it.
#[derive(Debug)]
pub(crate) struct Kept<D> {
    fd: Mutex<Option<Arc<D>>>,
    budget: Arc<FdBudget>,
}

impl<D> Kept<D> {
    pub(crate) fn new(dir: D, budget: &Arc<FdBudget>) -> Self {
        let kept = budget.take().then(|| Arc::new(dir));
        Self { fd: Mutex::new(kept), budget: Arc::clone(budget) }
    }

    pub(crate) fn get(&self) -> Option<Arc<D>> {
        self.fd.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes it once the last user drops it.
    pub(crate) fn close(&self) {
        if self.fd.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.budget.give_back();
        }
    }

    pub(crate) const fn budget(&self) -> &Arc<FdBudget> {
        &self.budget
    }
}

impl<D> Drop for Kept<D> {
    fn drop(&mut self) {
        self.close();
    }
}
