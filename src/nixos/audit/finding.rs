//! Something that would be lost: while it is counted, and as it is reported.

use super::knowledge::{Class, Knowledge, Meaning, Severity};
use super::sum::{Sum, Total};
use crate::base::path::{Name, RelPath};
use crate::sys::stat::{Kind, Stat};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How many files of a directory are named; beyond that only their number is given.
pub(super) const NAMED: usize = 32;

/// What a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// A directory with everything below it.
    Directory,
    /// A file, or a symlink.
    File,
    /// Too many files to name, directly in a directory of which other parts are declared.
    Files,
}

impl FindingKind {
    /// The word of JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File => "file",
            Self::Files => "files",
        }
    }
}

/// One finding, as it is reported.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Below the source, or below the root.
    pub path: RelPath,
    /// What it is.
    pub what: FindingKind,
    /// How bad its loss is.
    pub severity: Severity,
    /// What sort of state it is.
    pub class: Class,
    /// Why it looks like state.
    pub why: String,
    /// What makes it worse than its own rule says.
    pub holds: Vec<String>,
    /// Units that declare it as their directory.
    pub units: Vec<String>,
    /// What to do.
    pub advice: String,
    /// The rule's pattern; `None` if no rule matches.
    pub rule: Option<String>,
    /// How much it is.
    pub total: Total,
    /// Owner, group and mode of the path itself.
    pub attrs: (u32, u32, u32),
}

/// A finding while it is counted.
#[derive(Debug)]
pub(super) struct Live {
    path: RelPath,
    what: FindingKind,
    rule: Option<usize>,
    attrs: (u32, u32, u32),
    link: bool,
    pub(super) sum: Sum,
    executable: AtomicU64,
    /// A bit for each rule that something in it matched.
    signs: Box<[AtomicU64]>,
}

impl Live {
    pub(super) fn new(path: RelPath, what: FindingKind, rule: Option<usize>, stat: &Stat, rules: usize) -> Self {
        Self {
            path,
            what,
            rule,
            attrs: (stat.uid, stat.gid, stat.mode),
            link: stat.kind == Kind::Symlink,
            sum: Sum::default(),
            executable: AtomicU64::new(0),
            signs: (0..rules.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(super) fn add(&self, stat: &Stat, bytes: u64) {
        self.sum.add(stat, bytes);
        if stat.kind == Kind::File && stat.mode & 0o111 != 0 {
            self.executable.fetch_add(1, Relaxed);
        }
    }

    /// Notes that something in it matches `rule`.
    pub(super) fn sign(&self, rule: usize) {
        if let Some(word) = self.signs.get(rule / 64) {
            let bit = 1 << (rule % 64);
            // Nearly always the bit is already set.
            if word.load(Relaxed) & bit == 0 {
                word.fetch_or(bit, Relaxed);
            }
        }
    }

    fn signs(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.signs.len() * 64).filter(|rule| self.signs[rule / 64].load(Relaxed) & (1 << (rule % 64)) != 0)
    }

    /// `None` for a directory with nothing in it.
    pub(super) fn finish(&self, knowledge: &Knowledge) -> Option<Finding> {
        let total = self.sum.read();
        (total.files > 0).then(|| self.tell(knowledge))
    }

    /// The same for one that counts although it is empty.
    pub(super) fn tell(&self, knowledge: &Knowledge) -> Finding {
        let total = self.sum.read();
        let state = |rule: usize| match knowledge.rule(rule).meaning {
            Meaning::State(severity, class) => Some((severity, class)),
            Meaning::Leave(_) => None,
        };
        let own = self.rule.and_then(state);
        let (mut severity, mut class) = own.unwrap_or((Severity::Low, Class::Unknown));
        let mut why = self.rule.map_or("no rule matches it".to_string(), |rule| knowledge.rule(rule).why.to_string());
        let mut worse: Vec<(Severity, usize)> = self
            .signs()
            .filter_map(|rule| state(rule).map(|(s, _)| (s, rule)))
            .filter(|(s, _)| *s > severity)
            .collect();
        worse.sort_by_key(|(severity, rule)| (std::cmp::Reverse(*severity), *rule));
        if let Some((worst, rule)) = worse.first() {
            severity = *worst;
            if class == Class::Unknown {
                class = state(*rule).map_or(class, |(_, class)| class);
            }
        }
        let holds: BTreeSet<String> = worse.iter().map(|(_, rule)| knowledge.rule(*rule).why.to_string()).collect();
        if self.link {
            severity = Severity::Low;
            why.push_str("; only a symlink, what it leads to is judged where it lies");
        }
        let units = knowledge.units(&self.path).to_vec();
        if class == Class::Unknown && !units.is_empty() {
            (severity, class) = (severity.max(Severity::Medium), Class::Service);
            why = "state of a service".into();
        }
        if class == Class::Unknown
            && self.what == FindingKind::Directory
            && self.executable.load(Relaxed) == total.files
        {
            why.push_str("; only executable files: programs, or scripts of one's own");
        }
        let advice = self.rule.and_then(|rule| knowledge.rule(rule).advice).unwrap_or(match severity {
            Severity::Low => "declare it, or let it go",
            _ => "declare it",
        });
        Finding {
            path: self.path.clone(),
            what: self.what,
            severity,
            class,
            why,
            holds: holds.into_iter().collect(),
            units,
            advice: advice.to_string(),
            rule: self.rule.map(|rule| knowledge.rule(rule).at.to_string()),
            total,
            attrs: self.attrs,
        }
    }
}

/// The files directly in a directory that is looked into. The first few are named.
#[derive(Debug)]
pub(super) struct Loose {
    all: Live,
    first: Mutex<Vec<Live>>,
}

impl Loose {
    pub(super) fn new(path: &RelPath, stat: &Stat, rules: usize) -> Self {
        Self { all: Live::new(path.clone(), FindingKind::Files, None, stat, rules), first: Mutex::default() }
    }

    pub(super) fn add(&self, name: &Name, rule: Option<usize>, stat: &Stat, bytes: u64) {
        self.all.add(stat, bytes);
        let rules = self.all.signs.len() * 64;
        rule.iter().for_each(|rule| self.all.sign(*rule));
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.len() < NAMED {
            let live = Live::new(self.all.path.join(name), FindingKind::File, rule, stat, rules);
            live.add(stat, bytes);
            first.push(live);
        }
    }

    /// Each of them, or one finding for all when there are too many.
    pub(super) fn finish(&self, knowledge: &Knowledge) -> Vec<Finding> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        match usize::try_from(self.all.sum.read().files) {
            Ok(files) if files <= first.len() => first.iter().map(|live| live.tell(knowledge)).collect(),
            _ => {
                let all = self.all.tell(knowledge);
                let why = match all.holds.is_empty() {
                    true => format!("more than {NAMED} files, directly in it"),
                    false => format!("more than {NAMED} files, directly in it: {}", all.holds.join("; ")),
                };
                let advice = "declare what of it is needed by name".into();
                vec![Finding { why, advice, holds: Vec::new(), ..all }]
            }
        }
    }
}
