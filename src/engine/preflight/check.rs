//! All of preflight in its order: the cheapest and the worst come first.

use super::allow::{Allow, Look, Purpose, Refusals, SourceFinding};
use super::capacity::capacity;
use super::cleared::{Cleared, ClearedParts, Size};
use super::entries::{missing, quiet_journal, remapped};
use super::in_use;
use super::overlap::{self, StatePlace};
use super::place::{TargetPlace, destination, places};
use super::remap;
use super::state::{location, usual_state};
use crate::engine::events::note::Note;
use crate::engine::events::refusal::Refusal;
use crate::engine::groups::Groups;
use crate::engine::journal::{Declared, Location};
use crate::engine::mapping::model::{Mapping, Target};
use crate::engine::survey::{SurveyScope, survey};
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
    let mut preflight = PreflightCheck { plan: &plan, allow, means, purpose, refusals: Vec::new(), notes: Vec::new() };
    let source = preflight.source(look);
    let places = places(&plan, &mut preflight.refusals);
    let journal = location(&plan, allow, &places).map_err(|refusal| preflight.refused(refusal))?;
    let mut in_place = false;
    if let Some(source) = source.as_ref().filter(|_| preflight.refusals.is_empty()) {
        in_place = preflight.overlaps(source, &journal, &places)?;
    }
    // Must come before reading a database that somebody may be writing.
    preflight.other_run(&journal)?;
    let earlier = preflight.earlier_runs(&journal)?;
    if earlier.remap_ids {
        preflight.refusals.extend(remap::refusals(&plan, source.as_ref()));
    }
    preflight.targets(&places, &earlier);
    let Some(source) = source.filter(|_| preflight.refusals.is_empty()).map(Arc::new) else {
        return Err(preflight.refusals);
    };
    preflight.notes.extend(in_use::notes(&plan, &source, allow.cross_mounts));
    let groups = Groups::of(&plan, &source, means, allow.cross_mounts, !allow.no_owner)
        .map_err(|contradictions| contradictions.into_iter().map(Refusal::Contradiction).collect::<Refusals>())?;
    let size = preflight.size(&source, &earlier, &places)?;
    let known = plan.targets.iter().map(|target| !allow.restart && earlier.declared_in(target)).collect();
    let (notes, remap_ids, groups) = (preflight.notes, earlier.remap_ids, Arc::new(groups));
    Ok(Cleared::new(ClearedParts { mapping: plan, source, size, journal, notes, remap_ids, groups, known, in_place }))
}

/// The question, and what was found so far.
struct PreflightCheck<'a> {
    plan: &'a Mapping,
    allow: &'a Allow,
    means: WalkOptions,
    purpose: Purpose,
    refusals: Refusals,
    notes: Vec<Note>,
}

/// What the journal knows.
struct EarlierRuns<'a> {
    journal: &'a Location,
    declared: Vec<Declared>,
    /// There was a journal of this plan whose content is lost.
    lost: bool,
    /// Owners get the target's numbers.
    remap_ids: bool,
}

impl EarlierRuns<'_> {
    /// True if they had an entry in this target.
    fn declared_in(&self, target: &Target) -> bool {
        self.declared.iter().any(|declared| declared.dst.strip_prefix(&target.to).is_some())
    }
}

impl PreflightCheck<'_> {
    /// All refusals so far, and this one.
    fn refused(&mut self, refusal: Refusal) -> Refusals {
        self.refusals.push(refusal);
        std::mem::take(&mut self.refusals)
    }

    /// The source, if it can be opened; it has what the plan needs, and the caller may copy it.
    fn source(&mut self, look: Look) -> Option<Root> {
        let source = open_source(self.plan).map_err(|refusal| self.refusals.push(refusal)).ok();
        if !self.allow.no_owner && !may_chown() {
            self.refusals.push(Refusal::NotRoot);
        }
        self.refusals.extend(missing(self.plan, self.allow, || quiet_journal(self.plan, self.allow)));
        match source.as_ref().and_then(|source| look(self.plan, source)) {
            Some(SourceFinding::Refusal(refusal)) => self.refusals.push(refusal),
            Some(SourceFinding::Note(note)) => self.notes.push(note),
            None => {}
        }
        source
    }

    /// Source, targets and journal do not contain each other. True when some of the target is in its
    /// place already, or may be.
    fn overlaps(&self, source: &Root, journal: &Location, places: &[Option<TargetPlace>]) -> Result<bool, Refusals> {
        let usual = usual_state(self.plan, places).map_err(|refusal| vec![refusal])?;
        let state = StatePlace { directory: journal.directory(), is_usual: journal.directory() == usual };
        overlap::look(self.plan, source, &state, self.allow.cross_mounts)
    }

    /// No other run of the plan is alive.
    fn other_run(&mut self, journal: &Location) -> Result<(), Refusals> {
        match journal.holder() {
            Ok(None) => {}
            Ok(Some(holder)) => return Err(self.refused(Refusal::Alive(holder))),
            Err(error) => self.refusals.push(Refusal::Journal(error)),
        }
        Ok(())
    }

    fn earlier_runs<'j>(&mut self, journal: &'j Location) -> Result<EarlierRuns<'j>, Refusals> {
        let unread = |error| vec![Refusal::Journal(error)];
        let (declared, mut lost) = match journal.declared() {
            Ok(declared) => (declared, false),
            // It is set aside as it is. Its content is lost, but not that there was a journal of this plan.
            Err(_) if self.allow.restart => (Vec::new(), true),
            Err(error) => return Err(unread(error)),
        };
        // An interrupted --restart left an empty journal beside the old one.
        lost |= declared.is_empty() && journal.was_set_aside().map_err(unread)?;
        let mut remap_ids = self.allow.remap_ids;
        if !self.allow.restart {
            self.refusals.extend(remapped(self.plan, &declared));
            // Once begun, --remap-ids stays: half of the owners would be wrong otherwise.
            remap_ids = remap_ids || journal.remapped_ids().map_err(unread)?;
        }
        Ok(EarlierRuns { journal, declared, lost, remap_ids })
    }

    /// Every target may be written to.
    fn targets(&mut self, places: &[Option<TargetPlace>], earlier: &EarlierRuns<'_>) {
        for (target, place) in self.plan.targets.iter().zip(places) {
            let Some(place) = place else { continue };
            let ours = earlier.lost || earlier.declared_in(target);
            self.refusals.extend(place.refusals(self.plan, target, self.allow, ours));
            let Some(point) = place.read_only() else { continue };
            let shown = destination(self.plan, &target.to);
            // A dry run only needs to read.
            match self.purpose {
                Purpose::DryRun => self.notes.push(Note::ReadOnlyTarget(shown, point)),
                Purpose::Copy => self.refusals.push(Refusal::ReadOnly(shown, point)),
            }
        }
    }

    /// How much there is to copy; there must be room for it.
    fn size(
        &self,
        source: &Arc<Root>,
        earlier: &EarlierRuns<'_>,
        places: &[Option<TargetPlace>],
    ) -> Result<Size, Refusals> {
        let known = !earlier.declared.is_empty() && !self.allow.restart;
        if known
            && self.purpose == Purpose::Copy
            && let Some((entries, bytes)) = last_totals(self.plan, earlier)
        {
            return Ok(Size::Past { entries, bytes });
        }
        let Allow { cross_mounts, reflink, .. } = *self.allow;
        let surveys = survey(self.plan, source, SurveyScope { means: self.means, cross_mounts, reflink });
        let refusals = capacity(self.plan, &surveys, places, known);
        if refusals.is_empty() { Ok(Size::Surveyed(surveys)) } else { Err(refusals) }
    }
}

/// The counts of the last run of exactly these entries, if it finished.
fn last_totals(plan: &Mapping, earlier: &EarlierRuns<'_>) -> Option<(u64, u64)> {
    let mut entries = plan.targets.iter().flat_map(|t| &t.entries);
    if !entries.all(|e| earlier.declared.iter().any(|d| d.dst == e.dst)) {
        return None;
    }
    // If the journal does not answer, the source is surveyed; the run will report why it fails.
    earlier.journal.read().ok()??.last_totals().ok()?
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
