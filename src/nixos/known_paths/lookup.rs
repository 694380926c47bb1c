//! The record of a path.

use super::record::{KnownPath, Sort};
use super::table::all;
use crate::base::path::{Name, RelPath};
use crate::nixos::homes;
use globset::{GlobBuilder, GlobMatcher};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::LazyLock;

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
        let (in_home, path) = match self {
            Self::System(path) => (false, path),
            Self::Home(path) => (true, path),
        };
        let names: Vec<Name> = path.names().collect();
        let patterns = PATTERNS.get(&(in_home, names.len()))?;
        patterns.iter().filter(|pattern| pattern.fits(&names)).max_by_key(|pattern| pattern.rank()).map(|p| p.known)
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
}

/// A catch-all rule says nothing about a path.
fn says_something(known: &KnownPath, pattern: &str) -> bool {
    let last = pattern.rsplit('/').next().unwrap_or_default();
    matches!(known.sort, Sort::Part(_)) || !is_catch_all(last)
}

fn is_glob(component: &str) -> bool {
    component.contains(['*', '?', '['])
}

/// One name of a pattern.
enum Component {
    Literal(&'static str),
    Glob(GlobMatcher),
    /// A glob that cannot be built matches nothing.
    Nothing,
}

impl Component {
    fn new(text: &'static str) -> Self {
        if !is_glob(text) {
            return Self::Literal(text);
        }
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        glob.map_or(Self::Nothing, |glob| Self::Glob(glob.compile_matcher()))
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(text) => text.as_bytes() == name,
            Self::Glob(glob) => glob.is_match(OsStr::from_bytes(name)),
            Self::Nothing => false,
        }
    }
}

/// A record and its pattern.
struct RecordPattern {
    known: &'static KnownPath,
    components: Vec<Component>,
}

impl RecordPattern {
    fn fits(&self, names: &[Name]) -> bool {
        self.components.iter().zip(names).all(|(component, name)| component.matches(name.as_bytes()))
    }

    /// How narrow it is.
    fn rank(&self) -> (usize, usize) {
        let literals = self.components.iter().filter(|component| matches!(component, Component::Literal(_)));
        (literals.count(), self.known.at.len())
    }
}

/// The patterns of whole paths by whether they begin in a home, and by the number of their names.
static PATTERNS: LazyLock<HashMap<(bool, usize), Vec<RecordPattern>>> = LazyLock::new(|| {
    let mut patterns: HashMap<(bool, usize), Vec<RecordPattern>> = HashMap::new();
    for known in all() {
        let (in_home, path) = match (known.at.strip_prefix("~/"), known.at.strip_prefix('/')) {
            (Some(path), _) => (true, path),
            (None, Some(path)) => (false, path),
            (None, None) => continue,
        };
        if says_something(known, path) {
            let components: Vec<Component> = path.split('/').map(Component::new).collect();
            patterns.entry((in_home, components.len())).or_default().push(RecordPattern { known, components });
        }
    }
    patterns
});

/// What to do instead of keeping the file at `live`, which NixOS's activation writes first at each boot.
pub(crate) fn written_first(live: &RelPath) -> Option<&'static str> {
    Spot::System(live.clone()).known().and_then(|known| known.written_first)
}

/// The program that replaces a file by a rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replacer {
    pub(crate) program: &'static str,
    /// Whether it leaves a symlink in the file's place and writes to where it leads, if that is known.
    pub(crate) keeps_link: Option<bool>,
}

/// Which program replaces the file at `live` by a rename. A home may be anywhere; the system's files are
/// identified by their whole path.
pub(crate) fn replacer(live: &RelPath) -> Option<Replacer> {
    let below_some_home = |end: &str| {
        let before = live.as_bytes().strip_suffix(end.as_bytes());
        before.is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
    };
    let fits = |known: &KnownPath| match known.at.strip_prefix("~/") {
        Some(end) => below_some_home(end),
        None => known.at.strip_prefix('/').is_some_and(|path| path.as_bytes() == live.as_bytes()),
    };
    all()
        .filter(|known| fits(known))
        .find_map(|known| Some(Replacer { program: known.replaced_by?, keeps_link: known.keeps_link }))
}
