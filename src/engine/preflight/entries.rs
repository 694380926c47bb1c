//! Are the entries there, and are they the same as in earlier runs?

use super::allow::Allow;
use crate::engine::events::refusal::{Lacking, Refusal, Remapping};
use crate::engine::journal::Declared;
use crate::engine::mapping::model::{Mapping, Need, Presence};

pub(super) fn missing(plan: &Mapping, allow: &Allow) -> Option<Refusal> {
    let mut lacking = Vec::new();
    let mut refuse = false;
    for entry in plan.targets.iter().flat_map(|t| &t.entries) {
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
