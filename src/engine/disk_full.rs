//! After a disk has filled up: what is left to copy, what is free, what is missing.
//!
//! The source is surveyed once more, now against the journal, so that a resumed run tells the
//! truth as well: it stops before it has met everything that earlier ones finished.

use super::events::stop::Full;
use super::journal::Journal;
use super::mapping::model::Mapping;
use super::preflight::room;
use super::survey::unfinished;
use super::tree::walk::WalkOptions;
use crate::base::human::{bytes, count};
use crate::sys::filesystem::Space;
use crate::sys::root::Root;
use std::sync::Arc;

/// What is left for one file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    bytes: u64,
    inodes: u64,
}

/// A sentence for the report; `None` when it cannot be determined.
#[must_use]
pub fn words(plan: &Mapping, full: Full, journal: &Journal, means: WalkOptions, cross_mounts: bool) -> Option<String> {
    let rooms: Vec<_> = plan.targets.iter().map(|target| room(plan, target)).collect();
    let dev = match full {
        Full::Target(target) | Full::Quota(target) => rooms.get(target as usize)?.as_ref()?.0,
        Full::Journal => journal.directory_id().ok()?.0,
    };
    let space = rooms.iter().flatten().find(|room| room.0 == dev)?.1;
    let source = Arc::new(Root::open(&plan.source).ok()?);
    let surveys = unfinished(plan, &source, means, cross_mounts, journal).ok()?;
    let mut left = Left::default();
    for (survey, _) in surveys.iter().zip(&rooms).filter(|(_, room)| room.as_ref().is_some_and(|room| room.0 == dev)) {
        left.bytes += survey.allocated;
        left.inodes += survey.inodes;
    }
    Some(sentence(left, &space, matches!(full, Full::Quota(_))))
}

fn sentence(left: Left, space: &Space, quota: bool) -> String {
    let Left { bytes: needed, inodes } = left;
    let still = format!("{} in {} inodes are still to be copied", bytes(needed), count(inodes));
    if quota {
        return format!("{still}; the quota must be raised by at least that much");
    }
    let mut short = Vec::new();
    if needed > space.available {
        short.push(format!(
            "{} are free: {} are missing",
            bytes(space.available),
            bytes(needed.saturating_sub(space.available))
        ));
    }
    if space.inodes > 0 && inodes > space.inodes_free {
        short.push(format!(
            "{} inodes are free: {} inodes are missing (delete files, or make the file system anew with more: \
             mkfs.ext4 -N or -i)",
            count(space.inodes_free),
            count(inodes.saturating_sub(space.inodes_free))
        ));
    }
    if short.is_empty() {
        // statfs(2) counts blocks that cannot be allocated.
        short.push(format!(
            "{} are free by the file system's own account, which is not enough (its metadata, or a thin disk below it)",
            bytes(space.available)
        ));
    }
    format!("{still}; {}", short.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(available: u64, inodes_free: u64) -> Space {
        let free = available;
        let (magic, size, inodes, name_max) = (0, 1 << 30, 1000, 255);
        Space { magic, size, available, free, inodes, inodes_free, name_max, file_max: None, read_only: false }
    }

    #[test]
    fn bytes_and_inodes_are_told_apart() {
        let left = Left { bytes: 5 << 20, inodes: 40 };
        let bytes = sentence(left, &space(1 << 20, 900), false);
        assert!(bytes.contains("4.00 MiB are missing") && !bytes.contains("inodes are missing"), "{bytes}");
        let inodes = sentence(left, &space(1 << 29, 3), false);
        assert!(inodes.contains("37 inodes are missing") && !inodes.contains("MiB are missing"), "{inodes}");
        assert!(sentence(left, &space(1 << 29, 900), false).contains("own account"));
        assert!(sentence(left, &space(0, 0), true).contains("raised by at least"));
    }
}
