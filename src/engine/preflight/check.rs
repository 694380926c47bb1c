//! All of preflight in its order: the cheapest and the worst come first.

use super::allow::{Allow, Look, Purpose, Refusals, SourceFinding};
use super::capacity::capacity;
use super::cleared::{Cleared, ClearedParts, Size};
use super::entries::{missing, remapped};
use super::overlap::{self, StatePlace};
use super::place::{destination, places};
use super::remap;
use super::state::{location, usual_state};
use crate::engine::events::note::Note;
use crate::engine::events::refusal::Refusal;
use crate::engine::groups::Groups;
use crate::engine::journal::{Declared, Location};
use crate::engine::mapping::model::{Mapping, Target};
use crate::engine::survey::survey;
use crate::engine::tree::walk::WalkOptions;
use crate::sys::dir::{LOST_AND_FOUND, read_batches};
use crate::sys::filesystem::may_chown;
use crate::sys::root::Root;
use std::sync::Arc;

/// Checks everything and clears the plan or says why not.
pub fn check(
    plan: Mapping,
    allow: &Allow,
    means: WalkOptions,
    purpose: Purpose,
    look: Look,
) -> Result<Cleared, Refusals> {
    let mut refusals = Vec::new();
    let source = match open_source(&plan) {
        Ok(source) => Some(source),
        Err(refusal) => {
            refusals.push(refusal);
            None
        }
    };
    if !allow.no_owner && !may_chown() {
        refusals.push(Refusal::NotRoot);
    }
    refusals.extend(missing(&plan, allow));
    let mut notes = Vec::new();
    match source.as_ref().and_then(|source| look(&plan, source)) {
        Some(SourceFinding::Refusal(refusal)) => refusals.push(refusal),
        Some(SourceFinding::Note(note)) => notes.push(note),
        None => {}
    }
    let places = places(&plan, &mut refusals);
    let journal = match location(&plan, allow, &places) {
        Ok(journal) => journal,
        Err(refusal) => {
            refusals.push(refusal);
            return Err(refusals);
        }
    };
    if let Some(source) = &source
        && refusals.is_empty()
    {
        let usual = usual_state(&plan, &places).map_err(|refusal| vec![refusal])?;
        let state = StatePlace { directory: journal.directory(), is_usual: journal.directory() == usual };
        refusals.extend(overlap::refusals(&plan, source, &state, allow.cross_mounts));
        if !refusals.is_empty() {
            return Err(refusals);
        }
    }
    // Must come before reading a database that somebody may be writing.
    match journal.holder() {
        Ok(None) => {}
        Ok(Some(holder)) => {
            refusals.push(Refusal::Alive(holder));
            return Err(refusals);
        }
        Err(error) => refusals.push(Refusal::Journal(error)),
    }
    let mut damaged = false;
    let declared = match journal.declared() {
        Ok(declared) => declared,
        // It is set aside as it is. Its content is lost, but not that there was a journal of this plan.
        Err(_) if allow.restart => {
            damaged = true;
            Vec::new()
        }
        Err(error) => return Err(vec![Refusal::Journal(error)]),
    };
    // An interrupted --restart left an empty journal beside the old one.
    damaged |= declared.is_empty() && journal.was_set_aside().map_err(|error| vec![Refusal::Journal(error)])?;
    if !allow.restart {
        refusals.extend(remapped(&plan, &declared));
    }
    // Once begun, --remap-ids stays: half of the owners would be wrong otherwise.
    let mut remap_ids = allow.remap_ids;
    if !allow.restart && !remap_ids {
        remap_ids = journal.remapped_ids().map_err(|error| vec![Refusal::Journal(error)])?;
    }
    if remap_ids {
        refusals.extend(remap::refusals(&plan, source.as_ref()));
    }
    let is_known = |target: &Target| declared.iter().any(|d| d.dst.strip_prefix(&target.to).is_some());
    let known_targets: Vec<bool> = plan.targets.iter().map(|t| !allow.restart && is_known(t)).collect();
    let known = !declared.is_empty() && !allow.restart;
    for (target, place) in plan.targets.iter().zip(&places) {
        if let Some(place) = place {
            let ours = damaged || is_known(target);
            refusals.extend(place.refusals(&plan, target, allow, ours));
            // A dry run only needs to read.
            let read_only = place.read_only().map(|point| (destination(&plan, &target.to), point));
            match purpose {
                Purpose::DryRun => notes.extend(read_only.map(|(target, point)| Note::ReadOnlyTarget(target, point))),
                Purpose::Copy => refusals.extend(read_only.map(|(target, point)| Refusal::ReadOnly(target, point))),
            }
        }
    }
    let Some(source) = source.filter(|_| refusals.is_empty()).map(Arc::new) else { return Err(refusals) };
    let groups = match Groups::of(&plan, &source, means, allow.cross_mounts, !allow.no_owner) {
        Ok(groups) => Arc::new(groups),
        Err(contradictions) => return Err(contradictions.into_iter().map(Refusal::Contradiction).collect()),
    };
    let last = if known && purpose == Purpose::Copy { last_totals(&plan, &journal, &declared) } else { None };
    let size = match last {
        Some((entries, bytes)) => Size::Past { entries, bytes },
        None => {
            let surveys = survey(&plan, &source, means, allow.cross_mounts);
            refusals.extend(capacity(&plan, &surveys, &places, known));
            Size::Surveyed(surveys)
        }
    };
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let known = known_targets;
    Ok(Cleared::new(ClearedParts { mapping: plan, source, size, journal, notes, remap_ids, groups, known }))
}

/// The counts of the last run of exactly these entries, if it finished.
fn last_totals(plan: &Mapping, journal: &Location, declared: &[Declared]) -> Option<(u64, u64)> {
    let mut entries = plan.targets.iter().flat_map(|t| &t.entries);
    if !entries.all(|e| declared.iter().any(|d| d.dst == e.dst)) {
        return None;
    }
    // If the journal does not answer, the source is surveyed; the run will report why it fails.
    journal.read().ok()??.last_totals().ok()?
}

fn open_source(plan: &Mapping) -> Result<Root, Refusal> {
    let shown = || plan.source.clone();
    let root = Root::open(&plan.source).map_err(|errno| Refusal::SourceUnopened(shown(), errno))?;
    let mut empty = true;
    read_batches(&root, 16, |batch| {
        empty &= batch.iter().all(|e| e.name.as_bytes() == LOST_AND_FOUND);
        false
    })
    .map_err(|errno| Refusal::SourceUnread(shown(), errno))?;
    if empty {
        return Err(Refusal::SourceEmpty(shown()));
    }
    Ok(root)
}
