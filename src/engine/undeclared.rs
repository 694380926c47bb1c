//! What earlier runs copied and this plan no longer declares: such entries stay on the target and are
//! reported for as long as they are there.

use super::events::kind::ProblemKind;
use super::events::problem::{Problem, Problems};
use super::journal::{Declared, Journal, JournalError, WriterHandle};
use super::mapping::index::Index;
use super::mapping::model::{Asked, Mapping};
use crate::base::path::RelPath;
use crate::engine::events::detail::{Detail, StaleCause};
use crate::sys::Errno;
use crate::sys::dir::open_target;

/// Reports every such entry; one that is gone from the target is forgotten.
pub fn report(
    plan: &Mapping,
    journal: &Journal,
    writer: &WriterHandle,
    problems: &Problems,
) -> Result<(), JournalError> {
    let reader = journal.reader()?;
    for old in from_elsewhere(plan, journal)? {
        if is_gone(plan, &old.dst) {
            writer.forget(old.dst);
            continue;
        }
        // The plan still asks for it by a pattern, which the source has nothing for any more.
        let is_asked =
            |asked: &Asked| asked.pattern.as_ref().is_some_and(|pattern| pattern.is_match(old.dst.as_path()));
        let problem = if plan.asked.iter().any(is_asked) {
            let row = reader.find_path(&old.dst)?;
            let entries = row.map_or(Ok(1), |row| reader.entries_at(&row))?;
            Problem::stale(old.dst, StaleCause::Entry, entries)
        } else {
            Problem::new(old.dst, ProblemKind::Extra, Detail::NoLongerDeclared)
        };
        problems.add(problem.in_target(&old.target));
    }
    writer.flush();
    Ok(())
}

/// The entries that the plan no longer declares, and that no outer entry copies from the same place:
/// what an outer one does copy belongs to it, and so do the rows.
pub(crate) fn from_elsewhere(plan: &Mapping, journal: &Journal) -> Result<Vec<Declared>, JournalError> {
    let index = Index::new(plan);
    let (declared, mut old) = (journal.declared()?, journal.undeclared()?);
    old.retain(|old| {
        let belongs = index.brought_to(plan, &old.dst).iter().any(|brought| brought.src == old.src);
        // If the backup is not there, the journal tells.
        let told = declared.iter().any(|outer| {
            let below = old.dst.strip_prefix(&outer.dst);
            below.is_some_and(|below| outer.src.join_path(&below) == old.src)
        });
        !belongs && !told
    });
    Ok(old)
}

/// True when the name is gone; what cannot be read counts as still there.
fn is_gone(plan: &Mapping, path: &RelPath) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.last()) else { return false };
    let stat = open_target(&plan.root, &parent).and_then(|dir| dir.stat_at(&name));
    matches!(stat, Err(Errno::NOENT | Errno::NOTDIR))
}
