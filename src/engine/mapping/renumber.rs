//! Names that have one number in the backup and another on the target, and how `--remap-ids`
//! changes the backup's numbers.

use super::ids::{Drift, IdConflict, IdKind};
use crate::base::path::RelPath;
use std::collections::{BTreeMap, BTreeSet};

/// The target's numbers for the backup's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renumbering {
    users: NumberMap,
    groups: NumberMap,
    /// Why the backup's numbers cannot be changed to the target's.
    pub refusals: Vec<Unrenumbered>,
    /// Files below the root that gave the target's numbers: replacing one of them would make the new
    /// numbers wrong.
    pub given_by: BTreeSet<RelPath>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NumberMap {
    to: BTreeMap<u32, u32>,
    foreign: BTreeSet<u32>,
}

/// Names whose number in the backup cannot become the target's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrenumbered {
    /// Their files would become root's, or root's files theirs.
    Root {
        /// Users or groups.
        kind: IdKind,
        /// Their names.
        names: Vec<String>,
        /// Their number in the backup.
        backup: u32,
        /// The target's.
        target: u32,
    },
    /// They share this number in the backup, and have several on the target.
    Shared {
        /// Users or groups.
        kind: IdKind,
        /// Their names.
        names: Vec<String>,
        /// The number.
        id: u32,
    },
}

/// What to do with one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// This number: its name on the target is the name in the backup, if they have one.
    Good(u32),
    /// It is kept, and is another name's on the target: the backup's is unknown there.
    Foreign(u32),
}

/// Names of one kind on both machines.
pub(crate) struct Both<'n> {
    pub(crate) kind: IdKind,
    pub(crate) backup: &'n BTreeMap<String, u32>,
    /// The number, and the file below the root that gave it (none for the plan's `[ids]`).
    pub(crate) target: &'n BTreeMap<String, (u32, Option<RelPath>)>,
    /// Numbers that a name has on every machine, whether or not its files list it.
    pub(crate) fixed: fn(IdKind, &str) -> Option<u32>,
}

impl Renumbering {
    /// What to do with a number of the backup.
    #[must_use]
    pub fn of(&self, kind: IdKind, id: u32) -> Number {
        let numbers = match kind {
            IdKind::User => &self.users,
            IdKind::Group => &self.groups,
        };
        match numbers.to.get(&id) {
            Some(to) => Number::Good(*to),
            None if numbers.foreign.contains(&id) => Number::Foreign(id),
            None => Number::Good(id),
        }
    }

    /// Adds the names of one kind; returns those that differ and the numbers that belong to others.
    pub(crate) fn add(&mut self, both: &Both<'_>) -> (Vec<Drift>, Vec<IdConflict>) {
        let Both { kind, backup, target, fixed } = *both;
        let (mut drift, mut id_conflicts, mut numbers) = (Vec::new(), Vec::new(), NumberMap::default());
        let mut owners: BTreeMap<u32, &str> = BTreeMap::new();
        for (name, (id, _)) in target {
            owners.entry(*id).or_insert(name);
        }
        let mut by_number: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for (name, id) in backup {
            by_number.entry(*id).or_default().push(name);
            match target.get(name) {
                Some((now, place)) if now != id => {
                    drift.push(Drift { kind, name: name.clone(), backup: *id, target: *now, remapped: false });
                    self.given_by.extend(place.clone());
                }
                _ => {}
            }
        }
        for (id, names) in &by_number {
            let known: BTreeSet<u32> = names.iter().filter_map(|name| target.get(*name)).map(|(now, _)| *now).collect();
            match (known.first(), known.len()) {
                (None, _) => {
                    if let Some(owner) = owners.get(id) {
                        let (backup, target) = (names.join(", "), (*owner).to_string());
                        id_conflicts.push(IdConflict { kind, id: *id, backup, target });
                        numbers.foreign.insert(*id);
                    }
                }
                (Some(now), 1) if now == id => {}
                // A set-user-ID file would hand out root's rights.
                (Some(now), 1) if *now == 0 || *id == 0 => {
                    let names = names.iter().map(ToString::to_string).collect();
                    self.refusals.push(Unrenumbered::Root { kind, names, backup: *id, target: *now });
                }
                (Some(now), 1) => {
                    numbers.to.insert(*id, *now);
                }
                _ => {
                    let names = names.iter().map(ToString::to_string).collect();
                    self.refusals.push(Unrenumbered::Shared { kind, names, id: *id });
                }
            }
        }
        // Numbers without a name in the backup; if it has no names at all, nothing can be said.
        if !backup.is_empty() {
            let named = |name: &str, id: u32| fixed(kind, name) == Some(id);
            let nameless = owners.iter().filter(|(id, name)| !by_number.contains_key(id) && !named(name, **id));
            numbers.foreign.extend(nameless.map(|(id, _)| *id));
        }
        *match kind {
            IdKind::User => &mut self.users,
            IdKind::Group => &mut self.groups,
        } = numbers;
        (drift, id_conflicts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(_: IdKind, name: &str) -> Option<u32> {
        (name == "cups").then_some(36)
    }

    fn made(backup: &[(&str, u32)], target: &[(&str, u32)]) -> (Renumbering, Vec<Drift>, Vec<IdConflict>) {
        let mut renumbering = Renumbering::default();
        let backup = backup.iter().map(|(name, id)| ((*name).to_string(), *id)).collect();
        let target = target.iter().map(|(name, id)| ((*name).to_string(), (*id, None))).collect();
        let (drift, id_conflicts) =
            renumbering.add(&Both { kind: IdKind::User, backup: &backup, target: &target, fixed });
        (renumbering, drift, id_conflicts)
    }

    fn user(renumbering: &Renumbering, id: u32) -> Number {
        renumbering.of(IdKind::User, id)
    }

    #[test]
    fn two_names_may_change_places() {
        let (map, drift, _) = made(&[("a", 997), ("b", 994)], &[("a", 994), ("b", 997)]);
        assert_eq!((user(&map, 997), user(&map, 994)), (Number::Good(994), Number::Good(997)));
        assert_eq!((user(&map, 1), drift.len()), (Number::Good(1), 2));
    }

    #[test]
    fn a_number_that_another_name_has_on_the_target_is_foreign() {
        let (map, _, id_conflicts) = made(&[("colord", 997), ("geoclue", 994)], &[("colord", 994), ("new", 990)]);
        assert_eq!(user(&map, 997), Number::Good(994));
        assert_eq!(user(&map, 994), Number::Foreign(994));
        assert_eq!((id_conflicts[0].backup.as_str(), id_conflicts[0].target.as_str()), ("geoclue", "colord"));
        // Nobody's in the backup, `new`'s on the target.
        assert_eq!(user(&map, 990), Number::Foreign(990));
    }

    #[test]
    fn names_of_one_number_with_several_on_the_target_are_refused() {
        let (map, ..) = made(&[("a", 997), ("b", 997)], &[("a", 994), ("b", 997)]);
        let names = vec!["a".into(), "b".into()];
        assert_eq!(map.refusals, [Unrenumbered::Shared { kind: IdKind::User, names, id: 997 }]);
        let (map, ..) = made(&[("a", 997), ("b", 997)], &[("a", 994), ("b", 994)]);
        assert_eq!((map.refusals.len(), user(&map, 997)), (0, Number::Good(994)));
    }

    #[test]
    fn nothing_becomes_roots() {
        for (backup, target) in [(997, 0), (0, 997)] {
            let (map, ..) = made(&[("a", backup)], &[("a", target)]);
            assert_eq!((map.refusals.len(), user(&map, backup)), (1, Number::Good(backup)));
        }
    }

    #[test]
    fn a_static_name_that_the_backup_does_not_list_is_nobody_elses() {
        let (map, ..) = made(&[("root", 0)], &[("root", 0), ("cups", 36), ("odd", 37)]);
        assert_eq!((user(&map, 36), user(&map, 37)), (Number::Good(36), Number::Foreign(37)));
    }
}
