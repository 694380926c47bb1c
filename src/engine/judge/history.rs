//! What earlier runs did, and what this one may do to the work of others.

use crate::engine::events::rate_limit::RateLimit;
use crate::engine::journal::Past;
use crate::sys::stat::Time;

/// What earlier runs did in a target of the plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct History {
    /// No run of this plan that finished has written there.
    pub first: bool,
    /// When the first of them began to write; a ctime cannot be set, so anything with an older
    /// one was there before.
    pub began: Option<Time>,
    /// The last run that wrote was stopped or killed.
    pub interrupted: bool,
    /// One of them found something in its place, or ran on the live system.
    pub in_place: bool,
    /// The records of earlier runs were set aside.
    pub restarted: bool,
}

impl History {
    /// Of each target, `known` being those in which an earlier run had anything to copy.
    #[must_use]
    pub fn each(past: Past, known: &[bool], restart: bool) -> Vec<Self> {
        let of = |known: &bool| Self {
            first: !known || !past.ended,
            began: past.began,
            interrupted: past.interrupted,
            in_place: past.in_place,
            restarted: restart || past.restarted,
        };
        known.iter().map(of).collect()
    }
}

/// What a judge goes by, besides the name itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy<'a> {
    /// What earlier runs did.
    pub(crate) history: History,
    /// What somebody has changed on the target is replaced.
    pub(crate) overwrite: bool,
    /// What stood there before the first run stays if it is newer than the source.
    pub(crate) newer_kept: bool,
    /// How fast content may be read.
    pub(crate) rate_limit: &'a RateLimit,
}
