//! `environment.persistence` as impermanence V2 reads it.
//!
//! The module creates what is missing and leaves what exists, so the storage's modes win once the copy
//! is done. Files have no attributes of their own.

use super::declared::DeclaredPlan;
use super::lists::{ListEntry, Lists};
use super::nix_document::{Dialect, element, write as document};
use super::text::{Export, ExportNote};
use crate::nixos::nix_text::string;

const MODULE: &str = "impermanence";

/// The mode of a directory that the module creates.
const DIRECTORY_MODE: u32 = 0o755;

const DIALECT: Dialect = Dialect {
    format: "nix",
    option: "environment.persistence",
    about: &["For impermanence V2; a home's entries are bound from the storage itself, below its home path."],
    first: &[],
    each: &["hideMounts = true;"],
    directory,
    file: |member| element("file", &member.written, &[]),
};

/// The plan as an attribute set that a NixOS module can import, or that is one.
pub(super) fn write(declared: &DeclaredPlan<'_>) -> Export {
    let mut lists = Lists::of(declared);
    lists.note_private_parents(declared, MODULE);
    let members = || lists.stores.values().flat_map(|s| s.users.values().chain([&s.system]));
    let with_attributes = members().flat_map(|m| &m.files).filter(|file| file.planned);
    let files: Vec<ExportNote> = with_attributes
        .map(|file| {
            ExportNote::Caveat(format!("{MODULE} has no owner or mode for the file {}: the copy sets it", file.live))
        })
        .collect();
    let text = document(declared, &lists, &DIALECT);
    Export::new(text, [declared.notes.clone(), lists.notes, files].concat())
}

fn directory(member: &ListEntry) -> String {
    let attributes = &member.attributes;
    let mut list = Vec::new();
    list.extend(attributes.user.as_deref().map(|user| ("user", string(user))));
    list.extend(attributes.group.as_deref().map(|group| ("group", string(group))));
    let mode = attributes.mode.filter(|mode| *mode != DIRECTORY_MODE);
    list.extend(mode.map(|mode| ("mode", string(&format!("{mode:04o}")))));
    element("directory", &member.written, &list)
}
