//! What `plan nix-expr` extracts from a whole configuration.

use super::fields::{inner, object, text};
use super::{home_manager, impermanence, machine, preservation};
use crate::nixos::import::declared::{Declaration, attribute};
use crate::nixos::import::person::Person;
use serde_json::Value;

/// The key that identifies such a file; its value is the format's version.
pub(super) const MARK: &str = "persistcp";

/// Users and groups.
pub(super) fn machine(value: &Value, all: &mut Declaration) -> Result<(), String> {
    if value.get(MARK).and_then(Value::as_u64) != Some(1) {
        return Err("it was made by another version of `persistcp plan nix-expr`; make it again with this one's".into());
    }
    let host = text(object(value, "the file")?, "host", "the file")?;
    all.host = all.host.take().or_else(|| host.map(str::to_string));
    if let Some(users) = present(value, "users") {
        machine::users(users, all)?;
    }
    present(value, "groups").map_or(Ok(()), |groups| machine::groups(groups, all))
}

/// Everything else.
pub(super) fn storages(value: &Value, person: &Person, all: &mut Declaration) -> Result<(), String> {
    if let Some(persistence) = present(value, "persistence") {
        let place = impermanence::OptionSource { option: "environment.persistence".into(), user: None };
        impermanence::read(persistence, &place, all)?;
    }
    let top = object(value, "the file")?;
    for (key, home) in inner(top, "home", "the file")?.into_iter().flatten() {
        let option = format!("home-manager.users.{}.home.persistence", attribute(key));
        let home = object(home, &option)?;
        let user = text(home, "username", &option)?.unwrap_or(key).to_string();
        let dir = text(home, "homeDirectory", &option)?.map(str::to_string);
        let Some(persistence) = home.get("persistence") else { continue };
        let old = persistence
            .as_object()
            .is_some_and(|storages| storages.values().filter_map(Value::as_object).any(home_manager::recognises));
        if old {
            let dir = match &dir {
                Some(dir) => all.path(dir, &option),
                None => person.home(),
            };
            let person = Person { user: Some(user), dir };
            home_manager::read(persistence, &person, &option, all)?;
        } else {
            let place = impermanence::OptionSource { option, user: Some(user) };
            impermanence::read(persistence, &place, all)?;
        }
    }
    if let Some(preserve) = present(value, "preservation") {
        preservation::read(preserve, all)?;
    }
    present(value, "hostKeys").map_or(Ok(()), |keys| machine::host_keys(keys, all))
}

fn present<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    value.get(key).filter(|value| !value.is_null())
}
