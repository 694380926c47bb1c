//! Are the entries there, and are they the same as in earlier runs?

use super::allow::{Allow, Refusals};
use crate::engine::journal::Declared;
use crate::engine::mapping::model::{Mapping, Need, Presence};

pub(super) fn missing(plan: &Mapping, allow: &Allow) -> Option<String> {
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

/// Entries that an earlier run copied from elsewhere, or to elsewhere: continuing would leave two
/// halves of two mappings.
pub(super) fn remapped(plan: &Mapping, declared: &[Declared]) -> Refusals {
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
