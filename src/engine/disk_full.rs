//! After a disk has filled up: what is left to copy, what is free, what is missing.
//!
//! The source is surveyed once more, now against the journal, so that a resumed run tells the
//! truth as well: it stops before it has met everything that earlier ones finished.

use super::content::reflink::Reflink;
use super::events::stop::{FreeRoom, Full, Shortage};
use super::journal::Journal;
use super::mapping::model::Mapping;
use super::preflight::room;
use super::survey::{SurveyScope, unfinished};
use super::tree::walk::WalkOptions;
use crate::sys::root::Root;
use std::sync::Arc;

/// What is left for one file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    bytes: u64,
    inodes: u64,
}

/// How much space is missing; `None` when it cannot be determined.
#[must_use]
pub fn shortage(
    plan: &Mapping,
    full: Full,
    journal: &Journal,
    means: WalkOptions,
    cross_mounts: bool,
) -> Option<Shortage> {
    let rooms: Vec<_> = plan.targets.iter().map(|target| room(plan, target)).collect();
    let dev = match full {
        Full::Target(target) | Full::Quota(target) => rooms.get(target as usize)?.as_ref()?.0,
        Full::Journal => journal.directory_id().ok()?.0,
    };
    let space = rooms.iter().flatten().find(|room| room.0 == dev)?.1;
    let source = Arc::new(Root::open(&plan.source).ok()?);
    // Blocks that could be shared count as well: too much rather than too little.
    let scope = SurveyScope { means, cross_mounts, reflink: Reflink::Never };
    let surveys = unfinished(plan, &source, scope, journal).ok()?;
    let mut left = Left::default();
    for (survey, _) in surveys.iter().zip(&rooms).filter(|(_, room)| room.as_ref().is_some_and(|room| room.0 == dev)) {
        left.bytes += survey.allocated;
        left.inodes += survey.inodes;
    }
    let free = FreeRoom { bytes: space.available, inodes: (space.inodes > 0).then_some(space.inodes_free) };
    let free = (!matches!(full, Full::Quota(_))).then_some(free);
    Some(Shortage { bytes: left.bytes, inodes: left.inodes, free })
}
