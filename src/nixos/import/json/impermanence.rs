//! `environment.persistence` of impermanence, whole as its first version evaluates
//! or projected from the second, and the second's `home.persistence`.

use super::entry;
use super::entry::{ListContext, SharedHome};
use super::fields::{Object, inner, list, needed, object, text};
use crate::base::path::RelPath;
use crate::nixos::import::declared::{Authority, Declaration, DeclaredKind, attribute};
use crate::nixos::import::note::ImportNote;
use serde_json::Value;

/// Which option it is, and for home-manager whose.
pub(super) struct OptionSource {
    pub(super) option: String,
    pub(super) user: Option<String>,
}

impl OptionSource {
    /// Guessed from the file alone: only the system's option has users below its storage areas.
    pub(super) fn guess(value: &Value) -> Self {
        let storages = value.as_object().into_iter().flat_map(|o| o.values());
        let system = storages.clone().any(|s| s.get("users").is_some());
        let option = if system { "environment.persistence" } else { "home.persistence" };
        Self { option: option.into(), user: None }
    }
}

pub(super) fn read(value: &Value, place: &OptionSource, all: &mut Declaration) -> Result<(), String> {
    for (key, storage) in object(value, &place.option)? {
        let origin = format!("{}.{}", place.option, attribute(key));
        let storage = object(storage, &origin)?;
        if storage.get("enable") == Some(&Value::Bool(false)) {
            all.notes.push(ImportNote::remark(format!("{origin} is left out: it has enable = false")));
            continue;
        }
        let Some(path) = all.path(text(storage, "persistentStoragePath", &origin)?.unwrap_or(key), &origin) else {
            continue;
        };
        all.storage(&path);
        // The first version lists the users' entries again among the system's: the users' own list comes first,
        // so that comments name it.
        if let Some(users) = inner(storage, "users", &origin)? {
            for (user, lists) in users {
                let origin = format!("{origin}.users.{}", attribute(user));
                lists_of(object(lists, &origin)?, &path, Some(user), &origin, all)?;
            }
        }
        lists_of(storage, &path, place.user.as_deref(), &origin, all)?;
    }
    Ok(())
}

const OLDER: &str = "this impermanence is older than 2022-11-13: it does not say where an entry is\n  \
update its flake input and evaluate again, or read the modules' text with `plan import --nix`";

/// An entry as it was written: modules from before 2022-11-13 add nothing to it (impermanence's commit
/// that brought `dirPath` and `filePath`).
fn is_older(item: &Value) -> bool {
    let Some(item) = item.as_object() else { return item.is_string() };
    !item.contains_key("dirPath")
        && !item.contains_key("filePath")
        && (item.contains_key("directory") || item.contains_key("file"))
}

fn lists_of(
    lists: &Object,
    storage: &RelPath,
    user: Option<&str>,
    origin: &str,
    all: &mut Declaration,
) -> Result<(), String> {
    let kinds = [("directories", "dirPath", DeclaredKind::Directory), ("files", "filePath", DeclaredKind::File)];
    for (key, path, kind) in kinds {
        let origin = format!("{origin}.{key}");
        for item in list(lists, key, &origin)? {
            if is_older(item) {
                return Err(format!("{origin}: {OLDER}"));
            }
            let item = object(item, &origin)?;
            let home = home(item, user, &origin, all)?;
            let shared = ListContext { storage, home: home.as_ref(), authority: Authority::Storage, origin: &origin };
            entry::read(item, path, kind, &shared, all)?;
            if kind == DeclaredKind::File {
                parent(item, path, &origin, all)?;
            }
        }
    }
    Ok(())
}

/// The home of an entry, with the attributes of its parents if the evaluator gives them.
fn home(item: &Object, user: Option<&str>, origin: &str, all: &mut Declaration) -> Result<Option<SharedHome>, String> {
    let parent = inner(item, "parentDirectory", origin)?;
    let holder = parent.unwrap_or(item);
    // `/` means "no home" in some versions.
    let Some(dir) = text(item, "home", origin)?.and_then(|dir| all.path(dir, origin)).filter(|dir| !dir.is_root())
    else {
        return Ok(None);
    };
    let defaults = inner(holder, "defaultPerms", origin)?.unwrap_or(holder);
    // A directory may have an owner of its own; only the defaults tell about the home.
    let speaks = parent.is_some() || holder.contains_key("defaultPerms");
    let of = |key: &str| Ok::<_, String>(text(defaults, key, origin)?.filter(|_| speaks).map(str::to_string));
    let user = match user {
        Some(user) => Some(user.to_string()),
        None => of("user")?.or(text(item, "user", origin)?.map(str::to_string)),
    };
    Ok(Some(SharedHome { dir, user, group: of("group")?, mode: None }))
}

/// A parent's declared mode has no place in a plan: the backup's own is kept.
fn parent(item: &Object, path: &str, origin: &str, all: &mut Declaration) -> Result<(), String> {
    let Some(parent) = inner(item, "parentDirectory", origin)? else { return Ok(()) };
    let mode = all.mode(text(parent, "mode", origin)?, origin);
    if let Some(mode) = mode.filter(|mode| mode.bits() != 0o755) {
        let (file, mode) = (needed(item, path, origin)?, mode.text());
        all.notes.push(ImportNote::warning(format!(
            "{origin}: the directory of {file} is declared with the mode {mode}; the plan keeps the backup's mode"
        )));
    }
    Ok(())
}
