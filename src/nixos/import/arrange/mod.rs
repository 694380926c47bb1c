//! From declared paths to a plan's tables: duplicates and conflicts are settled, homes get their user
//! and group, and entries with the same source and destination above them share a target.

mod accept;
mod accounts;
mod homes;
mod host_keys;

#[cfg(test)]
mod tests;

use super::declared::{Authority, Declaration, DeclaredHome, DeclaredKind, DeclaredMode, DeclaredPath, Told};
use super::need::{Secrecy, need, secrecy};
use super::note::ImportNote;
use crate::base::path::RelPath;
use crate::engine::mapping::model::{Mapping, Need};
use crate::nixos::known_paths::Spot;
use accept::Accepted;
use std::collections::{BTreeMap, BTreeSet};

/// A plan before it is text.
#[derive(Debug, Default)]
pub(super) struct Arranged {
    /// The machine's name, if a plan can have it.
    pub(super) host: Option<String>,
    pub(super) areas: Vec<TargetTable>,
    pub(super) maps: Vec<WholeTree>,
    pub(super) fixups: Vec<HomeFixup>,
    pub(super) users: BTreeMap<String, u32>,
    pub(super) groups: BTreeMap<String, u32>,
    pub(super) notes: Vec<ImportNote>,
}

/// A `[[target]]`.
#[derive(Debug)]
pub(super) struct TargetTable {
    pub(super) name: String,
    pub(super) from: RelPath,
    pub(super) to: RelPath,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) lines: Vec<TargetTableEntry>,
}

/// One of its entries, below `from`.
#[derive(Debug)]
pub(super) struct TargetTableEntry {
    pub(super) below: RelPath,
    pub(super) kind: DeclaredKind,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) mode: Option<DeclaredMode>,
    pub(super) need: Need,
    pub(super) origin: String,
}

/// A `[[map]]`.
#[derive(Debug)]
pub(super) struct WholeTree {
    pub(super) name: String,
    pub(super) from: RelPath,
    pub(super) to: RelPath,
    pub(super) origin: String,
}

/// A `[[fixup]]` of a home.
#[derive(Debug)]
pub(super) struct HomeFixup {
    pub(super) path: RelPath,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) mode: String,
}

pub(super) fn arrange(mut declaration: Declaration) -> Arranged {
    accounts::name(&mut declaration);
    homes::complete(&mut declaration);
    let mut notes = std::mem::take(&mut declaration.notes);
    let mut accepted = Accepted::default();
    for mut entry in std::mem::take(&mut declaration.entries) {
        notes.extend(too_open(&entry));
        notes.extend(home_twice(&entry));
        leave_defaults(&mut entry);
        notes.extend(accepted.offer(entry));
    }
    host_keys::add(&declaration, &mut accepted, &mut notes);
    let host = declaration.host.take().filter(|host| Mapping::is_name(host));
    let mut out = Arranged { host, notes, ..Arranged::default() };
    for entry in accepted.into_entries() {
        place(entry, &mut out);
    }
    // The system first; otherwise as declared.
    out.areas.sort_by_key(|area| !area.from.is_root());
    name_all(&mut out);
    number(&declaration, &mut out);
    out
}

fn usual_mode(entry: &DeclaredPath) -> u32 {
    match (entry.kind, entry.authority) {
        (DeclaredKind::File, Authority::Configuration) => 0o644,
        _ => 0o755,
    }
}

/// An evaluator's default is no reason to override the backup.
fn leave_defaults(entry: &mut DeclaredPath) {
    if entry.told == Told::Written {
        return;
    }
    let usual = usual_mode(entry);
    entry.mode = entry.mode.take().filter(|mode| mode.bits() != usual);
    let (owner, group) = match &entry.home {
        Some(home) => (home.user.as_deref(), home.group.as_deref()),
        None => (Some("root"), Some("root")),
    };
    if entry.owner.as_deref() == owner {
        entry.owner = None;
    }
    if entry.group.as_deref() == group {
        entry.group = None;
    }
}

/// preservation applies its modes at every boot, also to what was migrated.
fn too_open(entry: &DeclaredPath) -> Option<ImportNote> {
    if entry.authority != Authority::Configuration || entry.is_linked {
        return None;
    }
    let bits = entry.mode.as_ref().map_or(usual_mode(entry), DeclaredMode::bits);
    (secrecy(&spot(entry)) == Secrecy::Secret && bits & 0o077 != 0).then(|| {
        let (origin, live) = (&entry.origin, &entry.live);
        let narrow = if entry.kind == DeclaredKind::Directory { "0700" } else { "0600" };
        ImportNote::warning(format!(
            "{origin}: preservation gives {live} the mode {bits:04o} at every boot, whatever was migrated; \
             declare mode = \"{narrow}\""
        ))
    })
}

/// Both modules put an absolute path below the home, whatever it begins with.
fn home_twice(entry: &DeclaredPath) -> Option<ImportNote> {
    let (home, below) = below_home(entry)?;
    let meant = below.strip_prefix(&home.dir)?;
    let (origin, live) = (&entry.origin, &entry.live);
    Some(ImportNote::warning(format!(
        "{origin}: the module puts it at {live}, which has the home twice; declare {:?} to keep {below}",
        String::from_utf8_lossy(meant.as_bytes())
    )))
}

fn spot(entry: &DeclaredPath) -> Spot {
    match below_home(entry) {
        Some((_, below)) => Spot::Home(below),
        None => Spot::System(entry.live.clone()),
    }
}

fn below_home(entry: &DeclaredPath) -> Option<(&DeclaredHome, RelPath)> {
    let home = entry.home.as_ref()?;
    Some((home, entry.live.strip_prefix(&home.dir)?))
}

/// Puts an entry below its pair of source and destination directories.
fn place(entry: DeclaredPath, out: &mut Arranged) {
    let need = need(&spot(&entry));
    let home = below_home(&entry).map(|(home, below)| (home.clone(), below));
    let (from, below) = match &home {
        Some((home, below)) => (home.dir.clone(), below.clone()),
        None => (RelPath::root(), entry.live.clone()),
    };
    let Some(to) = entry.stored.strip_suffix(&below).filter(|to| !to.is_root()) else {
        out.notes.push(ImportNote::lost(format!(
            "{}: {} is kept at {}, which is not below a storage area",
            entry.origin, entry.live, entry.stored
        )));
        return;
    };
    let (owner, group) = match &home {
        Some((home, _)) => (home.user.clone(), home.group.clone()),
        None => (Some("root".to_string()), Some("root".to_string())),
    };
    if let Some((home, _)) = &home {
        fix(home, out);
    }
    if below.is_root() {
        if entry.mode.is_some() || entry.owner.is_some() || entry.group.is_some() {
            out.notes.push(ImportNote::warning(format!(
                "{}: a whole tree keeps the backup's owner and mode at its top; what is declared for it is left away",
                entry.origin
            )));
        }
        out.maps.push(WholeTree { name: String::new(), from, to, origin: entry.origin });
        return;
    }
    let line = TargetTableEntry {
        below,
        kind: entry.kind,
        owner: entry.owner,
        group: entry.group,
        mode: entry.mode,
        need,
        origin: entry.origin,
    };
    match out.areas.iter_mut().find(|area| area.from == from && area.to == to) {
        Some(area) => area.lines.push(line),
        None => out.areas.push(TargetTable { name: String::new(), from, to, owner, group, lines: vec![line] }),
    }
}

fn fix(home: &DeclaredHome, out: &mut Arranged) {
    // A folder of dotfiles is not a home, whatever is linked from it into one.
    let is_home = home.stored.ends_with(&home.dir);
    if !is_home || out.fixups.iter().any(|fixup| fixup.path == home.stored) {
        return;
    }
    out.fixups.push(HomeFixup {
        path: home.stored.clone(),
        owner: home.user.clone(),
        group: home.group.clone(),
        mode: home.mode.as_ref().map_or("0700", DeclaredMode::text).to_string(),
    });
}

/// `system`, or the home's last name; with the storage if that is not unique.
fn name_all(out: &mut Arranged) {
    let base = |from: &RelPath| from.last().map_or_else(|| "system".to_string(), |name| name.to_string());
    let mut bases: BTreeMap<String, usize> = BTreeMap::new();
    for from in out.areas.iter().map(|a| &a.from).chain(out.maps.iter().map(|m| &m.from)) {
        *bases.entry(base(from)).or_default() += 1;
    }
    let mut taken = BTreeSet::new();
    let mut name = |from: &RelPath, to: &RelPath| {
        let base = base(from);
        let mut name = if bases.get(&base) == Some(&1) { base } else { format!("{base} in {to}") };
        while !taken.insert(name.clone()) {
            name.push('\'');
        }
        name
    };
    for area in &mut out.areas {
        area.name = name(&area.from, &area.to);
    }
    for map in &mut out.maps {
        map.name = name(&map.from, &map.to);
    }
}

/// Numbers of the names that the plan uses, if the configuration fixes them.
fn number(declaration: &Declaration, out: &mut Arranged) {
    let mut users: BTreeSet<&String> = out.fixups.iter().filter_map(|f| f.owner.as_ref()).collect();
    let mut groups: BTreeSet<&String> = out.fixups.iter().filter_map(|f| f.group.as_ref()).collect();
    for area in &out.areas {
        users.extend(area.owner.iter().chain(area.lines.iter().filter_map(|line| line.owner.as_ref())));
        groups.extend(area.group.iter().chain(area.lines.iter().filter_map(|line| line.group.as_ref())));
    }
    let uid = |name: &String| declaration.users.get(name).and_then(|user| user.uid).map(|uid| (name.clone(), uid));
    let gid = |name: &String| declaration.groups.get(name).map(|gid| (name.clone(), *gid));
    let (users, groups) = (users.into_iter().filter_map(uid).collect(), groups.into_iter().filter_map(gid).collect());
    out.users = users;
    out.groups = groups;
}
