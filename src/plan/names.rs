//! The users and groups that a plan names, without looking up their numbers.

use super::draft::{IdRef, IdValue, Plan};
use crate::engine::mapping::model::IdKind;
use std::collections::BTreeMap;

/// A user or group that the plan names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanName {
    /// User or group.
    pub kind: IdKind,
    /// The name.
    pub name: String,
    /// The number that the plan's `[ids]` gives it.
    pub number: Option<u32>,
}

impl Plan {
    /// Every name of the plan once, those of `[ids]` among them, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<PlanName> {
        let mut found = BTreeMap::new();
        for (kind, ids) in [(IdKind::User, &self.users), (IdKind::Group, &self.groups)] {
            found.extend(ids.iter().map(|(name, id)| ((kind, name.clone()), Some(*id))));
        }
        for (kind, reference) in self.references() {
            if let IdValue::Name(name) = &reference.value {
                found.entry((kind, name.clone())).or_insert(None);
            }
        }
        found.into_iter().map(|((kind, name), number)| PlanName { kind, name, number }).collect()
    }

    /// The plan without the owners and groups that only a machine's files can turn into numbers: it
    /// resolves even if these are damaged.
    #[must_use]
    pub fn without_lookups(mut self) -> Self {
        let (users, groups) = (self.users.clone(), self.groups.clone());
        let keep = |ids: &BTreeMap<String, u32>, slot: &mut Option<IdRef>| {
            if matches!(slot, Some(IdRef { value: IdValue::Name(name), .. }) if !ids.contains_key(name)) {
                *slot = None;
            }
        };
        for target in &mut self.targets {
            if let Some(parents) = &mut target.parents {
                keep(&users, &mut parents.owner);
                keep(&groups, &mut parents.group);
            }
            for entry in &mut target.entries {
                keep(&users, &mut entry.owner);
                keep(&groups, &mut entry.group);
            }
        }
        for fixup in &mut self.fixups {
            keep(&users, &mut fixup.owner);
            keep(&groups, &mut fixup.group);
        }
        self
    }

    fn references(&self) -> impl Iterator<Item = (IdKind, &IdRef)> {
        let parents = self.targets.iter().flat_map(|t| &t.parents).map(|p| (&p.owner, &p.group));
        let entries = self.targets.iter().flat_map(|t| &t.entries).map(|e| (&e.owner, &e.group));
        let fixups = self.fixups.iter().map(|f| (&f.owner, &f.group));
        parents.chain(entries).chain(fixups).flat_map(|(owner, group)| {
            let owner = owner.iter().map(|owner| (IdKind::User, owner));
            owner.chain(group.iter().map(|group| (IdKind::Group, group)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Backup, Overrides};
    use std::path::Path;

    const PLAN: &str = r#"version = 1
[ids]
users = { sinh = 1000 }
[[target]]
to = "/persist"
parents = { owner = "sinh", group = "nobody-knows" }
files = [{ path = "/f", owner = "nobody-knows", group = 5 }]
"#;

    fn plan() -> Plan {
        Plan::parse(Path::new("p.toml"), PLAN).expect("a good plan")
    }

    #[test]
    fn each_name_once_with_its_own_number() {
        let name = |kind, name: &str, number| PlanName { kind, name: name.into(), number };
        let expected = [
            name(IdKind::User, "nobody-knows", None),
            name(IdKind::User, "sinh", Some(1000)),
            name(IdKind::Group, "nobody-knows", None),
        ];
        assert_eq!(plan().names(), expected);
    }

    #[test]
    fn without_lookups_only_what_needs_one_is_forgotten() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::write(root.path().join("f"), "").expect("a file");
        let overrides = Overrides { root: Some(root.path().into()), ..Overrides::default() };
        assert!(plan().resolve(&overrides, Backup::Arrived).is_err());
        let resolved = plan().without_lookups().resolve(&overrides, Backup::Arrived).expect("no name is left");
        assert_eq!((resolved.targets[0].parents.uid, resolved.targets[0].parents.gid), (1000, 0));
        assert_eq!((resolved.targets[0].entries[0].uid, resolved.targets[0].entries[0].gid), (None, None));
    }
}
