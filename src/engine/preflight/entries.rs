//! Are the entries there, and are they the same as in earlier runs?

use super::allow::Allow;
use super::state::journal_of;
use crate::engine::events::refusal::{Lacking, Refusal, Remapping};
use crate::engine::journal::{Declared, Reader};
use crate::engine::mapping::model::{Entry, Mapping, Need, Presence};
use crate::engine::stale::is_there;

/// Refuses a plan that lacks entries that it needs. What an earlier run found in its place is not lacking
/// where the mount or symlink that led there is gone; `recorded` gives the journal, if it can be asked.
pub(super) fn missing(plan: &Mapping, allow: &Allow, recorded: impl FnOnce() -> Option<Reader>) -> Option<Refusal> {
    let mut lacking = Vec::new();
    let mut refuse = false;
    let is_absent = |entry: &Entry| entry.presence == Presence::Absent;
    let entries = || plan.targets.iter().flat_map(|t| &t.entries);
    let reader = if entries().any(is_absent) { recorded() } else { None };
    let was_in_place = |entry: &Entry| {
        let row = reader.as_ref().and_then(|reader| reader.find_path(&entry.dst).ok().flatten());
        is_absent(entry) && row.is_some_and(|row| row.was_in_place())
            || entry.is_elsewhere_in_use() && is_there(plan, &entry.dst)
    };
    for entry in entries().filter(|entry| !was_in_place(entry)) {
        let found = match &entry.presence {
            Presence::Absent => {
                refuse |= entry.need >= Need::Required;
                None
            }
            Presence::WrongKind { found } => {
                refuse = true;
                Some(*found)
            }
            Presence::Present | Presence::Unreadable { .. } => continue,
        };
        lacking.push(Lacking { need: entry.need, path: entry.src.clone(), found });
    }
    (refuse && !allow.missing).then(|| Refusal::Missing(plan.source.clone(), lacking))
}

/// The journal of earlier runs, if no other run is writing it.
pub(super) fn quiet_journal(plan: &Mapping, allow: &Allow) -> Option<Reader> {
    let location = journal_of(plan, allow).ok().filter(|_| !allow.restart)?;
    matches!(location.holder(), Ok(None)).then(|| location.read().ok().flatten()).flatten()
}

/// Entries that an earlier run copied from elsewhere, or to elsewhere: continuing would leave two
/// halves of two mappings.
pub(super) fn remapped(plan: &Mapping, declared: &[Declared]) -> Option<Refusal> {
    let entries: Vec<_> = plan.targets.iter().flat_map(|t| &t.entries).collect();
    let mut changed = Vec::new();
    for old in declared {
        if let Some(now) = entries.iter().find(|e| e.dst == old.dst && e.src != old.src) {
            changed.push(Remapping::Source(old.dst.clone(), old.src.clone(), now.src.clone()));
        } else if let Some(now) = entries.iter().find(|e| e.src == old.src)
            && !entries.iter().any(|e| e.src == old.src && e.dst == old.dst)
        {
            changed.push(Remapping::Destination(old.src.clone(), old.dst.clone(), now.dst.clone()));
        }
    }
    (!changed.is_empty()).then_some(Refusal::MappedOtherwise(changed))
}
