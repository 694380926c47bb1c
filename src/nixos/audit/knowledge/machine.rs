//! The table as a state machine: a walk carries the patterns that may still match and feeds them one
//! name at a time.

use super::rule::{Rule, rules};
use crate::base::path::{Name, RelPath};
use crate::nixos::known_paths::is_catch_all;
use globset::{GlobBuilder, GlobMatcher};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// One component of a pattern.
#[derive(Debug)]
enum PatternPart {
    Literal(Vec<u8>),
    /// The longer text is the narrower of two that match.
    Glob(GlobMatcher, usize),
}

impl PatternPart {
    fn new(text: &str) -> Self {
        let glob = text.contains(['*', '?', '[']).then(|| GlobBuilder::new(text).literal_separator(true).build());
        match glob {
            Some(Ok(glob)) => Self::Glob(glob.compile_matcher(), text.len()),
            // The table has no invalid glob: a test matches every rule with its path.
            Some(Err(_)) | None => Self::Literal(text.as_bytes().to_vec()),
        }
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(text) => text == name,
            Self::Glob(glob, _) => glob.is_match(OsStr::from_bytes(name)),
        }
    }

    const fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    fn by(&self) -> By {
        match self {
            Self::Literal(_) => By::Name,
            Self::Glob(glob, _) if is_catch_all(glob.glob().glob()) => By::Anything,
            Self::Glob(..) => By::Glob,
        }
    }

    const fn narrowness(&self) -> usize {
        match self {
            Self::Literal(_) => usize::MAX,
            Self::Glob(_, length) => *length,
        }
    }
}

#[derive(Debug)]
struct Pattern {
    parts: Vec<PatternPart>,
    rule: usize,
}

/// A pattern whose first components have matched the way down to a directory.
#[derive(Clone, Copy, Debug)]
pub struct Active {
    pattern: usize,
    next: usize,
}

/// A rule that matches a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Index of the rule.
    pub rule: usize,
    /// How the pattern's last component names it.
    pub by: By,
}

/// How a pattern matches a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// In full.
    Name,
    /// By a part of it.
    Glob,
    /// By `*`: any name.
    Anything,
}

/// What the table says about one name.
#[derive(Debug, Default)]
pub struct RuleStep {
    /// The narrowest rule whose pattern ends here.
    pub matched: Option<Match>,
    /// Patterns that continue below it; only for directories.
    pub below: Vec<Active>,
    /// One of those names this directory in full: it is looked into, not reported as a whole.
    pub onward: bool,
}

/// The parts of a pattern's text.
fn parts(text: &str) -> impl Iterator<Item = PatternPart> {
    text.split('/').filter(|part| !part.is_empty()).map(PatternPart::new)
}

/// The table, ready to match.
#[derive(Debug)]
pub struct Knowledge {
    rules: Vec<Rule>,
    patterns: Vec<Pattern>,
    /// Names that mean the same anywhere.
    names: HashMap<Vec<u8>, usize>,
    /// The same by their ends.
    ends: Vec<(Vec<u8>, usize)>,
    /// Units by the directory that they declare.
    units: BTreeMap<RelPath, Vec<String>>,
}

impl Knowledge {
    /// A table that knows nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            rules: Vec::new(),
            patterns: Vec::new(),
            names: HashMap::new(),
            ends: Vec::new(),
            units: BTreeMap::new(),
        }
    }

    /// The table, and the directories that units declare. `~` stands for each of `homes` as well.
    #[must_use]
    pub fn new(units: BTreeMap<RelPath, Vec<String>>, homes: &[RelPath]) -> Self {
        let mut knowledge = Self { rules: rules(), ..Self::none() };
        let texts: Vec<String> = knowledge.rules.iter().map(|rule| rule.at.to_string()).collect();
        for (rule, text) in texts.iter().enumerate() {
            knowledge.learn(rule, text, homes);
        }
        for path in units.keys().filter(|path| !texts.contains(&path.to_string())) {
            let parts = path.names().map(|name| PatternPart::Literal(name.as_bytes().to_vec())).collect();
            knowledge.patterns.push(Pattern { parts, rule: knowledge.rules.len() });
            knowledge.rules.push(Rule::of_unit(path));
        }
        knowledge.units = units;
        knowledge
    }

    fn learn(&mut self, rule: usize, text: &str, homes: &[RelPath]) {
        if let Some(name) = text.strip_prefix("**/") {
            match name.strip_prefix('*') {
                Some(end) => self.ends.push((end.as_bytes().to_vec(), rule)),
                None => drop(self.names.insert(name.as_bytes().to_vec(), rule)),
            }
            return;
        }
        let bases: &[&str] = if text.starts_with('~') { &["home/*", "root"] } else { &[""] };
        for base in bases {
            let parts = parts(base).chain(parts(text.trim_start_matches('~'))).collect();
            self.patterns.push(Pattern { parts, rule });
        }
        for home in homes.iter().filter(|_| text.starts_with('~')) {
            let above = home.names().map(|name| PatternPart::Literal(name.as_bytes().to_vec()));
            self.patterns.push(Pattern { parts: above.chain(parts(&text[1..])).collect(), rule });
        }
    }

    /// The rule with this index.
    #[must_use]
    pub fn rule(&self, index: usize) -> &Rule {
        &self.rules[index]
    }

    /// Number of rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// True for a table that knows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The units that declare `path`.
    #[must_use]
    pub fn units(&self, path: &RelPath) -> &[String] {
        self.units.get(path).map_or(&[], Vec::as_slice)
    }

    /// All patterns, at the root.
    #[must_use]
    pub fn start(&self) -> Vec<Active> {
        (0..self.patterns.len()).map(|pattern| Active { pattern, next: 0 }).collect()
    }

    /// What `active` says about `name`; with `is_dir` also what continues below it.
    #[must_use]
    pub fn step(&self, active: &[Active], name: &Name, is_dir: bool) -> RuleStep {
        let mut step = RuleStep::default();
        let mut best = (0, 0);
        for at in active {
            let Pattern { parts, rule } = &self.patterns[at.pattern];
            let part = &parts[at.next];
            if !part.matches(name.as_bytes()) {
                continue;
            }
            if at.next + 1 < parts.len() {
                if is_dir {
                    step.onward |= part.is_literal();
                    step.below.push(Active { next: at.next + 1, ..*at });
                }
                continue;
            }
            let literal = parts.iter().filter(|part| part.is_literal()).count();
            if step.matched.is_none() || (literal, part.narrowness()) > best {
                best = (literal, part.narrowness());
                step.matched = Some(Match { rule: *rule, by: part.by() });
            }
        }
        step
    }

    /// What a name says anywhere.
    #[must_use]
    pub fn anywhere(&self, name: &Name) -> Option<usize> {
        let name = name.as_bytes();
        self.names.get(name).copied().or_else(|| self.ends.iter().find(|(end, _)| name.ends_with(end)).map(|(_, r)| *r))
    }
}
