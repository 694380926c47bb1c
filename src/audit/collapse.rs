//! The walk: every entry is declared, left out, part of a finding, or on the way to
//! one of these. An uncovered directory is one finding with everything below it;
//! what the walk keeps grows with the directories that it is in, not with files.

use super::accounts::Accounts;
use super::boundary::stays_out;
use super::coverage::{At, Coverage};
use super::finding::{Finding, Live, Loose, What};
use super::knowledge::{Active, By, Knowledge, Match, Meaning, Reason, Step};
use super::sum::Linked;
use super::tally::{Area, LeftOut, Line, Listing, Piles, Place, Standing, lock};
use crate::path::{Name, RelPath};
use crate::plan::resolved::Resolved;
use crate::sys::dir::{LOST_AND_FOUND, SourceDir};
use crate::sys::errno_words;
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat};
use crate::walk::{Unread, Visit};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Which tree is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The backup: what the table leaves out is no loss.
    Backup,
    /// A destination: everything that is not declared is told.
    Target,
}

/// What the walk is given.
pub(super) struct Given<'a> {
    pub(super) side: Side,
    pub(super) plan: &'a Resolved,
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

/// Paths that could not be looked at are named up to this many.
const UNREAD: usize = 100;

pub(super) struct Collapse<'a> {
    given: Given<'a>,
    found: Mutex<Vec<Arc<Live>>>,
    loose: Mutex<Vec<Arc<Loose>>>,
    places: Mutex<Vec<Arc<Place>>>,
    piles: Piles,
    linked: Linked,
    not_entered: Mutex<Vec<(RelPath, String)>>,
    unread: Mutex<Vec<(RelPath, String)>>,
    unread_count: AtomicU64,
}

/// What a walk brings home.
#[derive(Debug)]
pub(super) struct Collapsed {
    pub(super) findings: Vec<Finding>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) areas: Vec<Area>,
    pub(super) not_entered: Vec<(RelPath, String)>,
    pub(super) unread: Vec<(RelPath, String)>,
    pub(super) unread_count: u64,
    pub(super) links_counted_again: bool,
}

/// What a directory hands to its entries.
pub(super) struct Here {
    path: RelPath,
    cover: Option<At>,
    active: Vec<Active>,
    status: Status,
    place: Arc<Place>,
    line: Option<Arc<Line>>,
}

enum Status {
    /// Looked into: each entry is judged on its own. What no rule names takes the rule from here.
    Open(Option<Match>, Arc<Loose>),
    /// The plan's, by this target.
    Declared(usize),
    /// Part of a finding.
    Part(Arc<Live>),
    LeftOut(Reason),
}

/// What one entry is.
#[derive(Clone, Copy)]
enum Verdict {
    Declared(usize),
    LeftOut(Reason),
    /// A part of the finding that its directory is part of.
    Part,
    /// A finding of its own.
    Finding(Option<usize>),
    /// A file of an open directory.
    Loose(Option<usize>),
    Open(Option<Match>),
}

/// Directories of these names are caches when they say so themselves (CACHEDIR.TAG).
const BUILT: [&[u8]; 6] = [b"target", b"build", b".venv", b"venv", b"zig-cache", b".zig-cache"];

impl<'a> Collapse<'a> {
    pub(super) fn new(given: Given<'a>) -> Self {
        Self {
            given,
            found: Mutex::default(),
            loose: Mutex::default(),
            places: Mutex::default(),
            piles: Piles::default(),
            linked: Linked::default(),
            not_entered: Mutex::default(),
            unread: Mutex::default(),
            unread_count: AtomicU64::new(0),
        }
    }

    /// Where the walk begins.
    pub(super) fn start(&self, path: &RelPath, stat: &Stat) -> Here {
        let cover = self.given.coverage.find(path);
        let place = self.place(RelPath::root());
        let status = match cover.and_then(|at| self.given.coverage.entry(at)) {
            Some(target) => Status::Declared(target),
            None => self.open(path, None, stat),
        };
        Here { path: path.clone(), cover, active: self.given.knowledge.start(), status, place, line: None }
    }

    fn open(&self, path: &RelPath, rule: Option<Match>, stat: &Stat) -> Status {
        let loose = Arc::new(Loose::new(path, stat, self.given.knowledge.len()));
        lock(&self.loose).push(Arc::clone(&loose));
        Status::Open(rule, loose)
    }

    fn place(&self, path: RelPath) -> Arc<Place> {
        let place = Arc::new(Place::new(path));
        lock(&self.places).push(Arc::clone(&place));
        place
    }

    /// The place and the line that the directory `path` counts for.
    fn whereabouts(&self, above: &Here, path: &RelPath) -> (Arc<Place>, Option<Arc<Line>>) {
        if self.given.side == Side::Backup && Place::begins_at(path) {
            return (self.place(path.clone()), None);
        }
        let line = above.line.clone().or_else(|| above.place.line(path, self.given.listing));
        (Arc::clone(&above.place), line)
    }

    pub(super) fn finish(self) -> Collapsed {
        let knowledge = self.given.knowledge;
        let mut findings = Vec::new();
        for live in lock(&self.found).iter() {
            match (live.finish(knowledge), self.given.side) {
                (Some(finding), _) => findings.push(finding),
                (None, Side::Target) => findings.push(live.tell(knowledge)),
                (None, Side::Backup) => {
                    self.piles.begin(Reason::Empty, self.given.listing, || live.tell(knowledge).path);
                }
            }
        }
        findings.extend(lock(&self.loose).iter().flat_map(|loose| loose.finish(knowledge)));
        findings.sort_by(|a, b| {
            let key = |f: &Finding| (std::cmp::Reverse(f.severity), std::cmp::Reverse(f.total.bytes));
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        let mut areas: Vec<Area> = lock(&self.places).iter().map(|place| place.read()).collect();
        areas.sort_by(|a, b| a.path.cmp(&b.path));
        let sorted = |list: &Mutex<Vec<(RelPath, String)>>| {
            let mut list = lock(list).clone();
            list.sort();
            list
        };
        Collapsed {
            findings,
            left_out: self.piles.read(),
            areas,
            not_entered: sorted(&self.not_entered),
            unread: sorted(&self.unread),
            unread_count: self.unread_count.load(Relaxed),
            links_counted_again: self.linked.is_full(),
        }
    }

    fn judge(
        &self,
        above: &Here,
        dir: &SourceDir,
        (name, stat): (&Name, &Stat),
        cover: Option<At>,
        step: &Step,
    ) -> Verdict {
        let is_dir = stat.kind == Kind::Directory;
        let meaning = |rule: usize| self.given.knowledge.rule(rule).meaning;
        let leaves = |rule: usize| match meaning(rule) {
            Meaning::Leave(reason) => Some(reason),
            Meaning::State(..) => None,
        };
        // The store is not entered, whether the plan has it or not.
        let by_rule = step.matched.and_then(|matched| leaves(matched.rule));
        if by_rule == Some(Reason::Nix) {
            return Verdict::LeftOut(Reason::Nix);
        }
        if let Some(target) = cover.and_then(|at| self.given.coverage.entry(at)) {
            return Verdict::Declared(target);
        }
        let on_way = is_dir && cover.is_some();
        match &above.status {
            Status::Declared(target) => {
                let excluded = self.given.side == Side::Backup
                    && self.given.plan.targets[*target].excludes_in_source(&above.path, name, is_dir);
                return if excluded { Verdict::LeftOut(Reason::Excluded) } else { Verdict::Declared(*target) };
            }
            Status::LeftOut(Reason::Excluded) => return Verdict::LeftOut(Reason::Excluded),
            Status::LeftOut(_) if on_way => return Verdict::Open(None),
            Status::LeftOut(reason) => return Verdict::LeftOut(*reason),
            Status::Open(..) | Status::Part(_) => {}
        }
        let anywhere = self.given.knowledge.anywhere(name);
        let named = step.matched.filter(|matched| matched.by != By::Anything);
        if !on_way {
            let without = self.no_content(above, dir, name, stat);
            let reason = without.or(named.and(by_rule)).or_else(|| anywhere.and_then(leaves));
            if let Some(reason) = reason.or_else(|| is_cache(dir, name, is_dir)) {
                return Verdict::LeftOut(reason);
            }
        }
        let inherited = match &above.status {
            Status::Part(live) => {
                named.map(|matched| matched.rule).into_iter().chain(anywhere).for_each(|rule| live.sign(rule));
                return Verdict::Part;
            }
            Status::Open(inherited, _) => *inherited,
            Status::Declared(_) | Status::LeftOut(_) => None,
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
        if stat.kind == Kind::File && stat.size == 0 && self.given.side == Side::Backup {
            return Verdict::LeftOut(Reason::Empty);
        }
        if named.is_some() && self.given.accounts.remakes(&above.path.join(name)) {
            return Verdict::LeftOut(Reason::Generated);
        }
        if named.is_some() { Verdict::Finding(rule) } else { Verdict::Loose(rule) }
    }

    /// What holds no data, by its kind or its text.
    fn no_content(&self, above: &Here, dir: &SourceDir, name: &Name, stat: &Stat) -> Option<Reason> {
        if self.given.side == Side::Target {
            let ours = name.as_bytes().starts_with(b".persistcp") || name.as_bytes() == LOST_AND_FOUND;
            return ours.then_some(Reason::Generated);
        }
        let bytes = name.as_bytes();
        match stat.kind {
            Kind::Directory if self.given.storage.contains(&(stat.dev, stat.ino)) => Some(Reason::Storage),
            Kind::Socket | Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => Some(Reason::NoContent),
            Kind::File if stat.size == 0 && (bytes.ends_with(b"lock") || bytes.ends_with(b".pid")) => {
                Some(Reason::NoContent)
            }
            Kind::Symlink => {
                // A link that went away meanwhile leads nowhere either.
                let text = dir.read_link(name).unwrap_or_default();
                let generated = ["/nix/", "/etc/static", "/run/", "/var/run/", "/proc/"];
                if generated.iter().any(|start| text.starts_with(start.as_bytes())) {
                    Some(Reason::StoreLink)
                } else if above.path.as_bytes() == b"var/lib" && text.starts_with(b"private/") {
                    // systemd makes it for a service with DynamicUser.
                    Some(Reason::Generated)
                } else if bytes.ends_with(b"lock") || bytes.starts_with(b"Singleton") {
                    Some(Reason::NoContent)
                } else {
                    None
                }
            }
            Kind::File | Kind::Directory => None,
        }
    }

    /// Notes a mount that is not entered.
    fn stays_out(&self, path: &RelPath, stat: &Stat, verdict: Verdict) -> bool {
        if !stat.mount_root || stat.kind != Kind::Directory {
            return false;
        }
        let why = match (verdict, stays_out(self.given.root, path, stat, self.given.dev)) {
            (Verdict::LeftOut(_), _) => return true,
            (_, Some(why)) => why,
            (Verdict::Declared(_), None) if self.given.coverage.find(path).is_none() => {
                "a mount inside a declared directory: the copy enters it only with --cross-mounts".into()
            }
            (_, None) => return false,
        };
        lock(&self.not_entered).push((path.clone(), why));
        true
    }
}

fn is_cache(dir: &SourceDir, name: &Name, is_dir: bool) -> Option<Reason> {
    let tag = Name::new(b"CACHEDIR.TAG").ok()?;
    let built = is_dir && BUILT.contains(&name.as_bytes());
    (built && dir.open_dir(name).is_ok_and(|dir| dir.stat_at(&tag).is_ok())).then_some(Reason::Cache)
}

impl Visit for Collapse<'_> {
    type Place = Here;

    fn entry(&self, above: &Here, dir: &SourceDir, name: &Name, stat: &Stat) -> Option<Here> {
        let is_dir = stat.kind == Kind::Directory;
        let cover = above.cover.and_then(|at| self.given.coverage.child(at, name));
        let step = match &above.status {
            Status::Open(..) | Status::Part(_) => self.given.knowledge.step(&above.active, name, is_dir),
            Status::Declared(_) | Status::LeftOut(_) => Step::default(),
        };
        let verdict = self.judge(above, dir, (name, stat), cover, &step);
        let path = || above.path.join(name);
        let bytes = self.linked.bytes(stat);
        let standing = match verdict {
            Verdict::Declared(_) => Standing::Declared,
            Verdict::LeftOut(_) => Standing::LeftOut,
            Verdict::Part | Verdict::Finding(_) | Verdict::Loose(_) | Verdict::Open(_) => Standing::Undeclared,
        };
        let own = is_dir.then(|| self.whereabouts(above, &path()));
        // A directory that is only looked into is nobody's loss.
        if !matches!(verdict, Verdict::Open(_)) {
            let (place, line) = own.as_ref().map_or((&above.place, &above.line), |(place, line)| (place, line));
            place.add(standing, stat, bytes);
            line.iter().for_each(|line| line.add(standing, stat, bytes));
        }
        let status = match verdict {
            Verdict::Declared(target) => Status::Declared(target),
            Verdict::LeftOut(reason) => {
                if !matches!(above.status, Status::LeftOut(_)) {
                    self.piles.begin(reason, self.given.listing, path);
                }
                self.piles.add(reason, stat, bytes);
                if matches!(reason, Reason::Nix | Reason::Runtime | Reason::Storage | Reason::Snapshots) {
                    return None;
                }
                Status::LeftOut(reason)
            }
            Verdict::Part => {
                let Status::Part(live) = &above.status else { return None };
                live.add(stat, bytes);
                Status::Part(Arc::clone(live))
            }
            Verdict::Finding(rule) => {
                let what = if is_dir { What::Directory } else { What::File };
                let live = Arc::new(Live::new(path(), what, rule, stat, self.given.knowledge.len()));
                live.add(stat, bytes);
                lock(&self.found).push(Arc::clone(&live));
                Status::Part(live)
            }
            Verdict::Loose(rule) => {
                if let Status::Open(_, loose) = &above.status {
                    loose.add(name, rule, stat, bytes);
                }
                return None;
            }
            Verdict::Open(rule) => self.open(&path(), rule, stat),
        };
        let (place, line) = own?;
        if self.stays_out(&path(), stat, verdict) {
            return None;
        }
        Some(Here { path: path(), cover, active: step.below, status, place, line })
    }

    fn unreadable(&self, what: Unread<'_, Here>) {
        let (path, why) = match what {
            Unread::Entry(above, name, errno) => (above.path.join(name), errno_words(errno)),
            Unread::Directory(here, errno) => (here.path.clone(), errno_words(errno)),
            Unread::Everything => (RelPath::root(), "the threads of the walk could not be started".into()),
        };
        self.unread_count.fetch_add(1, Relaxed);
        let mut unread = lock(&self.unread);
        if unread.len() < UNREAD {
            unread.push((path, why));
        }
    }
}
