//! What earlier runs copied and this plan no longer declares: such entries stay on the target and are
//! reported for as long as they are there.

use super::events::kind::ProblemKind;
use super::events::problem::{Problem, Problems};
use super::journal::{Journal, JournalError, WriterHandle};
use super::mapping::model::Mapping;
use crate::base::path::RelPath;
use crate::base::path_tree::PathTree;
use crate::engine::events::detail::Detail;
use crate::sys::Errno;
use crate::sys::dir::open_target;

/// Reports every such entry; one that is gone from the target is forgotten.
pub fn report(
    plan: &Mapping,
    journal: &Journal,
    writer: &WriterHandle,
    problems: &Problems,
) -> Result<(), JournalError> {
    let declared: PathTree<()> = journal.declared()?.into_iter().map(|entry| (entry.dst, ())).collect();
    for old in journal.undeclared()? {
        if declared.covers(&old.dst) {
            // It now belongs to an outer entry, and so do its rows.
            continue;
        }
        if is_gone(plan, &old.dst) {
            writer.forget(old.dst);
            continue;
        }
        problems.add(Problem::new(old.dst, ProblemKind::Extra, Detail::NoLongerDeclared).in_target(&old.target));
    }
    writer.flush();
    Ok(())
}

/// True when the name is gone; what cannot be read counts as still there.
fn is_gone(plan: &Mapping, path: &RelPath) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.last()) else { return false };
    let stat = open_target(&plan.root, &parent).and_then(|dir| dir.stat_at(&name));
    matches!(stat, Err(Errno::NOENT | Errno::NOTDIR))
}
