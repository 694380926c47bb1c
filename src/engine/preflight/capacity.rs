//! Is there enough space, and can the file systems hold what the source has?

use super::allow::Refusals;
use super::place::TargetPlace;
use crate::engine::events::refusal::{Refusal, TooMuch};
use crate::engine::mapping::model::Mapping;
use crate::engine::survey::{Extreme, Survey};
use crate::sys::filesystem::Space;
use std::collections::BTreeMap;

/// Bytes whose blocks the copies can share with their sources.
fn shared(survey: &Survey, place: &TargetPlace) -> u64 {
    let Some(here) = place.identity() else { return 0 };
    let can = survey.shareable.iter().filter(|of| here.shares_blocks_with(place.dev, (&of.identity, of.dev)));
    can.map(|of| of.allocated).sum()
}

/// Bytes and inodes, summed for each file system, and names and files that it cannot hold.
pub(super) fn capacity(plan: &Mapping, surveys: &[Survey], places: &[Option<TargetPlace>], known: bool) -> Refusals {
    let mut out = Vec::new();
    let mut sums: BTreeMap<u64, (Survey, &TargetPlace, Vec<&str>)> = BTreeMap::new();
    for ((target, survey), place) in plan.targets.iter().zip(surveys).zip(places) {
        let Some(place) = place else { continue };
        let (sum, _, names) = sums.entry(place.dev).or_insert((Survey::default(), place, Vec::new()));
        sum.allocated += survey.allocated.saturating_sub(shared(survey, place));
        sum.inodes += survey.inodes;
        sum.longest_name = std::mem::take(&mut sum.longest_name).max(&survey.longest_name);
        sum.largest = std::mem::take(&mut sum.largest).max(&survey.largest);
        names.push(&target.name);
    }
    for (sum, place, names) in sums.values() {
        let names = || names.iter().map(ToString::to_string).collect();
        let Space { available, inodes, inodes_free, name_max, file_max, .. } = place.space;
        // A resumed run has already copied part of this; a disk that fills up stops it cleanly.
        if !known && sum.allocated > available {
            out.push(Refusal::NoRoom(names(), sum.allocated, available));
        }
        if !known && inodes > 0 && sum.inodes > inodes_free {
            out.push(Refusal::NoInodes(names(), sum.inodes, inodes_free));
        }
        let Survey { longest_name, largest, .. } = sum;
        let too_much = |of: &Extreme, most| TooMuch { size: of.size, most, path: of.path.clone() };
        if longest_name.size > name_max {
            out.push(Refusal::NameTooLong(names(), too_much(longest_name, name_max)));
        }
        if let Some(most) = file_max.filter(|most| largest.size > *most) {
            out.push(Refusal::FileTooLarge(names(), too_much(largest, most)));
        }
    }
    out
}
