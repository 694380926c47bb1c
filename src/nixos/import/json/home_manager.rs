//! `home.persistence` of impermanence's first version: the key includes the home,
//! files are plain strings, and nothing has an owner.

use super::fields::{Object, list, needed, object, text};
use crate::base::path::RelPath;
use crate::nixos::import::declared::{
    Authority, Declaration, DeclaredHome, DeclaredKind, DeclaredPath, Told, attribute,
};
use crate::nixos::import::note::ImportNote;
use crate::nixos::import::person::Person;
use serde_json::Value;

/// True for a storage area that only this schema can have.
pub(super) fn recognises(storage: &Object) -> bool {
    let odd = |key: &str, odd: &dyn Fn(&Value) -> bool| {
        storage.get(key).and_then(Value::as_array).is_some_and(|items| items.iter().any(odd))
    };
    ["removePrefixDirectory", "allowOther", "defaultDirectoryMethod"].iter().any(|key| storage.contains_key(*key))
        || odd("files", &Value::is_string)
        || odd("directories", &|item| item.get("dirPath").is_none() && item.get("how").is_none())
}

pub(super) fn read(value: &Value, person: &Person, option: &str, all: &mut Declaration) -> Result<(), String> {
    for (key, storage) in object(value, option)? {
        let origin = format!("{option}.{}", attribute(key));
        let storage = object(storage, &origin)?;
        if storage.get("enable") == Some(&Value::Bool(false)) {
            all.notes.push(ImportNote::remark(format!("{origin} is left out: it has enable = false")));
            continue;
        }
        let shown = text(storage, "persistentStoragePath", &origin)?.unwrap_or(key);
        let Some(path) = all.path(shown, &origin) else { continue };
        let Some(home) = home(&path, person, all) else {
            return Err(format!("{origin}: its home is not known\n  name it with --user NAME and --home DIR"));
        };
        all.storage(&path);
        let prefix = match storage.get("removePrefixDirectory") {
            Some(Value::Bool(true)) => Prefix::Removed,
            _ => Prefix::Kept,
        };
        for (key, kind) in [("directories", DeclaredKind::Directory), ("files", DeclaredKind::File)] {
            let origin = format!("{origin}.{key}");
            for item in list(storage, key, &origin)? {
                let text = match item {
                    Value::String(text) => text,
                    item => needed(
                        object(item, &origin)?,
                        if kind == DeclaredKind::File { "file" } else { "directory" },
                        &origin,
                    )?,
                };
                let Some(below) = all.path(text, &origin) else { continue };
                let live = match prefix {
                    Prefix::Kept => below.clone(),
                    Prefix::Removed => without_first(&below),
                };
                let entry = DeclaredPath {
                    live: home.dir.join_path(&live),
                    stored: path.join_path(&below),
                    kind,
                    owner: None,
                    group: None,
                    mode: None,
                    told: Told::Evaluated,
                    authority: Authority::Storage,
                    is_linked: false,
                    home: Some(home.clone()),
                    origin: origin.clone(),
                };
                all.entries.push(entry);
            }
        }
    }
    Ok(())
}

/// Whether a path's first name exists only on the storage: `screen/.screenrc` is seen as `.screenrc`.
#[derive(Clone, Copy)]
enum Prefix {
    Kept,
    Removed,
}

fn without_first(path: &RelPath) -> RelPath {
    path.names().skip(1).fold(RelPath::root(), |path, name| path.join(&name))
}

/// The home: as the user says, or as `users.users` says for a storage path that ends with it, or
/// `/home/NAME` at the end of that path.
fn home(storage: &RelPath, person: &Person, all: &Declaration) -> Option<DeclaredHome> {
    let home = |dir: RelPath, user| Some(DeclaredHome { dir, stored: storage.clone(), user, group: None, mode: None });
    if let Some(dir) = person.home() {
        return home(dir, person.user.clone());
    }
    let ends = |dir: &RelPath| storage.ends_with(dir);
    let known = all.users.iter().find(|(_, user)| user.home.as_ref().is_some_and(|dir| !dir.is_root() && ends(dir)));
    if let Some((name, user)) = known {
        return home(user.home.clone()?, Some(name.clone()));
    }
    let last = storage.last()?;
    let name = std::str::from_utf8(last.as_bytes()).ok()?;
    let dir = Person::usual_home(name);
    if ends(&dir) { home(dir, Some(name.to_string())) } else { None }
}
