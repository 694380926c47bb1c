//! Names become numbers, using the machines' own files and never the user database of the machine
//! that runs persistcp: an installer does not know `sinh`.
//!
//! The order: the plan's `[ids]`; the target's `/var/lib/nixos` maps and its
//! passwd and group, under the root and in each storage area; the backup's;
//! NixOS's static ids.

use super::draft::Plan;
use super::id_file::{IdNames, parse_map, parse_table};
use super::static_ids;
use crate::base::path::RelPath;
use crate::base::path_tree::PathTree;
use crate::engine::mapping::model::{Drift, IdConflict, IdKind};
use crate::engine::mapping::renumber::{Both, Renumbering};
use crate::sys::root::Root;
use crate::sys::{Errno, errno_words};
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::path::Path;

/// Reads one kind of file; the error says what is wrong with it.
type Parser = fn(&[u8]) -> Result<IdNames, String>;

/// A file that was read.
struct NameFile {
    shown: String,
    /// Below the root, or below the backup.
    path: RelPath,
    names: IdNames,
}

/// Everything that gives names numbers, in order of authority.
pub(crate) struct Ids {
    users: IdSides,
    groups: IdSides,
    /// Files that are damaged: what is wrong with each.
    pub(crate) damaged: Vec<Damaged>,
    /// Damaged files of the target that the plan replaces with the backup's good ones.
    pub(crate) replaced: Vec<String>,
}

/// A file that gives no numbers.
pub(crate) struct Damaged {
    /// On the target, or in the backup.
    side: IdSide,
    path: RelPath,
    pub(crate) words: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IdSide {
    Target,
    Backup,
}

#[derive(Default)]
struct IdSides {
    target: Vec<NameFile>,
    backup: Vec<NameFile>,
}

/// Maps and passwd files are small; anything larger is something else.
const LARGEST: u64 = 16 << 20;

impl Ids {
    /// Reads the files of both machines. Damaged files are collected, and not fatal here.
    pub(crate) fn read(plan: &Plan, source: Option<(&Root, &Path)>, root_path: &Path) -> Self {
        let (users, groups) = (IdSides::default(), IdSides::default());
        let mut ids = Self { users, groups, damaged: Vec::new(), replaced: Vec::new() };
        match Root::open(root_path) {
            Ok(root) => {
                let storages = plan.targets.iter().filter(|t| t.from.is_root() && !t.entries.is_empty());
                let mut bases = vec![RelPath::root()];
                bases.extend(storages.map(|t| t.to.clone()));
                for base in bases {
                    ids.side(&root, root_path, &base, IdSide::Target);
                }
            }
            // An absent root has no ids; preflight reports it better.
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => {
                let words = format!("{} cannot be opened: {}", root_path.display(), errno_words(errno));
                ids.damaged.push(Damaged { side: IdSide::Target, path: RelPath::root(), words });
            }
        }
        if let Some((source, path)) = source {
            ids.side(source, path, &RelPath::root(), IdSide::Backup);
            ids.set_aside(plan, source);
        }
        ids
    }

    /// A map of the target damaged by a crash must not keep the plan from restoring it.
    fn set_aside(&mut self, plan: &Plan, source: &Root) {
        let bad = |path: &RelPath| self.damaged.iter().any(|d| d.side == IdSide::Backup && d.path == *path);
        let entries = plan.targets.iter().flat_map(|t| t.entries.iter().map(move |e| (t, &e.path)));
        let sources: PathTree<RelPath> =
            entries.map(|(target, path)| (target.to.join_path(path), target.from.join_path(path))).collect();
        let brings = |damaged: &Damaged| {
            damaged.side == IdSide::Target
                && sources.above(&damaged.path).iter().any(|(src, below)| {
                    let src = src.join_path(below);
                    source.open_in(&src, OFlags::PATH).is_ok() && !bad(&src)
                })
        };
        let replaced: Vec<bool> = self.damaged.iter().map(brings).collect();
        let mut replaced = replaced.into_iter();
        for damaged in std::mem::take(&mut self.damaged) {
            if replaced.next() == Some(true) {
                self.replaced
                    .push(format!("{}; the plan brings the backup's, a later run with --overwrite", damaged.words));
            } else {
                self.damaged.push(damaged);
            }
        }
    }

    fn side(&mut self, root: &Root, shown: &Path, base: &RelPath, on: IdSide) {
        for (kind, map, table) in [(IdKind::User, "uid-map", "passwd"), (IdKind::Group, "gid-map", "group")] {
            let files: [(String, Parser); 2] =
                [(format!("var/lib/nixos/{map}"), parse_map), (format!("etc/{table}"), parse_table)];
            for (file, parse) in files {
                // Built from literals, so always a valid path.
                let path = base.join_path(&RelPath::new(file.as_bytes()).unwrap_or_default());
                let shown = shown.join(path.as_path()).display().to_string();
                let names = match root.read(&path, LARGEST) {
                    Ok(bytes) => parse(&bytes),
                    Err(Errno::NOENT | Errno::NOTDIR) => Ok(IdNames::new()),
                    Err(errno) => Err(format!("cannot be read: {}", errno_words(errno))),
                };
                match names {
                    Ok(names) => {
                        let sides = match kind {
                            IdKind::User => &mut self.users,
                            IdKind::Group => &mut self.groups,
                        };
                        let side = match on {
                            IdSide::Target => &mut sides.target,
                            IdSide::Backup => &mut sides.backup,
                        };
                        side.push(NameFile { shown, path, names });
                    }
                    Err(what) => self.damaged.push(Damaged { side: on, path, words: format!("{shown} {what}") }),
                }
            }
        }
    }

    fn sides(&self, kind: IdKind) -> &IdSides {
        match kind {
            IdKind::User => &self.users,
            IdKind::Group => &self.groups,
        }
    }

    /// The number of `name`, or the places that were searched in vain.
    pub(crate) fn find(&self, plan: &Plan, kind: IdKind, name: &str) -> Result<u32, Vec<String>> {
        let own = plan.ids(kind);
        if let Some(id) = own.get(name) {
            return Ok(*id);
        }
        let sides = self.sides(kind);
        for place in sides.target.iter().chain(&sides.backup) {
            if let Some(id) = place.names.get(name) {
                return Ok(*id);
            }
        }
        static_ids::find(kind, name).ok_or_else(|| {
            let own = "the plan's [ids]".to_string();
            let files = sides.target.iter().chain(&sides.backup).map(|p| p.shown.clone());
            std::iter::once(own).chain(files).chain(["NixOS's static ids".to_string()]).collect()
        })
    }

    /// A name of the number `id`: the plan's own, else the backup's, else NixOS's.
    pub(crate) fn name(&self, plan: &Plan, kind: IdKind, id: u32) -> Option<String> {
        let own = plan.ids(kind);
        let backup = self.sides(kind).backup.iter().map(|place| &place.names);
        let found = std::iter::once(own).chain(backup).find_map(|names| names.iter().find(|(_, known)| **known == id));
        found.map(|(name, _)| name.clone()).or_else(|| static_ids::name(kind, id).map(str::to_string))
    }

    /// Names that have one number in the backup and another on the target, numbers that belong to
    /// different names, and what `--remap-ids` does about both.
    pub(crate) fn renumbering(&self, plan: &Plan) -> (Vec<Drift>, Vec<IdConflict>, Renumbering) {
        let (mut drift, mut id_conflicts, mut renumbering) = (Vec::new(), Vec::new(), Renumbering::default());
        for kind in [IdKind::User, IdKind::Group] {
            let own = plan.ids(kind);
            let sides = self.sides(kind);
            let mut target: BTreeMap<String, (u32, Option<RelPath>)> =
                own.iter().map(|(name, id)| (name.clone(), (*id, None))).collect();
            for (place, (name, id)) in sides.target.iter().flat_map(|p| p.names.iter().map(move |n| (p, n))) {
                target.entry(name.clone()).or_insert_with(|| (*id, Some(place.path.clone())));
            }
            let mut backup = IdNames::new();
            for (name, id) in sides.backup.iter().flat_map(|p| &p.names) {
                backup.entry(name.clone()).or_insert(*id);
            }
            let (differ, change) =
                renumbering.add(&Both { kind, backup: &backup, target: &target, fixed: static_ids::find });
            drift.extend(differ);
            id_conflicts.extend(change);
        }
        (drift, id_conflicts, renumbering)
    }
}
