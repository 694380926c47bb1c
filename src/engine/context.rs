//! The handles that all stages of a run share.

use super::events::counters::Counters;
use super::events::finding::UseFindings;
use super::events::problem::Problems;
use super::events::rate_limit::RateLimit;
use super::events::stop::{Stop, StopReason};
use super::journal::{Journal, JournalError, WriterHandle};
use super::mapping::model::Mapping;
use std::sync::Arc;

/// Cheap to clone; every clone belongs to the same run.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// What goes where.
    pub mapping: Arc<Mapping>,
    /// Held for the whole run.
    pub journal: Arc<Journal>,
    /// Writes the journal. The run cannot end while somebody holds this.
    pub writer: WriterHandle,
    /// Where numbers go.
    pub counters: Arc<Counters>,
    /// Where failures go.
    pub problems: Arc<Problems>,
    /// What the target's owner did there since it was copied.
    pub in_use: Arc<UseFindings>,
    /// How to end early.
    pub stop: Stop,
    /// How fast bytes may move; copying and reading back share one limit.
    pub rate_limit: RateLimit,
}

impl RunContext {
    /// An unreadable journal ends the run.
    pub fn heed<T>(&self, done: Result<T, JournalError>) -> Option<T> {
        done.map_err(|error| self.stop.set(StopReason::Journal(error, None))).ok()
    }
}
