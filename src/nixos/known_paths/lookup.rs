//! The record of a path.

use super::record::{KnownPath, Sort};
use super::table::all;
use crate::base::path::RelPath;
use crate::nixos::homes;
use globset::GlobBuilder;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A live path as the table names it.
#[derive(Clone, Debug)]
pub(crate) enum Spot {
    /// A path of the system.
    System(RelPath),
    /// A path below a home.
    Home(RelPath),
}

/// Globs that say no more than whether a name is hidden.
const CATCH_ALL: [&str; 3] = ["*", ".*", "[!.]*"];

/// True for a component of a pattern that takes any name, or any that is hidden or not.
pub(crate) fn is_catch_all(component: &str) -> bool {
    CATCH_ALL.contains(&component)
}

impl Spot {
    /// Where `live` is, with homes in their usual places.
    pub(crate) fn of(live: &RelPath) -> Self {
        match homes::split(live) {
            Some((_, below)) => Self::Home(below),
            None => Self::System(live.clone()),
        }
    }

    /// The narrowest record of exactly this path.
    pub(crate) fn known(&self) -> Option<&'static KnownPath> {
        let literals = |known: &KnownPath| known.at.split('/').filter(|name| !is_glob(name)).count();
        all().filter(|known| self.fits(known)).max_by_key(|known| (literals(known), known.at.len()))
    }

    /// The records of this path and of the directories above it, the innermost first.
    pub(crate) fn around(&self) -> impl Iterator<Item = &'static KnownPath> {
        std::iter::successors(Some(self.clone()), Self::above).filter_map(|spot| spot.known())
    }

    fn above(&self) -> Option<Self> {
        match self {
            Self::System(path) => path.parent().map(Self::System),
            Self::Home(path) => path.parent().map(Self::Home),
        }
    }

    fn fits(&self, known: &KnownPath) -> bool {
        let (path, pattern) = match self {
            Self::System(path) => (path, known.at.strip_prefix('/')),
            Self::Home(path) => (path, known.at.strip_prefix("~/")),
        };
        let Some(pattern) = pattern.filter(|pattern| says_something(known, pattern)) else { return false };
        let names: Vec<_> = path.names().collect();
        pattern.split('/').count() == names.len()
            && pattern.split('/').zip(&names).all(|(component, name)| matches(component, name.as_bytes()))
    }
}

/// A catch-all rule says nothing about a path.
fn says_something(known: &KnownPath, pattern: &str) -> bool {
    let last = pattern.rsplit('/').next().unwrap_or_default();
    matches!(known.sort, Sort::Part(_)) || !is_catch_all(last)
}

fn is_glob(component: &str) -> bool {
    component.contains(['*', '?', '['])
}

fn matches(component: &str, name: &[u8]) -> bool {
    if !is_glob(component) {
        return component.as_bytes() == name;
    }
    let glob = GlobBuilder::new(component).literal_separator(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(OsStr::from_bytes(name)))
}

/// Which program replaces the file at `live` by a rename. A home may be anywhere; the system's files are
/// identified by their whole path.
pub(crate) fn replacer(live: &RelPath) -> Option<&'static str> {
    let below_some_home = |end: &str| {
        let before = live.as_bytes().strip_suffix(end.as_bytes());
        before.is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
    };
    let fits = |known: &KnownPath| match known.at.strip_prefix("~/") {
        Some(end) => below_some_home(end),
        None => known.at.strip_prefix('/').is_some_and(|path| path.as_bytes() == live.as_bytes()),
    };
    all().filter(|known| fits(known)).find_map(|known| known.replaced_by)
}
