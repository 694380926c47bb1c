//! Duplicates and conflicts: what a plan would refuse is noted here instead.

use crate::base::path::RelPath;
use crate::nixos::import::declared::{DeclaredKind, DeclaredMode, DeclaredPath};
use crate::nixos::import::note::ImportNote;
use std::collections::{BTreeMap, HashMap};

/// Entries that fit into one plan, in the order in which they came.
#[derive(Default)]
pub(super) struct Accepted {
    entries: Vec<DeclaredPath>,
    by_live: HashMap<RelPath, usize>,
    /// By the stored path's bytes: what is below a directory follows it.
    by_stored: BTreeMap<Vec<u8>, usize>,
}

impl Accepted {
    /// Takes an entry, or says why the plan cannot have it. An exact duplicate is dropped silently: the
    /// first version of impermanence lists users' entries twice.
    pub(super) fn offer(&mut self, entry: DeclaredPath) -> Option<ImportNote> {
        let clash = |words: String| Some(ImportNote::lost(format!("{}: {words}", entry.origin)));
        let live = self.by_live.get(&entry.live).and_then(|at| self.entries.get(*at));
        let stored = self.by_stored.get(entry.stored.as_bytes()).and_then(|at| self.entries.get(*at));
        if let Some(first) = live {
            if first.stored != entry.stored {
                return clash(format!(
                    "{} is kept at {} and again at {}; the plan has the first, of {}",
                    entry.live, first.stored, entry.stored, first.origin
                ));
            }
            if said(first) != said(&entry) {
                return clash(format!(
                    "{} is declared twice and not alike, {} and {}; the plan has the first, of {}",
                    entry.live,
                    said(first),
                    said(&entry),
                    first.origin
                ));
            }
            return None;
        }
        if let Some(first) = stored {
            return clash(format!(
                "{} and {} are kept in one place, {}; the plan has the first, of {}",
                first.live, entry.live, entry.stored, first.origin
            ));
        }
        if let Some(other) = self.misplaced(&entry) {
            return clash(format!(
                "{} is kept at {}, which mixes with {} of {}, kept at {}; it is left out",
                entry.live, entry.stored, other.live, other.origin, other.stored
            ));
        }
        self.by_live.insert(entry.live.clone(), self.entries.len());
        self.by_stored.insert(entry.stored.as_bytes().to_vec(), self.entries.len());
        self.entries.push(entry);
        None
    }

    /// An entry stored above or below `entry` that is live elsewhere.
    fn misplaced(&self, entry: &DeclaredPath) -> Option<&DeclaredPath> {
        let above = std::iter::successors(entry.stored.parent(), RelPath::parent)
            .filter_map(|above| self.by_stored.get(above.as_bytes()))
            .filter_map(|at| self.entries.get(*at))
            .find(|other| !fit(other, entry));
        let first = if entry.stored.is_root() { Vec::new() } else { [entry.stored.as_bytes(), b"/"].concat() };
        let below = self.by_stored.range(first.clone()..).take_while(|(stored, _)| stored.starts_with(&first));
        above.or_else(|| below.filter_map(|(_, at)| self.entries.get(*at)).find(|other| !fit(entry, other)))
    }

    pub(super) fn entries(&self) -> &[DeclaredPath] {
        &self.entries
    }

    pub(super) fn into_entries(self) -> Vec<DeclaredPath> {
        self.entries
    }

    /// The entry that includes the live path: that path itself, or a directory above it.
    pub(super) fn covering(&self, live: &RelPath) -> Option<&DeclaredPath> {
        self.entries.iter().find(|entry| {
            entry.live == *live || (entry.kind == DeclaredKind::Directory && live.strip_prefix(&entry.live).is_some())
        })
    }
}

/// An entry stored below another one must be what the other one's copy has there.
fn fit(outer: &DeclaredPath, inner: &DeclaredPath) -> bool {
    match inner.stored.strip_prefix(&outer.stored) {
        Some(below) => inner.live.strip_prefix(&outer.live) == Some(below),
        None => true,
    }
}

/// What is declared for an entry, for comparing and for people.
fn said(entry: &DeclaredPath) -> String {
    let kind = match entry.kind {
        DeclaredKind::Directory => "a directory",
        DeclaredKind::File => "a file",
    };
    let part = |key: &str, value: Option<&str>| value.map(|value| format!(", {key} {value}")).unwrap_or_default();
    let mode = entry.mode.as_ref().map(DeclaredMode::text);
    let (owner, group) = (entry.owner.as_deref(), entry.group.as_deref());
    format!("{kind}{}{}{}", part("user", owner), part("group", group), part("mode", mode))
}
