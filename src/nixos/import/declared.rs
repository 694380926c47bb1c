//! What a Nix configuration declares, in one representation for every schema.

use super::note::ImportNote;
use crate::base::path::RelPath;
use crate::engine::mapping::mode;
use crate::sys::stat;
use std::collections::BTreeMap;

/// Everything that was read, before it is arranged.
#[derive(Debug, Default)]
pub(super) struct Declaration {
    /// `networking.hostName`.
    pub(super) host: Option<String>,
    pub(super) entries: Vec<DeclaredPath>,
    /// Storage areas in use, including those without entries.
    pub(super) storages: Vec<RelPath>,
    /// By name.
    pub(super) users: BTreeMap<String, DeclaredUser>,
    /// Names of users whose attribute in the configuration is another one.
    pub(super) accounts: BTreeMap<String, String>,
    pub(super) groups: BTreeMap<String, u32>,
    pub(super) host_keys: Vec<DeclaredHostKey>,
    pub(super) notes: Vec<ImportNote>,
}

/// One declared path.
#[derive(Clone, Debug)]
pub(super) struct DeclaredPath {
    /// Where the running system sees it, and where the backup has it.
    pub(super) live: RelPath,
    /// Where the new disk keeps it.
    pub(super) stored: RelPath,
    pub(super) kind: DeclaredKind,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) mode: Option<DeclaredMode>,
    pub(super) told: Told,
    pub(super) authority: Authority,
    /// A symlink leads to it, and the module gives it no mode at boot.
    pub(super) is_linked: bool,
    pub(super) home: Option<DeclaredHome>,
    /// The attribute path in the configuration, for comments.
    pub(super) origin: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeclaredKind {
    Directory,
    File,
}

/// What the presence of an attribute means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The evaluator fills in defaults, so a default is not a wish: the backup's attribute is kept.
    Evaluated,
    /// Somebody wrote it.
    Written,
}

/// Whose owner and mode apply once the new system has booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authority {
    /// impermanence: what the storage has is copied to the live system.
    Storage,
    /// preservation: the configuration is applied again at every boot.
    Configuration,
}

/// The home that an entry belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeclaredHome {
    pub(super) dir: RelPath,
    /// The home itself on the new disk.
    pub(super) stored: RelPath,
    pub(super) user: Option<String>,
    /// The group of directories between the home and its entries.
    pub(super) group: Option<String>,
    pub(super) mode: Option<DeclaredMode>,
}

/// What `users.users` says about one user.
#[derive(Clone, Debug, Default)]
pub(super) struct DeclaredUser {
    pub(super) uid: Option<u32>,
    pub(super) group: Option<String>,
    pub(super) home: Option<RelPath>,
}

/// One of `services.openssh.hostKeys`.
#[derive(Clone, Debug)]
pub(super) struct DeclaredHostKey {
    pub(super) path: RelPath,
    pub(super) origin: String,
}

/// A mode as declared, and as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeclaredMode {
    text: String,
    bits: u32,
}

impl DeclaredMode {
    /// Parses a mode for a new directory: mkdir(1) begins with a=rwx. A symbolic mode keeps its text if
    /// every clause names whom it means; otherwise it would depend on the umask, and becomes all bits.
    /// In a plan it changes what the backup has.
    pub(super) fn new(text: &str) -> Option<Self> {
        let change = mode::Mode::parse(text).ok()?.change();
        let bits = change.of(0o777, stat::Kind::Directory);
        let octal = text.bytes().all(|b| b.is_ascii_digit());
        let named = text.split(',').all(|clause| clause.starts_with(['u', 'g', 'o', 'a']));
        let text =
            if !octal && named && change.absolute().is_some() { text.to_string() } else { format!("{bits:04o}") };
        Some(Self { text, bits })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }
}

impl Declaration {
    /// The name of the user that the configuration knows as `attribute`.
    pub(super) fn account<'a>(&'a self, attribute: &'a str) -> &'a str {
        self.accounts.get(attribute).map_or(attribute, String::as_str)
    }

    /// Notes a storage area once.
    pub(super) fn storage(&mut self, path: &RelPath) {
        if !self.storages.contains(path) {
            self.storages.push(path.clone());
        }
    }

    /// Parses a declared path; one that no plan can hold is noted as lost.
    pub(super) fn path(&mut self, text: &str, origin: &str) -> Option<RelPath> {
        match RelPath::new(text.as_bytes()) {
            Ok(path) => Some(path),
            Err(why) => {
                let shown = crate::base::path::escape(text.as_bytes());
                self.notes.push(ImportNote::lost(format!("{origin}: \"{shown}\" cannot stand in a plan: {why}")));
                None
            }
        }
    }

    /// Parses a declared mode; one that a plan does not support is noted and left to the backup.
    pub(super) fn mode(&mut self, text: Option<&str>, origin: &str) -> Option<DeclaredMode> {
        let text = text?;
        let mode = DeclaredMode::new(text);
        if mode.is_none() {
            let shown = crate::base::path::escape(text.as_bytes());
            self.notes.push(ImportNote::lost(format!(
                "{origin}: the mode \"{shown}\" cannot stand in a plan; the backup's mode is kept"
            )));
        }
        mode
    }
}

/// An attribute path's name as Nix writes it.
pub(super) fn attribute(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || "_'-".contains(c));
    if plain {
        name.to_string()
    } else {
        format!("\"{}\"", crate::base::path::escape(name.as_bytes()).replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_keeps_its_text_only_where_the_umask_has_no_say() {
        for (text, written, bits) in [
            ("0700", "0700", 0o700),
            ("755", "0755", 0o755),
            ("u=rwx,g=rx,o=", "u=rwx,g=rx,o=", 0o750),
            ("=rx", "0555", 0o555),
            ("u=rwx,-w", "0555", 0o555),
            ("go-w", "0755", 0o755),
        ] {
            let mode = DeclaredMode::new(text).unwrap();
            assert_eq!((mode.text(), mode.bits()), (written, bits), "{text}");
        }
        assert_eq!(DeclaredMode::new("u=g"), None);
    }

    #[test]
    fn names_are_quoted_as_nix_needs_it() {
        assert_eq!(attribute("sinh"), "sinh");
        assert_eq!(attribute("/persist"), "\"/persist\"");
        assert_eq!(attribute("a\"b\n"), "\"a\\\"b\\n\"");
    }
}
