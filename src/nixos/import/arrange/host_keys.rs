//! SSH host keys, which are often named only in sshd's options.

use super::accept::Accepted;
use crate::base::path::{Name, RelPath};
use crate::nixos::import::declared::{Authority, Declaration, DeclaredHostKey, DeclaredKind, DeclaredPath, Told};
use crate::nixos::import::note::ImportNote;

/// Adds each key and its public half, unless an entry already includes them.
pub(super) fn add(declaration: &Declaration, accepted: &mut Accepted, notes: &mut Vec<ImportNote>) {
    for key in &declaration.host_keys {
        // The innermost area: /persist/system is inside /persist.
        let storage = declaration
            .storages
            .iter()
            .filter(|storage| !storage.is_root() && key.path.strip_prefix(storage).is_some_and(|path| !path.is_root()))
            .max_by_key(|storage| storage.depth());
        let live = storage.and_then(|storage| key.path.strip_prefix(storage)).unwrap_or_else(|| key.path.clone());
        let brought = accepted.covering(&live);
        if brought.is_some_and(|entry| storage.is_none_or(|storage| storage.join_path(&entry.live) == entry.stored)) {
            continue;
        }
        match storage.or_else(|| system(accepted, declaration)) {
            Some(area) => {
                if storage.is_none() {
                    notes.push(ImportNote::warning(format!(
                        "{}: no storage area keeps {live}; it is copied to {}, where sshd finds it only if it is \
                         declared there, or if hostKeys names that path",
                        key.origin,
                        area.join_path(&live)
                    )));
                }
                let halves = [Some(live.clone()), public(&live)];
                for half in halves.into_iter().flatten() {
                    notes.extend(accepted.offer(entry(key, area, half)));
                }
            }
            None => notes.push(ImportNote::lost(format!(
                "{}: no storage area keeps {live}, and none is the system's: the machine would get a new key",
                key.origin
            ))),
        }
    }
}

fn entry(key: &DeclaredHostKey, storage: &RelPath, live: RelPath) -> DeclaredPath {
    DeclaredPath {
        stored: storage.join_path(&live),
        live,
        kind: DeclaredKind::File,
        owner: None,
        group: None,
        mode: None,
        told: Told::Evaluated,
        authority: Authority::Storage,
        is_linked: false,
        home: None,
        origin: key.origin.clone(),
    }
}

fn public(key: &RelPath) -> Option<RelPath> {
    let name = Name::new(&[key.last()?.as_bytes(), b".pub"].concat()).ok()?;
    Some(key.parent()?.join(&name))
}

/// The storage of the system: the one that keeps something of /etc, else the first.
fn system<'d>(accepted: &Accepted, declaration: &'d Declaration) -> Option<&'d RelPath> {
    let etc = RelPath::new(b"etc").unwrap_or_default();
    let of = |entry: &DeclaredPath| {
        let storage = entry.stored.strip_suffix(&entry.live)?;
        declaration.storages.iter().find(|known| **known == storage)
    };
    let entries = || accepted.entries().iter().filter(|entry| entry.home.is_none());
    entries().filter(|entry| entry.live.strip_prefix(&etc).is_some()).find_map(of).or_else(|| entries().find_map(of))
}
