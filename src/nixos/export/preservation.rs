//! `preservation.preserveAt`, which gives every path its declared owner and mode again at each boot:
//! what it leaves out is opened to 0755 or 0644.

use super::declared::DeclaredPlan;
use super::lists::{ListEntry, Lists};
use super::nix_document::{Dialect, element, write as document};
use super::text::{Export, ExportNote};
use crate::nixos::nix_text::string;

const MODULE: &str = "preservation";

const DIALECT: Dialect = Dialect {
    format: "preservation",
    option: "preservation.preserveAt",
    about: &[
        "Preservation sets owner and mode at every boot: an element without them is root's or the user's,",
        "0755 for a directory and 0644 for a file. inInitrd needs boot.initrd.systemd.enable.",
    ],
    first: &["preservation.enable = true;"],
    each: &[],
    directory: |member| element("directory", &member.written, &attributes(member, 0o755, &special(member))),
    file: |member| element("file", &member.written, &attributes(member, 0o644, &special(member))),
};

/// The plan as an attribute set that a NixOS module can import, or that is one.
pub(super) fn write(declared: &DeclaredPlan<'_>) -> Export {
    let mut lists = Lists::of(declared);
    lists.note_private_parents(declared, MODULE);
    let members = || lists.stores.values().flat_map(|s| s.users.values().chain([&s.system]));
    let mut notes = Vec::new();
    for (list, kind) in [
        (members().flat_map(|m| &m.directories).collect::<Vec<_>>(), "directory"),
        (members().flat_map(|m| &m.files).collect(), "file"),
    ] {
        let unknown: Vec<&ListEntry> = list.into_iter().filter(|m| m.attributes.mode.is_none()).collect();
        if let Some(first) = unknown.first() {
            let mode = if kind == "file" { "0644" } else { "0755" };
            notes.push(ExportNote::Caveat(format!(
                "nobody knows the mode of {}{}: {MODULE} sets {mode} at every boot, even where the copy has a \
                 narrower one; export with the backup at hand, or give the {kind} a mode in the plan",
                first.live,
                match unknown.len() - 1 {
                    0 => String::new(),
                    others => format!(" and {others} more"),
                }
            )));
        }
    }
    let text = document(declared, &lists, &DIALECT);
    Export::new(text, [declared.notes.clone(), lists.notes, notes].concat())
}

/// Attributes of paths that the first programs of a boot need early.
fn special(member: &ListEntry) -> Vec<(&'static str, String)> {
    let (symlink, yes) = (("how", string("symlink")), "true".to_string());
    match member.live.as_bytes() {
        b"etc/machine-id" | b"var/lib/nixos" => vec![("inInitrd", yes)],
        // The file is replaced at shutdown, which fails for a mount point.
        b"var/lib/systemd/random-seed" => vec![symlink, ("inInitrd", yes.clone()), ("configureParent", yes)],
        _ => Vec::new(),
    }
}

fn attributes(member: &ListEntry, default: u32, special: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let attributes = &member.attributes;
    let mut list = special.to_vec();
    list.extend(attributes.user.as_deref().map(|user| ("user", string(user))));
    list.extend(attributes.group.as_deref().map(|group| ("group", string(group))));
    let mode = attributes.mode.filter(|mode| *mode != default);
    list.extend(mode.map(|mode| ("mode", string(&format!("{mode:04o}")))));
    list
}
