//! The homes that the plan keeps parts of, and whose they should be.

use super::id_files::IdFiles;
use super::plan_file::{PlanFile, PlanNumbers};
use super::tree::rel;
use crate::base::path::{RelPath, escape};
use crate::engine::mapping::model::{Entry, IdKind, Mapping, Target};
use crate::nixos::homes;
use crate::sys::stat::Kind;

/// One home.
pub(super) struct Home {
    /// The user: as the plan calls the owner, else as the directory is called.
    pub(super) user: String,
    /// Where the running system sees it.
    pub(super) live: RelPath,
    /// Where the storage keeps it.
    pub(super) stored: RelPath,
    /// Its owner, if the plan or an id map tells it.
    pub(super) uid: Option<u32>,
    /// Its group, if the plan says it.
    pub(super) gid: Option<u32>,
    /// 0700 unless a fixup of the plan says otherwise.
    pub(super) mode: u32,
    /// What the plan keeps of it, as paths on the storage.
    pub(super) entries: Vec<RelPath>,
}

impl Home {
    /// `user:group` for chown(1), by numbers.
    pub(super) fn owner(&self) -> String {
        let number = |id: Option<u32>| id.map(|id| id.to_string()).unwrap_or_default();
        match self.gid {
            Some(_) => format!("{}:{}", number(self.uid), number(self.gid)),
            None => number(self.uid),
        }
    }
}

/// Every home, by its place on the storage.
pub(super) fn of(plan: &Mapping, file: &PlanFile, ids: &IdFiles) -> Vec<Home> {
    let owners = HomeOwners { plan, file, ids };
    let mut homes: Vec<Home> = Vec::new();
    for target in &plan.targets {
        for entry in &target.entries {
            let Some((live, stored)) = places(target, entry) else { continue };
            match homes.iter_mut().find(|home| home.stored == stored) {
                Some(home) => home.entries.push(entry.dst.clone()),
                None => homes.push(owners.home(target, live, stored, entry)),
            }
        }
    }
    homes
}

/// The home that an entry is in: its live path, and its place on the storage.
fn places(target: &Target, entry: &Entry) -> Option<(RelPath, RelPath)> {
    let elsewhere = || {
        let home = homes::elsewhere(target)?;
        Some((home.clone(), entry.src.strip_prefix(home)?))
    };
    let (live, below) = homes::split(&entry.src).or_else(elsewhere)?;
    // An entry may be stored under other names than its own; then it has no home there.
    let stored = entry.dst.strip_suffix(&below)?;
    (!stored.is_root()).then_some((live, stored))
}

/// What tells whose a home is.
struct HomeOwners<'a> {
    plan: &'a Mapping,
    file: &'a PlanFile,
    ids: &'a IdFiles,
}

impl HomeOwners<'_> {
    fn home(&self, target: &Target, live: RelPath, stored: RelPath, entry: &Entry) -> Home {
        let user = live.last().map(|name| escape(name.as_bytes()).into_owned()).unwrap_or_default();
        let mut home = Home { user, live, stored, uid: None, gid: None, mode: 0o700, entries: vec![entry.dst.clone()] };
        home.uid = if home.live == rel("root") { Some(0) } else { self.uid(&home.user) };
        // Root is merely the default owner of new parents in a home.
        if target.from.strip_prefix(&home.live).is_some()
            && target.parents.uid != 0
            && self.file.numbers == PlanNumbers::Known
        {
            (home.uid, home.gid) = (Some(target.parents.uid), Some(target.parents.gid));
        }
        for fixup in self.plan.fixups.iter().filter(|f| f.path == home.stored) {
            home.uid = fixup.uid.or(home.uid);
            home.gid = fixup.gid.or(home.gid);
            home.mode = fixup.mode.as_ref().map_or(home.mode, |mode| mode.change().of(home.mode, Kind::Directory));
        }
        let named = |uid: u32| self.file.names.iter().find(|n| n.kind == IdKind::User && n.number == Some(uid));
        if let Some(name) = home.uid.and_then(named) {
            home.user = escape(name.name.as_bytes()).into_owned();
        }
        home
    }

    /// The plan's own number comes before those of the new system.
    fn uid(&self, user: &str) -> Option<u32> {
        self.file.number(IdKind::User, user).or_else(|| self.ids.number(IdKind::User, user))
    }
}
