//! A directory or file of impermanence and of preservation: both give absolute paths.

use super::fields::{Object, needed, text};
use crate::base::path::RelPath;
use crate::nixos::import::declared::{Authority, Declaration, DeclaredHome, DeclaredKind, DeclaredPath, Told};

/// What the entries of one list share.
pub(super) struct ListContext<'s> {
    pub(super) storage: &'s RelPath,
    pub(super) home: Option<&'s SharedHome>,
    pub(super) authority: Authority,
    pub(super) origin: &'s str,
}

/// A home before the storage of its entries is known.
#[derive(Clone, Debug)]
pub(super) struct SharedHome {
    pub(super) dir: RelPath,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) mode: Option<String>,
}

/// Reads an entry whose live path is at `key`.
pub(super) fn read(
    object: &Object,
    key: &str,
    kind: DeclaredKind,
    shared: &ListContext<'_>,
    all: &mut Declaration,
) -> Result<(), String> {
    let origin = shared.origin;
    let live = needed(object, key, origin)?;
    let place = format!("{origin}: {live}");
    let Some(live) = all.path(live, &place) else { return Ok(()) };
    let storage = match text(object, "persistentStoragePath", origin)? {
        Some(path) => match all.path(path, &place) {
            Some(path) => path,
            None => return Ok(()),
        },
        None => shared.storage.clone(),
    };
    let home = shared.home.map(|home| DeclaredHome {
        dir: home.dir.clone(),
        stored: storage.join_path(&home.dir),
        user: home.user.clone(),
        group: home.group.clone(),
        mode: all.mode(home.mode.as_deref(), &place),
    });
    let mode = text(object, "mode", origin)?;
    let entry = DeclaredPath {
        stored: storage.join_path(&live),
        live,
        kind,
        owner: text(object, "user", origin)?.map(str::to_string),
        group: text(object, "group", origin)?.map(str::to_string),
        mode: all.mode(mode, &place),
        told: Told::Evaluated,
        authority: shared.authority,
        // `createLinkTarget` makes the file with its mode, and sets it again on one that is there.
        is_linked: text(object, "how", origin)? == Some("symlink")
            && object.get("createLinkTarget") != Some(&serde_json::Value::Bool(true)),
        home,
        origin: origin.to_string(),
    };
    all.storage(&storage);
    all.entries.push(entry);
    Ok(())
}
