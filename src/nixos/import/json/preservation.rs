//! `preservation.preserveAt`: absolute paths, and files with an owner and a mode.

use super::entry;
use super::entry::{ListContext, SharedHome};
use super::fields::{Object, inner, list, object, text};
use crate::base::path::RelPath;
use crate::nixos::import::declared::{Authority, Declaration, DeclaredKind, attribute};
use serde_json::Value;

/// True for a storage area that only this schema can have.
pub(super) fn recognises(storage: &Object) -> bool {
    let how = |lists: &Object| {
        ["directories", "files"]
            .iter()
            .filter_map(|key| lists.get(*key).and_then(Value::as_array))
            .flatten()
            .any(|item| item.get("how").is_some())
    };
    let user = |user: &Value| {
        user.as_object().is_some_and(|user| user.contains_key("homeMode") || user.contains_key("username") || how(user))
    };
    storage.contains_key("commonMountOptions")
        || how(storage)
        || storage.get("users").and_then(Value::as_object).is_some_and(|users| users.values().any(user))
}

pub(super) fn read(value: &Value, all: &mut Declaration) -> Result<(), String> {
    const OPTION: &str = "preservation.preserveAt";
    for (key, storage) in object(value, OPTION)? {
        let origin = format!("{OPTION}.{}", attribute(key));
        let storage = object(storage, &origin)?;
        let Some(path) = all.path(text(storage, "persistentStoragePath", &origin)?.unwrap_or(key), &origin) else {
            continue;
        };
        all.storage(&path);
        lists_of(storage, &path, None, &origin, all)?;
        for (key, user) in inner(storage, "users", &origin)?.into_iter().flatten() {
            let origin = format!("{origin}.users.{}", attribute(key));
            let user = object(user, &origin)?;
            let name = text(user, "username", &origin)?.unwrap_or(key).to_string();
            let known = all.users.get(all.account(&name)).and_then(|user| user.home.clone());
            let dir = match text(user, "home", &origin)? {
                Some(dir) => match all.path(dir, &origin) {
                    Some(dir) => dir,
                    None => continue,
                },
                None => known.ok_or_else(|| format!("{origin} has no `home`"))?,
            };
            let home = SharedHome {
                dir,
                user: Some(name),
                group: text(user, "homeGroup", &origin)?.map(str::to_string),
                mode: text(user, "homeMode", &origin)?.map(str::to_string),
            };
            lists_of(user, &path, Some(&home), &origin, all)?;
        }
    }
    Ok(())
}

fn lists_of(
    lists: &Object,
    storage: &RelPath,
    home: Option<&SharedHome>,
    origin: &str,
    all: &mut Declaration,
) -> Result<(), String> {
    for (key, path, kind) in
        [("directories", "directory", DeclaredKind::Directory), ("files", "file", DeclaredKind::File)]
    {
        let origin = format!("{origin}.{key}");
        let shared = ListContext { storage, home, authority: Authority::Configuration, origin: &origin };
        for item in list(lists, key, &origin)? {
            let item = object(item, &origin)?;
            // The module adds the parents of a user's entries to the list; they were not declared.
            if item.get("how").and_then(Value::as_str) != Some("_intermediate") {
                entry::read(item, path, kind, &shared, all)?;
            }
        }
    }
    Ok(())
}
