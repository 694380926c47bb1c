//! Who could have moved names in a directory of the target before the run reached it.

use super::dir_metadata::PostVisit;
use crate::engine::journal::State;
use crate::engine::judge::is_closed;
use crate::engine::meta::mark::{Mark, Was};
use crate::sys::stat::{Stat, Time};

/// Who could have moved names in a directory before the run reached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nobody but us.
    Kept,
    /// Its owner, whose id this is, or was until a run closed it and was killed.
    Owner(u32),
    /// Others, until some time after this, when a run closed it to fill it and was killed. Only
    /// where the file system does not support the mark.
    Until(Time),
}

impl Guard {
    /// For a directory with `stat` and `mark`.
    pub(super) fn of(stat: &Stat, post_visit: &PostVisit, mark: Mark) -> Self {
        if !is_closed(stat.uid, stat.mode, 0o022) {
            return Self::Owner(stat.uid);
        }
        match mark {
            Mark::Ours(Was::Created) => return Self::Kept,
            Mark::Ours(Was::Open { uid, mode, .. }) if is_closed(uid, mode, 0o022) => return Self::Kept,
            Mark::Ours(Was::Open { uid, .. }) => return Self::Owner(uid),
            Mark::None | Mark::Other => {}
        }
        let prior = match post_visit {
            // Opened for the first time it has no recorded ctime yet, and nobody else was ever in it.
            PostVisit::Apply(metadata) => {
                metadata.prior.as_ref().filter(|row| row.state != State::Open || row.dst_ctime != Time::default())
            }
            PostVisit::Nothing | PostVisit::InPlace(_) => None,
        };
        match prior {
            Some(row) if !row.wanted.owner.is_none_or(|(uid, _)| is_closed(uid, row.wanted.mode, 0o022)) => {
                Self::Until(row.dst_ctime)
            }
            _ => Self::Kept,
        }
    }
}
