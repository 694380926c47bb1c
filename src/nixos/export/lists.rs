//! The declared set in the order of both Nix modules: by storage, then system and users.

use super::attributes::{ListedAttributes, holds};
use super::declared::{Area, BackupState, DeclaredPlan, Item, Origin};
use super::place::Placement;
use super::private;
use super::text::ExportNote;
use crate::base::path::RelPath;
use crate::engine::mapping::model::{EntryKind, Need};
use crate::nixos::known_paths::written_first;
use crate::sys::stat::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// All storages.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) stores: BTreeMap<RelPath, Store>,
    pub(super) host_keys: Vec<StoredHostKey>,
    /// Comment lines about what no list holds.
    pub(super) remarks: Vec<String>,
    pub(super) notes: Vec<ExportNote>,
}

/// What is bound from one storage.
#[derive(Default)]
pub(super) struct Store {
    pub(super) system: Members,
    pub(super) users: BTreeMap<String, Members>,
}

#[derive(Default)]
pub(super) struct Members {
    pub(super) directories: Vec<ListEntry>,
    pub(super) files: Vec<ListEntry>,
}

/// One entry of a list.
pub(super) struct ListEntry {
    pub(super) live: RelPath,
    /// As the list writes it: absolute, or below the home.
    pub(super) written: String,
    pub(super) attributes: ListedAttributes,
    /// The plan itself gives owner, group or mode.
    pub(super) planned: bool,
    pub(super) remark: Option<&'static str>,
}

/// An SSH host key on its storage.
pub(super) struct StoredHostKey {
    pub(super) path: String,
    pub(super) algorithm: &'static str,
}

impl Lists {
    /// Sorts everything that can be expressed; the rest becomes remarks and notes.
    pub(super) fn of(declared: &DeclaredPlan<'_>) -> Self {
        let mut lists = Self::default();
        for area in &declared.areas {
            lists.area(declared, area);
        }
        lists
    }

    fn unsaid(&mut self, text: String) {
        self.remarks.push(format!("Not said here: {text}"));
        self.notes.push(ExportNote::Unsaid(text));
    }

    fn area(&mut self, declared: &DeclaredPlan<'_>, area: &Area<'_>) {
        let draft = area.draft;
        let tree = draft.entries.iter().any(|entry| entry.kind == EntryKind::Tree);
        let place = match Placement::of(&draft.from, &draft.to) {
            // The root mirrored into a storage binds each of its entries.
            Placement::Elsewhere if draft.from.is_root() && !tree => Placement::Bound { storage: draft.to.clone() },
            place => place,
        };
        match place {
            Placement::Unmoved => {
                let to = &draft.to;
                self.remarks.push(format!("{to} stays where it is used: a file system of its own is mounted there"));
                return;
            }
            Placement::Elsewhere => {
                let (name, from, to) = (&draft.name, &draft.from, &draft.to);
                self.unsaid(format!(
                    "{name} keeps {from} in {to}: a persistence list can bind it only from a storage that ends in \
                     {from}"
                ));
                return;
            }
            Placement::Bound { storage } => {
                let keys: BTreeSet<Vec<u8>> = area.items.iter().filter_map(host_key).collect();
                for item in &area.items {
                    self.item(declared, &storage, item, &keys);
                }
            }
        }
        for entry in &area.open {
            let pattern = draft.from.join_path(&entry.path);
            match (declared.has_backup(), entry.need) {
                (true, Need::Optional | Need::Recommended) => {
                    self.remarks.push(format!("{pattern} matches nothing in the backup"));
                }
                (true, _) => self.unsaid(format!("{pattern}, which matches nothing in the backup")),
                (false, _) => self.unsaid(format!("{pattern}, which only the backup can expand (--source)")),
            }
        }
        for pattern in &draft.exclude {
            let text = format!("{} leaves out `{pattern}`; a persistence list keeps whole directories", draft.name);
            self.remarks.push(text.clone());
            self.notes.push(ExportNote::Caveat(text));
        }
    }

    fn item(&mut self, declared: &DeclaredPlan<'_>, storage: &RelPath, item: &Item<'_>, keys: &BTreeSet<Vec<u8>>) {
        let home = declared.home_around(&item.live);
        let (Ok(live), Ok(stored)) =
            (std::str::from_utf8(item.live.as_bytes()), std::str::from_utf8(item.stored.as_bytes()))
        else {
            self.unsaid(format!("{}, whose name is not UTF-8", item.live));
            return;
        };
        if item.origin == Origin::Guessed {
            let pattern = &item.draft.path;
            self.notes.push(ExportNote::Caveat(format!("{pattern} is taken for the ed25519 and rsa host keys")));
        }
        if let Some(algorithm) = host_key_type(item) {
            self.host_keys.push(StoredHostKey { path: format!("/{stored}"), algorithm });
            return;
        }
        // sshd looks for the public half beside the configured key.
        let private = item.live.as_bytes().strip_suffix(b".pub");
        if private.is_some_and(|private| keys.contains(private)) {
            return;
        }
        let kind = holds(item);
        if let Some(instead) = written_first(&item.live).filter(|_| kind == EntryKind::File) {
            let live = &item.live;
            self.unsaid(format!("{live}, which activation writes before it could be mounted: {instead}"));
            return;
        }
        let remark = self.presence(item, kind);
        let written = match &home {
            Some(home) => String::from_utf8_lossy(home.below.as_bytes()).into_owned(),
            None => format!("/{live}"),
        };
        let attributes = ListedAttributes::of(declared, item, home.as_ref(), &mut self.notes);
        let planned = crate::nixos::export::attributes::Planned::of(declared, item);
        let planned = planned.owner.is_some() || planned.group.is_some() || planned.mode.is_some();
        let member = ListEntry { live: item.live.clone(), written, attributes, planned, remark };
        let store = self.stores.entry(storage.clone()).or_default();
        let members = match home {
            Some(home) => store.users.entry(home.user).or_default(),
            None => &mut store.system,
        };
        match kind {
            EntryKind::File => members.files.push(member),
            EntryKind::Directory | EntryKind::Tree => members.directories.push(member),
        }
    }

    /// What to say about an entry that the backup does not have as declared.
    fn presence(&mut self, item: &Item<'_>, kind: EntryKind) -> Option<&'static str> {
        match (item.seen, kind) {
            (BackupState::Absent, _) => {
                if item.draft.need >= Need::Required {
                    self.notes.push(ExportNote::Caveat(format!("{} is not in the backup", item.live)));
                }
                Some("not in the backup")
            }
            (BackupState::There(stat), _) if (stat.kind == Kind::Directory) != (kind == EntryKind::Directory) => {
                let declared = if kind == EntryKind::Directory { "a directory" } else { "a file" };
                let found = stat.kind.words();
                self.notes.push(ExportNote::Caveat(format!("{} is declared as {declared}, and is {found}", item.live)));
                None
            }
            _ => None,
        }
    }

    /// Notes directories above the entries that are narrower than the 0755 which `module` gives to those
    /// that it creates. Declared ones have their own mode.
    pub(super) fn note_private_parents(&mut self, declared: &DeclaredPlan<'_>, module: &str) {
        let members = || self.stores.values().flat_map(|s| s.users.values().chain([&s.system]));
        let own: BTreeSet<&RelPath> = members().flat_map(|m| &m.directories).map(|m| &m.live).collect();
        let mut above = BTreeSet::new();
        for member in members().flat_map(|m| m.directories.iter().chain(&m.files)) {
            let top = declared.home_around(&member.live).map_or_else(RelPath::root, |home| home.dir);
            let mut parent = member.live.parent();
            while let Some(dir) = parent.filter(|dir| *dir != top && !dir.is_root()) {
                parent = dir.parent();
                above.insert(dir);
            }
        }
        let mut notes = Vec::new();
        for dir in above.iter().filter(|dir| !own.contains(dir)) {
            let (mode, whose) = match declared.look(dir) {
                BackupState::There(stat) => (stat.mode, "in the backup"),
                BackupState::Unknown | BackupState::Absent => match private::usual_mode(dir, EntryKind::Directory) {
                    Some(mode) if declared.home_around(dir).is_none() => (mode, "on every system"),
                    _ => continue,
                },
            };
            if 0o755 & !mode != 0 {
                notes.push(ExportNote::Caveat(format!(
                    "{dir} above an entry is {mode:04o} {whose}, and {module} makes it 0755 where it is missing: copy \
                     before the first boot, or declare {dir} as well"
                )));
            }
        }
        self.notes.extend(notes);
    }
}

/// The type of a host key that `services.openssh.hostKeys` can name.
fn host_key_type(item: &Item<'_>) -> Option<&'static str> {
    (holds(item) == EntryKind::File).then(|| private::host_key_type(&item.live)).flatten()
}

fn host_key(item: &Item<'_>) -> Option<Vec<u8>> {
    host_key_type(item).map(|_| item.live.as_bytes().to_vec())
}
