//! The layout that the expressions for both Nix modules share.

use super::declared::DeclaredPlan;
use super::lists::{ListEntry, Lists, Members};
use crate::base::path::RelPath;
use crate::nixos::nix_text::{comment, name, string};
use std::collections::BTreeSet;

/// How one module writes its lists.
pub(super) struct Dialect {
    /// The `--format` that makes it.
    pub(super) format: &'static str,
    /// The option that contains the storages.
    pub(super) option: &'static str,
    /// What the header says about the module.
    pub(super) about: &'static [&'static str],
    /// Lines before the storages.
    pub(super) first: &'static [&'static str],
    /// Lines at the top of each storage.
    pub(super) each: &'static [&'static str],
    /// An element of `directories`.
    pub(super) directory: fn(&ListEntry) -> String,
    /// An element of `files`.
    pub(super) file: fn(&ListEntry) -> String,
}

/// One element with its attributes, beginning with its path; only a string if there are no others.
pub(super) fn element(key: &str, path: &str, attributes: &[(&str, String)]) -> String {
    if attributes.is_empty() {
        return string(path);
    }
    let rest: String = attributes.iter().map(|(name, value)| format!(" {name} = {value};")).collect();
    format!("{{ {key} = {};{rest} }}", string(path))
}

/// The whole expression.
pub(super) fn write(declared: &DeclaredPlan<'_>, lists: &Lists, dialect: &Dialect) -> String {
    let mut lines = NixLines::default();
    lines.put(0, comment(&format!("Made by `persistcp plan export --format {}`", dialect.format)));
    lines.put(0, comment(&format!("from the plan {}: change the plan, not this file.", declared.plan.name)));
    for line in dialect.about {
        lines.put(0, comment(line));
    }
    if !declared.has_backup() {
        lines.put(0, comment("The backup was not at hand: modes are the plan's, or usual ones of private paths."));
    }
    lines.put(0, "{".into());
    for line in dialect.first {
        lines.put(1, (*line).into());
    }
    for (storage, store) in &lists.stores {
        let text = format!("/{}", String::from_utf8_lossy(storage.as_bytes()));
        lines.put(1, format!("{}.{} = {{", dialect.option, string(&text)));
        for line in dialect.each {
            lines.put(2, (*line).into());
        }
        lines.members(2, &store.system, dialect);
        for (user, members) in &store.users {
            lines.put(2, format!("users.{} = {{", name(user)));
            lines.members(3, members, dialect);
            lines.put(2, "};".into());
        }
        lines.put(1, "};".into());
    }
    lines.host_keys(lists);
    lines.hints(lists);
    lines.put(0, "}".into());
    lines.0
}

#[derive(Default)]
struct NixLines(String);

impl NixLines {
    fn put(&mut self, depth: usize, text: String) {
        self.0.push_str(&"  ".repeat(depth));
        self.0.push_str(&text);
        self.0.push('\n');
    }

    fn members(&mut self, depth: usize, members: &Members, dialect: &Dialect) {
        for (key, list, element) in
            [("directories", &members.directories, dialect.directory), ("files", &members.files, dialect.file)]
        {
            if list.is_empty() {
                continue;
            }
            self.put(depth, format!("{key} = ["));
            for member in list {
                let remark = member.remark.map(|text| format!(" {}", comment(text))).unwrap_or_default();
                self.put(depth + 1, format!("{}{remark}", element(member)));
            }
            self.put(depth, "];".into());
        }
    }

    fn host_keys(&mut self, lists: &Lists) {
        if lists.host_keys.is_empty() {
            return;
        }
        self.put(1, comment("sshd reads its keys from the storage itself, the public ones beside them."));
        self.put(1, "services.openssh.hostKeys = [".into());
        for key in &lists.host_keys {
            let mut attributes = vec![("type", string(key.algorithm))];
            if key.algorithm == "rsa" {
                attributes.push(("bits", "4096".into()));
            }
            self.put(2, element("path", &key.path, &attributes));
        }
        self.put(1, "];".into());
    }

    fn hints(&mut self, lists: &Lists) {
        let mounts: BTreeSet<RelPath> =
            lists.stores.keys().filter_map(|s| s.names().next()).map(|name| RelPath::root().join(&name)).collect();
        if !mounts.is_empty() {
            self.put(1, comment("What holds a storage must be mounted in the initrd; where that is a file system"));
            self.put(1, comment("of its own, it needs:"));
        }
        for mount in mounts {
            let text = format!("/{}", String::from_utf8_lossy(mount.as_bytes()));
            self.put(1, comment(&format!("fileSystems.{}.neededForBoot = true;", string(&text))));
        }
        for remark in &lists.remarks {
            self.put(1, comment(remark));
        }
    }
}
