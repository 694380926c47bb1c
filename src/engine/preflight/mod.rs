//! May this run start? Every refusal is found before anything is written, and
//! says what to do. Only this module makes a [`Cleared`].

mod overlap;
mod patterns;
mod place;
mod remap;

use super::groups::Groups;
use super::journal::{Declared, Location, STATE_DIR};
use super::mapping::model::{Mapping, Need, Presence, Target};
use super::survey::{Survey, survey};
use super::tree::walk::Means;
use crate::base::human;
use crate::sys::dir::{LOST_AND_FOUND, read_batches};
use crate::sys::filesystem::{Space, may_chown};
use crate::sys::root::{Root, real_path};
use crate::sys::{Errno, Op, errno_words, retry};
use overlap::StatePlace;
pub use patterns::left_out;
use place::{Place, place, places};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What the user allows beyond the safe defaults.
#[derive(Clone, Debug, Default)]
pub struct Allow {
    /// Absent critical and required entries.
    pub missing: bool,
    /// Targets that something else filled.
    pub nonempty: bool,
    /// Targets that are no mount of their own or forget at power-off.
    pub volatile: bool,
    /// What somebody has changed on the target since it was copied is replaced.
    pub overwrite: bool,
    /// Owners are not kept, so no privilege is needed.
    pub no_owner: bool,
    /// Owners get the target's numbers of their names.
    pub remap_ids: bool,
    /// The old journal is set aside.
    pub restart: bool,
    /// Mounts inside the source are entered.
    pub cross_mounts: bool,
    /// Where the journal lives, instead of the target file system.
    pub state: Option<PathBuf>,
}

/// A plan that may be copied.
#[derive(Debug)]
pub struct Cleared {
    plan: Mapping,
    source: Arc<Root>,
    size: Size,
    journal: Location,
    notes: Vec<String>,
    remap_ids: bool,
    groups: Arc<Groups>,
    known: Vec<bool>,
}

/// How much there is to copy.
#[derive(Debug)]
pub enum Size {
    /// A survey for each target.
    Surveyed(Vec<Survey>),
    /// What the last run counted, which came to its end: a second look at every
    /// entry would take as long as skipping it.
    Past {
        /// Entries.
        entries: u64,
        /// Bytes with data.
        bytes: u64,
    },
}

impl Size {
    /// Entries and bytes with data, for progress.
    #[must_use]
    pub fn sums(&self) -> (u64, u64) {
        match self {
            Self::Surveyed(surveys) => {
                (surveys.iter().map(|s| s.entries).sum(), surveys.iter().map(|s| s.bytes.min(s.allocated)).sum())
            }
            Self::Past { entries, bytes } => (*entries, *bytes),
        }
    }
}

impl Cleared {
    /// The plan, its opened source, how much there is, and the journal's place.
    #[must_use]
    pub fn into_parts(self) -> (Mapping, Arc<Root>, Size, Location) {
        (self.plan, self.source, self.size, self.journal)
    }

    /// True when owners get the target's numbers: by this run's wish or an earlier one's.
    #[must_use]
    pub fn remap_ids(&self) -> bool {
        self.remap_ids
    }

    /// Which names are links of one another.
    #[must_use]
    pub fn groups(&self) -> Arc<Groups> {
        Arc::clone(&self.groups)
    }

    /// For each target of the plan, whether an earlier run had anything to copy there.
    #[must_use]
    pub fn known(&self) -> &[bool] {
        &self.known
    }

    /// The journal's place.
    #[must_use]
    pub fn journal(&self) -> &Location {
        &self.journal
    }

    /// What was odd, but no reason to refuse.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Mapping {
        &self.plan
    }

    /// The backup tree.
    #[must_use]
    pub fn source(&self) -> &Root {
        &self.source
    }

    /// The survey for each target; none if the last run's counts were enough.
    #[must_use]
    pub fn surveys(&self) -> &[Survey] {
        match &self.size {
            Size::Surveyed(surveys) => surveys,
            Size::Past { .. } => &[],
        }
    }
}

/// Reasons not to start; each is a sentence or two, the last one advice.
pub type Refusals = Vec<String>;

/// What a caller finds in the source that the engine does not know of.
#[derive(Debug)]
pub enum Finding {
    /// Nothing may be copied.
    Refusal(String),
    /// It may be copied, and this is worth knowing.
    Note(String),
}

/// Looks for such a thing in the opened source.
pub type Look = fn(&Mapping, &Root) -> Option<Finding>;

/// Looks at everything and clears the plan or says why not. `survey_always`, or the
/// counts of the last run do where that came to its end.
pub fn check(plan: Mapping, allow: &Allow, means: Means, survey_always: bool, look: Look) -> Result<Cleared, Refusals> {
    let mut refusals = Vec::new();
    let source = match open_source(&plan) {
        Ok(source) => Some(source),
        Err(refusal) => {
            refusals.push(refusal);
            None
        }
    };
    if !allow.no_owner && !may_chown() {
        refusals.push("owners cannot be set without root; run as root, or pass --no-owner to leave them".into());
    }
    refusals.extend(missing(&plan, allow));
    let mut notes = Vec::new();
    match source.as_ref().and_then(|source| look(&plan, source)) {
        Some(Finding::Refusal(refusal)) => refusals.push(refusal),
        Some(Finding::Note(note)) => notes.push(note),
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
    // Before anything is asked of a database that somebody may be writing.
    match journal.holder() {
        Ok(None) => {}
        Ok(Some(holder)) => {
            refusals.push(format!("another run of this plan is alive ({holder}); wait for it or stop it with SIGINT"));
            return Err(refusals);
        }
        Err(error) => refusals.push(error.to_string()),
    }
    let mut damaged = false;
    let declared = match journal.declared() {
        Ok(declared) => declared,
        // Set aside as it is. What it knew is lost, but not that there was a journal of this plan.
        Err(_) if allow.restart => {
            damaged = true;
            Vec::new()
        }
        Err(error) => return Err(vec![error.to_string()]),
    };
    // A --restart that was cut off has left a journal that knows nothing, beside the one that did.
    damaged |= declared.is_empty() && journal.was_set_aside().map_err(|error| vec![error.to_string()])?;
    if !allow.restart {
        refusals.extend(remapped(&plan, &declared));
    }
    // What was begun with --remap-ids goes on so: half of the owners would be wrong otherwise.
    let mut remap_ids = allow.remap_ids;
    if !allow.restart && !remap_ids {
        remap_ids = journal.remapped_ids().map_err(|error| vec![error.to_string()])?;
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
            // A run that only says what it would do needs no more than to read.
            let read_only = place.read_only(&plan, target);
            if survey_always { notes.extend(read_only) } else { refusals.extend(read_only) }
        }
    }
    let Some(source) = source.filter(|_| refusals.is_empty()).map(Arc::new) else { return Err(refusals) };
    let groups = match Groups::of(&plan, &source, means, allow.cross_mounts, !allow.no_owner) {
        Ok(groups) => Arc::new(groups),
        Err(contradictions) => return Err(contradictions),
    };
    if known
        && !survey_always
        && let Some((entries, bytes)) = last_totals(&plan, &journal, &declared)
    {
        let size = Size::Past { entries, bytes };
        return Ok(Cleared { plan, source, size, journal, notes, remap_ids, groups, known: known_targets });
    }
    let surveys = survey(&plan, &source, means, allow.cross_mounts);
    refusals.extend(capacity(&plan, &surveys, &places, known));
    let size = Size::Surveyed(surveys);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    Ok(Cleared { plan, source, size, journal, notes, remap_ids, groups, known: known_targets })
}

/// The counts of the last run of just these entries, if it came to its end.
fn last_totals(plan: &Mapping, journal: &Location, declared: &[Declared]) -> Option<(u64, u64)> {
    let mut entries = plan.targets.iter().flat_map(|t| &t.entries);
    if !entries.all(|e| declared.iter().any(|d| d.dst == e.dst)) {
        return None;
    }
    // A journal that does not answer is surveyed for, and the run says why it fails.
    journal.read().ok()??.last_totals().ok()?
}

/// The journal's place, for runs that only read it.
pub fn journal_of(plan: &Mapping, allow: &Allow) -> Result<Location, Refusals> {
    let mut refusals = Vec::new();
    let places = places(plan, &mut refusals);
    if refusals.is_empty() || allow.state.is_some() {
        location(plan, allow, &places).map_err(|refusal| vec![refusal])
    } else {
        // Elsewhere there may be another journal, or none.
        Err(refusals)
    }
}

fn open_source(plan: &Mapping) -> Result<Root, String> {
    let shown = plan.source.display();
    let root = Root::open(&plan.source)
        .map_err(|e| format!("the source {shown} cannot be opened: {}; mount the backup there", errno_words(e)))?;
    let mut empty = true;
    read_batches(&root, 16, |batch| {
        empty &= batch.iter().all(|e| e.name.as_bytes() == LOST_AND_FOUND);
        false
    })
    .map_err(|e| format!("the source {shown} cannot be read: {}", errno_words(e)))?;
    if empty {
        return Err(format!("the source {shown} is empty; mount the backup there, or name it with --source"));
    }
    Ok(root)
}

fn missing(plan: &Mapping, allow: &Allow) -> Option<String> {
    let mut lines = Vec::new();
    let mut refuse = false;
    for entry in plan.targets.iter().flat_map(|t| &t.entries) {
        let need = entry.need.word();
        match &entry.presence {
            Presence::Absent => {
                refuse |= entry.need >= Need::Required;
                lines.push(format!("  {need:<11} {}", entry.src));
            }
            Presence::WrongKind { found } => {
                refuse = true;
                lines.push(format!("  {need:<11} {} is {found} in the backup, not what the plan declares", entry.src));
            }
            Presence::Present | Presence::Unreadable { .. } => {}
        }
    }
    (refuse && !allow.missing).then(|| {
        format!(
            "the backup {} lacks entries of the plan:\n{}\n  find them, take them out of the plan, or pass --allow-missing",
            plan.source.display(),
            lines.join("\n")
        )
    })
}

/// Entries that an earlier run copied from elsewhere, or to elsewhere: going on
/// would leave two halves of two mappings.
fn remapped(plan: &Mapping, declared: &[Declared]) -> Refusals {
    let entries: Vec<_> = plan.targets.iter().flat_map(|t| &t.entries).collect();
    let mut changed = Vec::new();
    for old in declared {
        if let Some(now) = entries.iter().find(|e| e.dst == old.dst && e.src != old.src) {
            changed.push(format!("  {} came from {}, the plan says {}", old.dst, old.src, now.src));
        } else if let Some(now) = entries.iter().find(|e| e.src == old.src)
            && !entries.iter().any(|e| e.src == old.src && e.dst == old.dst)
        {
            changed.push(format!("  {} went to {}, the plan says {}", old.src, old.dst, now.dst));
        }
    }
    if changed.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "earlier runs of this plan mapped entries otherwise:\n{}\n  change the plan back, or pass --restart to copy \
         everything anew (what is on the target stays)",
        changed.join("\n")
    )]
}

/// The device number of the file system that a target lies on, or why it cannot be told.
pub fn device(plan: &Mapping, target: &Target) -> Result<u64, String> {
    place(plan, target).map(|place| place.dev)
}

/// The device number of the file system that a target lies on, and what it has.
#[must_use]
pub fn room(plan: &Mapping, target: &Target) -> Option<(u64, Space)> {
    place(plan, target).ok().map(|place| (place.dev, place.space))
}

/// Bytes and inodes, summed for each file system, and names and files that it cannot hold.
fn capacity(plan: &Mapping, surveys: &[Survey], places: &[Option<Place>], known: bool) -> Refusals {
    let mut out = Vec::new();
    let mut sums: BTreeMap<u64, (Survey, &Place, Vec<&str>)> = BTreeMap::new();
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
        // A resume has part of this behind it; a disk that fills up stops it cleanly.
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

/// Where the journal is: `--state`, or the usual place.
fn location(plan: &Mapping, allow: &Allow, places: &[Option<Place>]) -> Result<Location, String> {
    let directory = match &allow.state {
        Some(state) => state.clone(),
        None => usual_state(plan, places)?,
    };
    Ok(Location::new(directory, &plan.name))
}

/// `.persistcp` at the top of the first target's file system, as far as that lies below
/// the root; else at the root.
fn usual_state(plan: &Mapping, places: &[Option<Place>]) -> Result<PathBuf, String> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let root = match retry(Op::Open, || rustix::fs::open(&plan.root, flags, rustix::fs::Mode::empty())) {
        Ok(fd) => real_path(&fd),
        // A root that is not there has been refused, or was opened when its places were looked at.
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(plan.root.clone()),
        Err(errno) => Err(errno),
    };
    // Another place would be another journal, which knows nothing of what was copied.
    let root = root.map_err(|e| format!("the root {} cannot be looked at: {}", plan.root.display(), errno_words(e)))?;
    let first = places.iter().flatten().next();
    let point = first.and_then(|p| p.mount.as_ref()).map(|m| m.point.clone());
    let above = point.filter(|point| point.starts_with(&root)).unwrap_or(root);
    Ok(above.join(STATE_DIR))
}
