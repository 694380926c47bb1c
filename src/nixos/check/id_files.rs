//! The files of the new system that give names numbers.

use super::tree::{Read, SystemTree, rel};
use crate::base::path::RelPath;
use crate::engine::mapping::model::IdKind;
use crate::plan::id_file::{IdNames, parse_map, parse_table};
use crate::sys::errno_words;

/// One file that exists.
pub(super) struct IdFile {
    pub(super) kind: IdKind,
    pub(super) path: RelPath,
    /// A `/var/lib/nixos` map, not passwd or group.
    pub(super) is_map: bool,
    /// Its names, or what is wrong with it.
    pub(super) names: Result<IdNames, String>,
}

/// All of them, in order of authority.
#[derive(Default)]
pub(super) struct IdFiles(Vec<IdFile>);

impl IdFiles {
    pub(super) fn read(tree: &SystemTree) -> Self {
        let mut files = Vec::new();
        for (kind, map, table) in [(IdKind::User, "uid-map", "passwd"), (IdKind::Group, "gid-map", "group")] {
            let live = [(rel("var/lib/nixos").join_path(&rel(map)), true), (rel("etc").join_path(&rel(table)), false)];
            for (live, is_map) in live {
                // The next boot uses the storage's copy; /etc/passwd is made from it.
                let mut places = vec![tree.stored(&live).unwrap_or_else(|| live.clone())];
                if !is_map && !places.contains(&live) {
                    places.push(live.clone());
                }
                for path in places {
                    let names = match tree.read(&path) {
                        Read::Bytes(bytes) if is_map => parse_map(&bytes),
                        Read::Bytes(bytes) => parse_table(&bytes),
                        // The plan keeps the maps, but NixOS would find none and start afresh.
                        Read::Absent if is_map && tree.stored(&live).is_some() => Err("is not there".into()),
                        Read::Absent => continue,
                        Read::Failed(errno) => Err(format!("cannot be read: {}", errno_words(errno))),
                    };
                    files.push(IdFile { kind, path, is_map, names });
                }
            }
        }
        Self(files)
    }

    pub(super) fn of(&self, kind: IdKind) -> impl Iterator<Item = &IdFile> {
        self.0.iter().filter(move |file| file.kind == kind)
    }

    /// The number of `name`, from the first good file that has it.
    pub(super) fn number(&self, kind: IdKind, name: &str) -> Option<u32> {
        self.of(kind).filter_map(|file| file.names.as_ref().ok()).find_map(|names| names.get(name).copied())
    }

    /// True when some file gives `id` to a name.
    pub(super) fn knows(&self, kind: IdKind, id: u32) -> bool {
        self.of(kind).filter_map(|file| file.names.as_ref().ok()).any(|names| names.values().any(|known| *known == id))
    }

    /// True when a file of this kind is damaged, so that not all names and numbers are known.
    pub(super) fn damaged(&self, kind: IdKind) -> bool {
        self.of(kind).any(|file| file.names.is_err())
    }
}
