//! Whose a home is: according to `users.users`, else to what the module gives the home's own parents,
//! else to most of its entries.

use crate::base::path::RelPath;
use crate::nixos::import::declared::{Declaration, DeclaredHome, DeclaredPath};
use crate::nixos::import::note::ImportNote;
use std::collections::BTreeMap;

/// Gives every entry of one home the same user, group and mode of that home.
pub(super) fn complete(declaration: &mut Declaration) {
    let mut homes: BTreeMap<RelPath, Vec<&DeclaredPath>> = BTreeMap::new();
    for entry in &declaration.entries {
        if let Some(home) = &entry.home {
            homes.entry(home.dir.clone()).or_default().push(entry);
        }
    }
    let mut known = BTreeMap::new();
    for (dir, entries) in homes {
        let first = |of: fn(&DeclaredHome) -> Option<&String>| {
            entries.iter().filter_map(|e| e.home.as_ref()).find_map(of).cloned()
        };
        let named =
            || declaration.users.iter().find(|(_, user)| user.home.as_ref() == Some(&dir)).map(|(n, _)| n.clone());
        let user = first(|home| home.user.as_ref()).or_else(named);
        let listed = user.as_ref().and_then(|user| declaration.users.get(user)).and_then(|user| user.group.clone());
        let group = listed.or_else(|| first(|home| home.group.as_ref())).or_else(|| commonest(&entries));
        if group.is_none() {
            declaration.notes.push(ImportNote::warning(format!(
                "the group of the home {dir} is not known: new parents in it get root's; \
                 write the group into the plan's `parents` and `fixup`, or import users.users from JSON as well"
            )));
        }
        let mode = entries.iter().filter_map(|e| e.home.as_ref()).find_map(|home| home.mode.clone());
        known.insert(dir, (user, group, mode));
    }
    for home in declaration.entries.iter_mut().filter_map(|entry| entry.home.as_mut()) {
        if let Some((user, group, mode)) = known.get(&home.dir) {
            (home.user, home.group, home.mode) = (user.clone(), group.clone(), mode.clone());
        }
    }
}

fn commonest(entries: &[&DeclaredPath]) -> Option<String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for group in entries.iter().filter_map(|entry| entry.group.as_ref()) {
        *counts.entry(group).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(group, _)| group.clone())
}
