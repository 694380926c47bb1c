//! Users and groups of the backup: which are declared, and the names of numbers.

use crate::base::path::{RelPath, escape};
use crate::sys::root::Root;
use std::collections::BTreeSet;

/// Content of the machine's account files; all of them may be missing.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: Option<AccountTable>,
    groups: Option<AccountTable>,
    /// Names that NixOS makes, as its last activation has recorded them.
    declared_users: Option<BTreeSet<String>>,
    declared_groups: Option<BTreeSet<String>>,
}

/// Numbers and names, in the file's order; a number may have several names.
type AccountTable = Vec<(u32, String)>;

/// Larger than any such file.
const LIMIT: u64 = 4 << 20;

impl Accounts {
    pub(super) fn read(source: &Root) -> Self {
        // What cannot be read counts as missing: that gives more findings, not fewer.
        let text = |path: &str| {
            let path = RelPath::new(path.as_bytes()).ok()?;
            source.read(&path, LIMIT).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let names = |path| text(path).map(|text| text.split_whitespace().map(str::to_string).collect());
        Self {
            users: text("etc/passwd").map(|text| table(&text)),
            groups: text("etc/group").map(|text| table(&text)),
            declared_users: names("var/lib/nixos/declarative-users"),
            declared_groups: names("var/lib/nixos/declarative-groups"),
        }
    }

    pub(super) fn user(&self, uid: u32) -> Option<&str> {
        name_of(self.users.as_ref(), uid)
    }

    pub(super) fn group(&self, gid: u32) -> Option<&str> {
        name_of(self.groups.as_ref(), gid)
    }

    /// True when NixOS writes `/etc/passwd` or `/etc/group` anew with everybody in it.
    /// `shadow` is never: it has passwords that the configuration may not know.
    pub(super) fn remakes(&self, path: &RelPath) -> bool {
        let all = |table: &Option<AccountTable>, declared: &BTreeSet<String>| {
            let known = |name: &String| name == "root" || declared.contains(name);
            table.as_ref().is_some_and(|table| table.iter().all(|(_, name)| known(name)))
        };
        match (path.as_bytes(), &self.declared_users) {
            (b"etc/passwd", Some(declared)) => all(&self.users, declared),
            // Without the list of groups nothing is certain, but NixOS writes the file.
            (b"etc/group", Some(_)) => self.declared_groups.as_ref().is_none_or(|d| all(&self.groups, d)),
            _ => false,
        }
    }
}

fn name_of(table: Option<&AccountTable>, id: u32) -> Option<&str> {
    table?.iter().find(|(number, _)| *number == id).map(|(_, name)| name.as_str())
}

fn table(text: &str) -> AccountTable {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        Some((id, escape(name.as_bytes()).into_owned()))
    };
    text.lines().filter_map(line).collect()
}
