//! `users.users`, `users.groups` and `services.openssh.hostKeys`.

use super::fields::{needed, object, text};
use crate::nixos::import::declared::{Declaration, DeclaredHostKey, DeclaredUser};
use serde_json::Value;

pub(super) fn users(value: &Value, all: &mut Declaration) -> Result<(), String> {
    for (key, user) in object(value, "users.users")? {
        let origin = format!("users.users.{key}");
        let user = object(user, &origin)?;
        let name = text(user, "name", &origin)?.unwrap_or(key);
        let home = match text(user, "home", &origin)? {
            Some(home) => all.path(home, &origin),
            None => None,
        };
        let group = text(user, "group", &origin)?.map(str::to_string);
        let user = DeclaredUser { uid: number(user.get("uid"), &origin)?, group, home };
        if name != key {
            all.accounts.insert(key.clone(), name.to_string());
        }
        all.users.insert(name.to_string(), user);
    }
    Ok(())
}

pub(super) fn groups(value: &Value, all: &mut Declaration) -> Result<(), String> {
    for (key, group) in object(value, "users.groups")? {
        let origin = format!("users.groups.{key}");
        let group = object(group, &origin)?;
        let name = text(group, "name", &origin)?.unwrap_or(key);
        if let Some(gid) = number(group.get("gid"), &origin)? {
            all.groups.insert(name.to_string(), gid);
        }
    }
    Ok(())
}

/// A number that the machine will choose itself is null.
fn number(value: Option<&Value>, origin: &str) -> Result<Option<u32>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
            Some(id) if id != u32::MAX => Ok(Some(id)),
            _ => Err(format!("{origin}: {value} is not an id")),
        },
    }
}

pub(super) fn host_keys(value: &Value, all: &mut Declaration) -> Result<(), String> {
    const OPTION: &str = "services.openssh.hostKeys";
    for item in value.as_array().ok_or_else(|| format!("{OPTION} is not a list"))? {
        let shown = needed(object(item, OPTION)?, "path", OPTION)?;
        if let Some(path) = all.path(shown, OPTION) {
            all.host_keys.push(DeclaredHostKey { path, origin: OPTION.into() });
        }
    }
    Ok(())
}
