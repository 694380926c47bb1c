//! The walk: every entry is declared, left out, part of a finding, or on the way to
//! one of these. An uncovered directory is one finding with everything below it;
//! what the walk keeps grows with the directories that it is in, not with files.

use super::boundary::stays_out;
use super::finding::{Finding, FindingKind, Live, Loose};
use super::here::{Here, HereStatus};
use super::knowledge::{Match, RuleStep};
use super::sum::CountedInodes;
use super::tally::{AuditPlace, LeftOutTotal, Piles, PlaceLine, PlaceReport, PlanRelation, lock};
use super::verdict::{Given, Verdict, WalkedTree};
use crate::base::path::{Name, RelPath};
use crate::engine::tree::walk::{Unread, Visit};
use crate::nixos::known_paths::LeftOutReason;
use crate::sys::dir::SourceDir;
use crate::sys::errno_words;
use crate::sys::stat::{Kind, Stat};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// How many unreadable paths are named.
const UNREAD: usize = 100;

pub(super) struct Collapse<'a> {
    given: Given<'a>,
    found: Mutex<Vec<Arc<Live>>>,
    loose: Mutex<Vec<Arc<Loose>>>,
    places: Mutex<Vec<Arc<AuditPlace>>>,
    piles: Piles,
    linked: CountedInodes,
    not_entered: Mutex<Vec<(RelPath, String)>>,
    unread: Mutex<Vec<(RelPath, String)>>,
    unread_count: AtomicU64,
}

/// The results of a walk.
#[derive(Debug)]
pub(super) struct Collapsed {
    pub(super) findings: Vec<Finding>,
    pub(super) left_out: Vec<LeftOutTotal>,
    pub(super) areas: Vec<PlaceReport>,
    pub(super) not_entered: Vec<(RelPath, String)>,
    pub(super) unread: Vec<(RelPath, String)>,
    pub(super) unread_count: u64,
    pub(super) links_counted_again: bool,
}

impl<'a> Collapse<'a> {
    pub(super) fn new(given: Given<'a>) -> Self {
        Self {
            given,
            found: Mutex::default(),
            loose: Mutex::default(),
            places: Mutex::default(),
            piles: Piles::default(),
            linked: CountedInodes::default(),
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
            Some(target) => HereStatus::Declared(target),
            None => self.open(path, None, stat),
        };
        Here { path: path.clone(), cover, active: self.given.knowledge.start(), status, place, line: None }
    }

    fn open(&self, path: &RelPath, rule: Option<Match>, stat: &Stat) -> HereStatus {
        let loose = Arc::new(Loose::new(path, stat, self.given.knowledge.len()));
        lock(&self.loose).push(Arc::clone(&loose));
        HereStatus::Open(rule, loose)
    }

    fn place(&self, path: RelPath) -> Arc<AuditPlace> {
        let place = Arc::new(AuditPlace::new(path));
        lock(&self.places).push(Arc::clone(&place));
        place
    }

    /// The place and the line that the directory `path` counts for.
    fn whereabouts(&self, above: &Here, path: &RelPath) -> (Arc<AuditPlace>, Option<Arc<PlaceLine>>) {
        if self.given.side == WalkedTree::Backup && AuditPlace::begins_at(path) {
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
                (None, WalkedTree::Target) => findings.push(live.tell(knowledge)),
                (None, WalkedTree::Backup) => {
                    self.piles.begin(LeftOutReason::Empty, self.given.listing, || live.tell(knowledge).path);
                }
            }
        }
        findings.extend(lock(&self.loose).iter().flat_map(|loose| loose.finish(knowledge)));
        findings.sort_by(|a, b| {
            let key = |f: &Finding| (std::cmp::Reverse(f.severity), std::cmp::Reverse(f.total.bytes));
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        let mut areas: Vec<PlaceReport> = lock(&self.places).iter().map(|place| place.read()).collect();
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

    /// What an entry is to those below it, once it is counted; `None` if nothing below it counts.
    fn status(&self, above: &Here, (name, stat): (&Name, &Stat), verdict: Verdict, bytes: u64) -> Option<HereStatus> {
        let path = || above.path.join(name);
        Some(match verdict {
            Verdict::Declared(target) => HereStatus::Declared(target),
            Verdict::LeftOut(reason) => {
                if !matches!(above.status, HereStatus::LeftOut(_)) {
                    self.piles.begin(reason, self.given.listing, path);
                }
                self.piles.add(reason, stat, bytes);
                if matches!(
                    reason,
                    LeftOutReason::Nix | LeftOutReason::Runtime | LeftOutReason::Storage | LeftOutReason::Snapshots
                ) {
                    return None;
                }
                HereStatus::LeftOut(reason)
            }
            Verdict::Part => {
                let HereStatus::Part(live) = &above.status else { return None };
                live.add(stat, bytes);
                HereStatus::Part(Arc::clone(live))
            }
            Verdict::Finding(rule) => {
                let what = if stat.kind == Kind::Directory { FindingKind::Directory } else { FindingKind::File };
                let live = Arc::new(Live::new(path(), what, rule, stat, self.given.knowledge.len()));
                live.add(stat, bytes);
                lock(&self.found).push(Arc::clone(&live));
                HereStatus::Part(live)
            }
            Verdict::Loose(rule) => {
                if let HereStatus::Open(_, loose) = &above.status {
                    loose.add(name, rule, stat, bytes);
                }
                return None;
            }
            Verdict::Open(rule) => self.open(&path(), rule, stat),
        })
    }

    /// Notes a mount that is not entered.
    fn stays_out(&self, path: &RelPath, stat: &Stat, verdict: Verdict) -> bool {
        if !stat.mount_root || stat.kind != Kind::Directory {
            return false;
        }
        let why = match (verdict, stays_out(&self.given, path, stat)) {
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

impl Visit for Collapse<'_> {
    type Place = Here;

    fn entry(&self, above: &Here, dir: &SourceDir, name: &Name, stat: &Stat) -> Option<Here> {
        let is_dir = stat.kind == Kind::Directory;
        let cover = above.cover.and_then(|at| self.given.coverage.child(at, name));
        let step = match &above.status {
            HereStatus::Open(..) | HereStatus::Part(_) => self.given.knowledge.step(&above.active, name, is_dir),
            HereStatus::Declared(_) | HereStatus::LeftOut(_) => RuleStep::default(),
        };
        let verdict = self.given.judge(above, dir, (name, stat), (cover, &step));
        let path = || above.path.join(name);
        let bytes = self.linked.bytes(stat);
        let standing = match verdict {
            Verdict::Declared(_) => PlanRelation::Declared,
            Verdict::LeftOut(_) => PlanRelation::LeftOut,
            Verdict::Part | Verdict::Finding(_) | Verdict::Loose(_) | Verdict::Open(_) => PlanRelation::Undeclared,
        };
        let own = is_dir.then(|| self.whereabouts(above, &path()));
        // A directory that is only looked into is not a loss.
        if !matches!(verdict, Verdict::Open(_)) {
            let (place, line) = own.as_ref().map_or((&above.place, &above.line), |(place, line)| (place, line));
            place.add(standing, stat, bytes);
            line.iter().for_each(|line| line.add(standing, stat, bytes));
        }
        let status = self.status(above, (name, stat), verdict, bytes)?;
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
