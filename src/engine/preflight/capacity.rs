//! Is there enough space, and can the file systems hold what the source has?

use super::allow::Refusals;
use super::place::TargetPlace;
use crate::base::human;
use crate::engine::mapping::model::Mapping;
use crate::engine::survey::Survey;
use crate::sys::filesystem::Space;
use std::collections::BTreeMap;

/// Bytes and inodes, summed for each file system, and names and files that it cannot hold.
pub(super) fn capacity(plan: &Mapping, surveys: &[Survey], places: &[Option<TargetPlace>], known: bool) -> Refusals {
    let mut out = Vec::new();
    let mut sums: BTreeMap<u64, (Survey, &TargetPlace, Vec<&str>)> = BTreeMap::new();
    for ((target, survey), place) in plan.targets.iter().zip(surveys).zip(places) {
        let Some(place) = place else { continue };
        let (sum, _, names) = sums.entry(place.dev).or_insert((Survey::default(), place, Vec::new()));
        sum.allocated += survey.allocated;
        sum.inodes += survey.inodes;
        sum.longest_name = std::mem::take(&mut sum.longest_name).max(&survey.longest_name);
        sum.largest = std::mem::take(&mut sum.largest).max(&survey.largest);
        names.push(&target.name);
    }
    for (sum, place, names) in sums.values() {
        let names = names.join(", ");
        let Space { available, inodes, inodes_free, name_max, file_max, .. } = place.space;
        // A resumed run has already copied part of this; a disk that fills up stops it cleanly.
        if !known && sum.allocated > available {
            out.push(format!(
                "not enough room for {names}: {} are needed, {} are free, {} are missing; \
                 use a larger disk or leave entries out",
                human::bytes(sum.allocated),
                human::bytes(available),
                human::bytes(sum.allocated - available)
            ));
        }
        if !known && inodes > 0 && sum.inodes > inodes_free {
            out.push(format!(
                "not enough inodes for {names}: {} are needed, {inodes_free} are free; \
                 make the file system anew with more (mkfs.ext4 -N or -i)",
                sum.inodes
            ));
        }
        let Survey { longest_name, largest, .. } = sum;
        if longest_name.size > name_max {
            out.push(format!(
                "{names}: a name has {} bytes, the target holds at most {name_max}: {}; \
                 rename it, leave it out, or use another file system",
                longest_name.size, longest_name.path
            ));
        }
        if let Some(most) = file_max
            && largest.size > most
        {
            out.push(format!(
                "{names}: a file has {}, the target's file system holds at most {} in one: {}; \
                 leave it out, or use another file system",
                human::bytes(largest.size),
                human::bytes(most),
                largest.path
            ));
        }
    }
    out
}
