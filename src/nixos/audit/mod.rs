//! `persistcp audit`: what would be lost. Read only.
//!
//! Three questions: what does the plan declare that the backup does not have; what
//! does the backup have that looks like state and is not declared; and what is on the target that
//! the plan does not declare.

mod accounts;
mod boundary;
mod collapse;
mod coverage;
mod finding;
mod here;
mod json;
pub mod knowledge;
mod listing;
mod outcome;
mod suggest;
mod sum;
mod tally;
mod text;
mod units;
mod verdict;

pub use finding::{Finding, FindingKind};
pub use json::json;
pub use outcome::{Audit, DestinationSeen, OnTarget};
pub use suggest::suggest;
pub use sum::Total;
pub use tally::{LeftOutTotal, Listing, PlaceReport, Standings};
pub use text::text;

use crate::base::path::RelPath;
use crate::engine::mapping::model::{EntryKind, Mapping, Target};
use crate::engine::tree::node::ENTRY;
use crate::engine::tree::walk::{Start, WalkOptions, walk};
use crate::nixos::homes;
use crate::sys::dir::SourceDir;
use crate::sys::root::Root;
use crate::sys::stat::stat_fd;
use crate::sys::{Errno, errno_words};
use accounts::Accounts;
use collapse::{Collapse, Collapsed};
use coverage::Coverage;
use knowledge::Knowledge;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
pub(in crate::nixos) use units::Units;
use verdict::{Given, WalkedTree};

/// Why an audit failed.
#[derive(Debug, thiserror::Error)]
#[error("the source {} cannot be read: {}", source_path.display(), errno_words(*errno))]
pub struct AuditError {
    source_path: PathBuf,
    errno: Errno,
}

/// Audits the source of `plan` and its destinations.
pub fn audit(plan: Mapping, means: WalkOptions, listing: Listing) -> Result<Audit, AuditError> {
    let failed = |errno| AuditError { source_path: plan.source.clone(), errno };
    let source = Arc::new(Root::open(&plan.source).map_err(failed)?);
    let accounts = Accounts::read(&source);
    let units = Units::read(&source);
    let homes: Vec<RelPath> = plan.targets.iter().filter_map(homes::elsewhere).cloned().collect();
    let knowledge = Knowledge::new(units.directories, &homes);
    let coverage = Coverage::of_source(&plan);
    let storage = storage(&plan);
    let dev = stat_fd(&source).map_err(failed)?.dev;
    let backup = Given {
        side: WalkedTree::Backup,
        plan: &plan,
        root: &source,
        dev,
        coverage: &coverage,
        knowledge: &knowledge,
        accounts: &accounts,
        storage: &storage,
        listing,
    };
    let Collapsed { findings, left_out, areas, not_entered, mut unread, unread_count, links_counted_again } =
        look(&source, backup, &RelPath::root(), means).map_err(failed)?;
    let unread_count = unread_count + units.unread.len() as u64;
    unread.extend(units.unread);
    let on_target = on_target(&plan, &accounts, means);
    Ok(Audit {
        findings,
        left_out,
        areas,
        not_entered,
        unread,
        unread_count,
        unit_files: units.files,
        links_counted_again,
        on_target,
        plan,
        listing,
        accounts,
    })
}

/// Walks everything below `path`.
fn look(root: &Arc<Root>, given: Given<'_>, path: &RelPath, means: WalkOptions) -> Result<Collapsed, Errno> {
    let fd = root.open_in(path, ENTRY)?;
    let stat = stat_fd(&fd)?;
    let collapse = Collapse::new(given);
    let place = collapse.start(path, &stat);
    walk(root, vec![Start { path: path.clone(), dir: SourceDir::from_fd(fd), stat, place }], &collapse, means);
    Ok(collapse.finish())
}

/// The destinations that exist already: they may be inside the source.
fn storage(plan: &Mapping) -> HashSet<(u64, u64)> {
    let Ok(root) = Root::open(&plan.root) else { return HashSet::new() };
    let areas = plan.targets.iter().filter(|target| !is_tree(target));
    areas
        .filter_map(|target| root.open_in(&target.to, ENTRY).and_then(stat_fd).ok())
        .map(|stat| (stat.dev, stat.ino))
        .collect()
}

fn is_tree(target: &Target) -> bool {
    target.entries.iter().any(|entry| entry.kind == EntryKind::Tree)
}

fn on_target(plan: &Mapping, accounts: &Accounts, means: WalkOptions) -> Vec<OnTarget> {
    let root = Root::open(&plan.root).map(Arc::new);
    let coverage = Coverage::of_target(plan);
    let knowledge = Knowledge::none();
    let nothing = HashSet::new();
    let see = |(index, target): (usize, &Target)| {
        let outer = plan.targets.iter().enumerate().any(|(i, other)| {
            target.to.strip_prefix(&other.to).is_some_and(|below| i < index || !below.is_root()) && i != index
        });
        if outer || is_tree(target) {
            return DestinationSeen::Covered;
        }
        let root = match &root {
            Ok(root) => root,
            Err(errno) => return DestinationSeen::Unreadable(errno_words(*errno)),
        };
        let given = |dev| Given {
            side: WalkedTree::Target,
            plan,
            root,
            dev,
            coverage: &coverage,
            knowledge: &knowledge,
            accounts,
            storage: &nothing,
            listing: Listing::Summary,
        };
        let dev = root.open_in(&target.to, ENTRY).and_then(stat_fd).map(|stat| stat.dev);
        match dev.and_then(|dev| look(root, given(dev), &target.to, means)) {
            Ok(seen) => match seen.unread.first() {
                Some((path, why)) => DestinationSeen::Unreadable(format!("{path}: {why}")),
                None => DestinationSeen::Undeclared { list: seen.findings, not_entered: seen.not_entered },
            },
            Err(Errno::NOENT | Errno::NOTDIR) => DestinationSeen::Absent,
            Err(errno) => DestinationSeen::Unreadable(errno_words(errno)),
        }
    };
    let name = |target: &Target, seen| OnTarget { name: target.name.clone(), to: target.to.clone(), seen };
    plan.targets.iter().enumerate().map(|(i, target)| name(target, see((i, target)))).collect()
}
