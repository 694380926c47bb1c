//! What one entry of the backup is: declared, no loss, or a finding.

use super::accounts::Accounts;
use super::coverage::{Coverage, CoveragePoint};
use super::here::{Here, HereStatus};
use super::knowledge::{By, Knowledge, LeftOutReason, Match, Meaning, RuleStep};
use super::tally::Listing;
use crate::base::path::Name;
use crate::engine::mapping::model::Mapping;
use crate::sys::dir::{LOST_AND_FOUND, SourceDir};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat};
use std::collections::HashSet;

/// Which tree is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WalkedTree {
    /// The backup: what the table leaves out is no loss.
    Backup,
    /// A destination: everything that is not declared is reported.
    Target,
}

/// What the walk is given.
pub(super) struct Given<'a> {
    pub(super) side: WalkedTree,
    pub(super) plan: &'a Mapping,
    pub(super) root: &'a Root,
    /// Device of the root itself.
    pub(super) dev: u64,
    pub(super) coverage: &'a Coverage,
    pub(super) knowledge: &'a Knowledge,
    pub(super) accounts: &'a Accounts,
    /// Device and inode of the plan's destinations.
    pub(super) storage: &'a HashSet<(u64, u64)>,
    pub(super) listing: Listing,
}

/// What one entry is.
#[derive(Clone, Copy)]
pub(super) enum Verdict {
    Declared(usize),
    LeftOut(LeftOutReason),
    /// A part of the finding that its directory is part of.
    Part,
    /// A finding of its own.
    Finding(Option<usize>),
    /// A file of an open directory.
    Loose(Option<usize>),
    Open(Option<Match>),
}

/// Directories with these names are caches if they have a CACHEDIR.TAG.
const BUILT: [&[u8]; 6] = [b"target", b"build", b".venv", b"venv", b"zig-cache", b".zig-cache"];

impl Given<'_> {
    /// What the entry `name` of `above` is.
    pub(super) fn judge(
        &self,
        above: &Here,
        dir: &SourceDir,
        (name, stat): (&Name, &Stat),
        (cover, step): (Option<CoveragePoint>, &RuleStep),
    ) -> Verdict {
        let is_dir = stat.kind == Kind::Directory;
        let meaning = |rule: usize| self.knowledge.rule(rule).meaning;
        let leaves = |rule: usize| match meaning(rule) {
            Meaning::Leave(reason) => Some(reason),
            Meaning::State(..) => None,
        };
        // The store is not entered, whether or not the plan has it.
        let by_rule = step.matched.and_then(|matched| leaves(matched.rule));
        if by_rule == Some(LeftOutReason::Nix) {
            return Verdict::LeftOut(LeftOutReason::Nix);
        }
        if let Some(target) = cover.and_then(|at| self.coverage.entry(at)) {
            return Verdict::Declared(target);
        }
        let on_way = is_dir && cover.is_some();
        match &above.status {
            HereStatus::Declared(target) => {
                let excluded = self.side == WalkedTree::Backup
                    && self.plan.targets[*target].excludes_in_source(&above.path, name, stat.kind);
                return if excluded { Verdict::LeftOut(LeftOutReason::Excluded) } else { Verdict::Declared(*target) };
            }
            HereStatus::LeftOut(reason) => return Verdict::LeftOut(*reason),
            HereStatus::Open(..) | HereStatus::Part(_) => {}
        }
        let anywhere = self.knowledge.anywhere(name);
        let named = step.matched.filter(|matched| matched.by != By::Anything);
        if !on_way {
            let without = self.no_content(above, dir, name, stat);
            let reason = without.or(named.and(by_rule)).or_else(|| anywhere.and_then(leaves));
            if let Some(reason) = reason.or_else(|| is_cache(dir, name, is_dir)) {
                return Verdict::LeftOut(reason);
            }
        }
        let inherited = match &above.status {
            HereStatus::Part(live) => {
                named.map(|matched| matched.rule).into_iter().chain(anywhere).for_each(|rule| live.sign(rule));
                return Verdict::Part;
            }
            HereStatus::Open(inherited, _) => *inherited,
            HereStatus::Declared(_) | HereStatus::LeftOut(_) => None,
        };
        let sign = anywhere.filter(|rule| leaves(*rule).is_none()).map(|rule| Match { rule, by: By::Name });
        let matched = named.or(sign).or(step.matched).or(inherited);
        let rule = matched.map(|matched| matched.rule);
        if let Some(reason) = rule.and_then(leaves).filter(|_| !on_way) {
            return Verdict::LeftOut(reason);
        }
        if is_dir {
            let whole = named.or(sign).is_some_and(|matched| matched.by == By::Name);
            return if on_way || step.onward && !whole { Verdict::Open(matched) } else { Verdict::Finding(rule) };
        }
        if stat.kind == Kind::File && stat.size == 0 && self.side == WalkedTree::Backup {
            return Verdict::LeftOut(LeftOutReason::Empty);
        }
        if named.is_some() && self.accounts.remakes(&above.path.join(name)) {
            return Verdict::LeftOut(LeftOutReason::Generated);
        }
        if named.is_some() { Verdict::Finding(rule) } else { Verdict::Loose(rule) }
    }

    /// What holds no data, going by its kind or its text.
    fn no_content(&self, above: &Here, dir: &SourceDir, name: &Name, stat: &Stat) -> Option<LeftOutReason> {
        if self.side == WalkedTree::Target {
            let ours = name.as_bytes().starts_with(b".persistcp") || name.as_bytes() == LOST_AND_FOUND;
            return ours.then_some(LeftOutReason::Generated);
        }
        let bytes = name.as_bytes();
        match stat.kind {
            Kind::Directory if self.storage.contains(&(stat.dev, stat.ino)) => Some(LeftOutReason::Storage),
            Kind::Socket | Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => Some(LeftOutReason::NoContent),
            Kind::File if stat.size == 0 && (bytes.ends_with(b"lock") || bytes.ends_with(b".pid")) => {
                Some(LeftOutReason::NoContent)
            }
            Kind::Symlink => {
                // A link that vanished meanwhile leads nowhere either.
                let text = dir.read_link(name).unwrap_or_default();
                let generated = ["/nix/", "/etc/static", "/run/", "/var/run/", "/proc/"];
                if generated.iter().any(|start| text.starts_with(start.as_bytes())) {
                    Some(LeftOutReason::StoreLink)
                } else if above.path.as_bytes() == b"var/lib" && text.starts_with(b"private/") {
                    // systemd makes it for a service with DynamicUser.
                    Some(LeftOutReason::Generated)
                } else if bytes.ends_with(b"lock") || bytes.starts_with(b"Singleton") {
                    Some(LeftOutReason::NoContent)
                } else {
                    None
                }
            }
            Kind::File | Kind::Directory => None,
        }
    }
}

fn is_cache(dir: &SourceDir, name: &Name, is_dir: bool) -> Option<LeftOutReason> {
    let tag = Name::new(b"CACHEDIR.TAG").ok()?;
    let built = is_dir && BUILT.contains(&name.as_bytes());
    (built && dir.open_dir(name).is_ok_and(|dir| dir.stat_at(&tag).is_ok())).then_some(LeftOutReason::Cache)
}
