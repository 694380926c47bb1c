//! Users and groups of the backup: who is declared, and what the numbers are called.

use crate::path::RelPath;
use crate::sys::root::Root;
use std::collections::{BTreeMap, BTreeSet};

/// What is read of the machine's account files; all of them may be missing.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    /// Names that NixOS makes, as its last activation has recorded them.
    declared_users: Option<BTreeSet<String>>,
    declared_groups: Option<BTreeSet<String>>,
}

/// Larger than any such file.
const LIMIT: u64 = 4 << 20;

impl Accounts {
    pub(super) fn read(source: &Root) -> Self {
        let text = |path: &str| {
            let path = RelPath::new(path.as_bytes()).ok()?;
            source.read(&path, LIMIT).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let names = |path| text(path).map(|text| text.split_whitespace().map(str::to_string).collect());
        Self {
            users: table(&text("etc/passwd").unwrap_or_default()),
            groups: table(&text("etc/group").unwrap_or_default()),
            declared_users: names("var/lib/nixos/declarative-users"),
            declared_groups: names("var/lib/nixos/declarative-groups"),
        }
    }

    pub(super) fn user(&self, uid: u32) -> Option<&str> {
        self.users.get(&uid).map(String::as_str)
    }

    pub(super) fn group(&self, gid: u32) -> Option<&str> {
        self.groups.get(&gid).map(String::as_str)
    }

    /// True when NixOS writes `/etc/passwd` or `/etc/group` anew with everybody in it.
    /// `shadow` is never: it has passwords that the configuration may not know.
    pub(super) fn remakes(&self, path: &RelPath) -> bool {
        let all = |names: &BTreeMap<u32, String>, declared: &BTreeSet<String>| {
            names.iter().all(|(id, name)| *id == 0 || declared.contains(name))
        };
        match (path.as_bytes(), &self.declared_users) {
            (b"etc/passwd", Some(declared)) => all(&self.users, declared),
            // The list of groups is younger than that of users.
            (b"etc/group", Some(_)) => self.declared_groups.as_ref().is_none_or(|d| all(&self.groups, d)),
            _ => false,
        }
    }
}

fn table(text: &str) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(_), Some(Ok(id))) = (fields.next(), fields.next(), fields.next().map(str::parse)) {
            names.entry(id).or_insert_with(|| name.to_string());
        }
    }
    names
}
