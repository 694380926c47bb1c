//! Inodes with several names: which of their names become one inode on the target, and
//! what the plan says of it.
//!
//! An inode has one owner and one mode. If the plan says something about some of its names (an
//! entry's own values, a fixup), that holds for the inode, and so for all of its names; if it
//! contradicts itself, the run is refused.

use super::events::detail::{Contradiction, SaidAttribute};
use super::events::kind::ProblemKind;
use super::events::operation::Operation;
use super::events::problem::Problem;
use super::mapping::explicit::{Covering, Explicit};
use super::mapping::index::{EntryIndex, Index};
use super::mapping::mode::Change;
use super::mapping::model::{Entry, Fixup, Mapping, Presence};
use super::meta::SET_ID;
use super::tree::node::ENTRY;
use super::tree::walk::{Start, Unread, Visit, WalkOptions, walk};
use crate::base::path::{Name, RelPath};
use crate::sys::dir::SourceDir;
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::{Errno, leads_nowhere};
use rustix::fs::OFlags;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// A source inode among the names that are copied together: device, inode number, and
/// the number of its [`Groups::share`].
pub(crate) type GroupKey = (u64, u64, u32);

/// What tells groups of hard links apart, and what the plan says of their inodes.
#[derive(Debug, Default)]
pub struct Groups {
    shares: Vec<Vec<u32>>,
    /// For a plan that has more than one share.
    index: Option<Index>,
    said: HashMap<GroupKey, Said>,
    unread: Vec<(RelPath, Errno)>,
}

/// What the plan says about an inode under some of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    uid: Option<u32>,
    gid: Option<u32>,
    mode: Option<Change>,
    /// How many names it says it about.
    names: u32,
    /// All of them say the same.
    uniform: bool,
}

impl Groups {
    /// Looks at the source where the plan says something about single inodes. The error lists
    /// contradictions about one inode.
    pub fn of(
        plan: &Mapping,
        source: &Arc<Root>,
        means: WalkOptions,
        cross_mounts: bool,
        owners: bool,
    ) -> Result<Self, Vec<Contradiction>> {
        let shares = shares(plan);
        let visitor = GroupVisitor {
            plan,
            index: Index::new(plan),
            cross_mounts,
            owners,
            shares: &shares,
            said: Mutex::default(),
            contradictions: Mutex::default(),
            unread: Mutex::default(),
        };
        let mut starts = Vec::new();
        for (t, target) in plan.targets.iter().enumerate() {
            for (e, entry) in target.entries.iter().enumerate().filter(|(_, e)| e.presence == Presence::Present) {
                visitor.look((t, e), entry, source);
                starts.extend(visitor.starts((t, e), entry, source));
            }
        }
        if !starts.is_empty() {
            walk(source, starts, &visitor, means);
        }
        let mut contradictions = visitor.contradictions.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !contradictions.is_empty() {
            contradictions.sort();
            return Err(contradictions);
        }
        let said = visitor.said.into_inner().unwrap_or_else(PoisonError::into_inner);
        let unread = visitor.unread.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Self { said, unread, ..Self::with(plan, shares) })
    }

    /// Names that could not be looked at: what the plan says of them may not have reached the other
    /// names of their inodes. What the copy cannot read either is the same problem.
    pub(crate) fn problems(&self) -> impl Iterator<Item = Problem> {
        let failed = |(path, errno): &(RelPath, Errno)| {
            Problem::failed(path.clone(), ProblemKind::Unreadable, Operation::StatEntry, *errno)
        };
        self.unread.iter().map(failed)
    }

    /// What tells groups apart, without what the plan says about single inodes.
    pub(crate) fn of_shares(plan: &Mapping) -> Self {
        Self::with(plan, shares(plan))
    }

    fn with(plan: &Mapping, shares: Vec<Vec<u32>>) -> Self {
        let index = shares.iter().flatten().any(|share| *share != 0).then(|| Index::new(plan));
        Self { shares, index, said: HashMap::new(), unread: Vec::new() }
    }

    /// The number of the entry's share: names of one source inode become one inode of the target only
    /// within a share. It is 0 except for entries that copy, through a symlink, what another entry
    /// copies as well.
    pub(crate) fn share(&self, (t, e): EntryIndex) -> u32 {
        self.shares.get(t).and_then(|shares| shares.get(e)).copied().unwrap_or_default()
    }

    /// The same for a destination.
    pub(crate) fn share_of(&self, plan: &Mapping, dst: &RelPath) -> u32 {
        let nearest = self.index.as_ref().and_then(|index| index.brought_to(plan, dst).pop());
        nearest.map_or(0, |brought| self.share(brought.index))
    }

    /// What the plan says about the inode under any of its names.
    pub(crate) fn say(&self, stat: &Stat, share: u32) -> Explicit {
        match self.said.get(&(stat.dev, stat.ino, share)) {
            Some(said) if stat.nlink > 1 => Explicit { uid: said.uid, gid: said.gid, mode: said.mode },
            _ => Explicit::default(),
        }
    }
}

/// Entries that lead to a part of the source that another entry copies as well, to another place,
/// get a number of their own.
fn shares(plan: &Mapping) -> Vec<Vec<u32>> {
    let mut shares: Vec<Vec<u32>> = plan.targets.iter().map(|t| vec![0; t.entries.len()]).collect();
    let mut entries: Vec<_> = plan
        .targets
        .iter()
        .enumerate()
        .flat_map(|(t, target)| target.entries.iter().enumerate().map(move |(e, entry)| ((t, e), entry)))
        .filter(|(_, entry)| entry.presence == Presence::Present)
        .collect();
    // Entries whose real place is the one in the plan come first, outer before inner.
    entries.sort_by_key(|(_, entry)| (entry.real != entry.src, entry.src.depth()));
    let mut last = 0;
    for (at, ((t, e), entry)) in entries.iter().enumerate() {
        let before = &entries[..at];
        // An outer walk leaves out an inner entry that it meets under its own name.
        let meets = |outer: &Entry| match entry.src.strip_prefix(&outer.src) {
            Some(below) => entry.real.strip_prefix(&outer.real) == Some(below),
            None => false,
        };
        let overlaps = |other: &Entry| {
            entry.real.strip_prefix(&other.real).is_some() || other.real.strip_prefix(&entry.real).is_some()
        };
        shares[*t][*e] = if let Some(((t, e), _)) = before.iter().rev().find(|(_, outer)| meets(outer)) {
            shares[*t][*e]
        } else if entry.real != entry.src && before.iter().any(|(_, other)| overlaps(other)) {
            last += 1;
            last
        } else {
            0
        };
    }
    shares
}

struct GroupVisitor<'a> {
    plan: &'a Mapping,
    index: Index,
    cross_mounts: bool,
    owners: bool,
    shares: &'a [Vec<u32>],
    said: Mutex<HashMap<GroupKey, Said>>,
    contradictions: Mutex<Vec<Contradiction>>,
    unread: Mutex<Vec<(RelPath, Errno)>>,
}

/// A directory of the source and its place.
struct GroupDir {
    dst: RelPath,
    target: usize,
    share: u32,
    cursor: Option<usize>,
    covering: Covering,
}

impl GroupVisitor<'_> {
    /// Looks at the entry itself, and at what fixups name in it.
    fn look(&self, (t, e): EntryIndex, entry: &Entry, source: &Root) {
        let share = self.shares[t][e];
        let stat = |path: &RelPath| source.open_strict(path, OFlags::PATH | OFlags::NOFOLLOW).and_then(stat_fd);
        let own = entry.explicit();
        match stat(&entry.real) {
            Ok(stat) => self.add(&entry.dst, share, own, &stat),
            Err(errno) => self.failed(entry.dst.clone(), errno),
        }
        let paths: BTreeSet<&RelPath> = self.plan.fixups.iter().map(|fixup| &fixup.path).collect();
        for path in paths {
            let Some(below) = path.strip_prefix(&entry.dst).filter(|below| !below.is_root()) else { continue };
            // Each name counts once: the walk reaches what is below a recursive fixup.
            let above = |fixup: &Fixup| path.strip_prefix(&fixup.path).is_some_and(|below| !below.is_root());
            if self.plan.fixups.iter().any(|fixup| fixup.recursive && above(fixup))
                || self.index.is_in_inner_entry(entry, &below)
                || self.plan.targets[t].leaves_out_below_entry(path, Kind::File)
            {
                continue;
            }
            match stat(&entry.real.join_path(&below)) {
                Ok(stat) => self.add(path, share, Explicit::default(), &stat),
                Err(errno) => self.failed(path.clone(), errno),
            }
        }
    }

    /// Where recursive fixups reach into the entry.
    fn starts(&self, (t, e): EntryIndex, entry: &Entry, source: &Root) -> Vec<Start<GroupDir>> {
        let recursive = || self.plan.fixups.iter().filter(|fixup| fixup.recursive);
        let mut places: Vec<RelPath> = Vec::new();
        if recursive().any(|fixup| entry.dst.strip_prefix(&fixup.path).is_some()) {
            places.push(RelPath::root());
        } else {
            let mut below: Vec<RelPath> = recursive().filter_map(|f| f.path.strip_prefix(&entry.dst)).collect();
            below.sort_by_key(RelPath::depth);
            for path in below {
                if !places.iter().any(|place| path.strip_prefix(place).is_some()) {
                    places.push(path);
                }
            }
        }
        let start = |below: RelPath| {
            let (path, dst) = (entry.real.join_path(&below), entry.dst.join_path(&below));
            let opened = source.open_strict(&path, ENTRY).map(SourceDir::from_fd);
            let opened = opened.and_then(|dir| dir.stat().map(|stat| (dir, stat)));
            let (dir, stat) = opened.map_err(|errno| self.failed(dst.clone(), errno)).ok()?;
            let cursor = self.index.find(&entry.src.join_path(&below));
            let is_other = self.index.is_in_inner_entry(entry, &below)
                || !below.is_root() && self.plan.targets[t].leaves_out_below_entry(&dst, Kind::Directory);
            let covering = Covering::of(self.plan, &dst);
            let place = GroupDir { dst, target: t, share: self.shares[t][e], cursor, covering };
            (!is_other).then_some(Start { path, dir, stat, place })
        };
        places.into_iter().filter_map(start).collect()
    }

    /// What is gone meanwhile has no say.
    fn failed(&self, dst: RelPath, errno: Errno) {
        if !leads_nowhere(errno) {
            self.unread.lock().unwrap_or_else(PoisonError::into_inner).push((dst, errno));
        }
    }

    /// What the plan says about the inode under the name `dst`.
    fn add(&self, dst: &RelPath, share: u32, own: Explicit, stat: &Stat) {
        if stat.nlink < 2 || stat.kind == Kind::Directory {
            return;
        }
        if let (Some(dir), Some(name)) = (dst.parent(), dst.last()) {
            let covering = Covering::of(self.plan, &dir);
            self.say(share, own.then(covering.say(self.plan, &name, stat.kind).0), stat, || dst.clone());
        }
    }

    fn say(&self, share: u32, word: Explicit, stat: &Stat, path: impl FnOnce() -> RelPath) {
        let mode = word.mode.filter(|_| stat.kind != Kind::Symlink);
        let (uid, gid) = if self.owners { (word.uid, word.gid) } else { (None, None) };
        if (uid, gid, mode) == (None, None, None) {
            return;
        }
        let new = Said { uid, gid, mode, names: 1, uniform: true };
        let key = (stat.dev, stat.ino, share);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(had) = said.get_mut(&key) else {
            said.insert(key, new);
            return;
        };
        // Set-ID bits may differ if one mode sets them and the other keeps them.
        let bits = |mode: Change| format!("{:04o}", mode.of(stat.mode & !SET_ID, Kind::File));
        for (attribute, had, new) in [
            (SaidAttribute::Owner, had.uid.map(|id| id.to_string()), new.uid.map(|id| id.to_string())),
            (SaidAttribute::Group, had.gid.map(|id| id.to_string()), new.gid.map(|id| id.to_string())),
            (SaidAttribute::Mode, had.mode.map(bits), new.mode.map(bits)),
        ] {
            if let (Some(had), Some(new)) = (had, new)
                && had != new
            {
                let (here, elsewhere, names) = (new, had, stat.nlink);
                let contradiction = Contradiction { path: path(), attribute, here, elsewhere, names };
                self.contradictions.lock().unwrap_or_else(PoisonError::into_inner).push(contradiction);
                return;
            }
        }
        let same = (had.uid, had.gid, had.mode.map(bits)) == (uid, gid, mode.map(bits));
        *had = Said {
            uid: had.uid.or(uid),
            gid: had.gid.or(gid),
            mode: had.mode.or(mode),
            names: had.names + 1,
            uniform: had.uniform && same,
        };
        // Each name by itself already says what all of them say.
        if had.uniform && had.names == stat.nlink {
            said.remove(&key);
        }
    }
}

impl Visit for GroupVisitor<'_> {
    type Place = GroupDir;

    fn entry(&self, above: &GroupDir, _: &SourceDir, name: &Name, stat: &Stat) -> Option<GroupDir> {
        let is_dir = stat.kind == Kind::Directory;
        if !is_dir && stat.nlink < 2 {
            return None;
        }
        let cursor = above.cursor.and_then(|at| self.index.child(at, name));
        let dst = above.dst.join(name);
        let is_excluded = || self.plan.targets[above.target].excludes(&dst, stat.kind);
        if self.index.is_out(cursor, stat, self.cross_mounts, is_excluded) {
            return None;
        }
        if !is_dir {
            self.say(above.share, above.covering.say(self.plan, name, stat.kind).0, stat, || dst);
            return None;
        }
        let covering = Covering::of(self.plan, &dst);
        Some(GroupDir { dst, target: above.target, share: above.share, cursor, covering })
    }

    fn unreadable(&self, what: Unread<'_, GroupDir>) {
        match what {
            Unread::Entry(above, name, errno) => self.failed(above.dst.join(name), errno),
            Unread::Directory(dir, errno) => self.failed(dir.dst.clone(), errno),
            Unread::Everything => self.failed(RelPath::root(), Errno::AGAIN),
        }
    }
}
