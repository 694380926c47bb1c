//! The plan as TOML, with comments that say where each part comes from.

use super::arrange::{Arranged, HomeFixup, TargetTable, TargetTableEntry, WholeTree};
use super::declared::{DeclaredKind, DeclaredMode};
use super::note::{ImportNote, NoteWeight};
use crate::base::path::{RelPath, escape};
use crate::engine::mapping::model::Need;
use crate::plan::spelling::{literal, quoted};

/// What the plan says before its tables.
#[derive(Clone, Debug, Default)]
pub struct Heading {
    /// What it was made from, for the first comment.
    pub made_from: String,
    /// Where it will be written, if not to stdout.
    pub file: Option<String>,
    /// The plan's `name`; the host's if it is not given.
    pub name: Option<String>,
    /// The plan's `source`.
    pub source: Option<String>,
    /// The plan's `root`.
    pub root: Option<String>,
}

pub(super) fn plan(arranged: &Arranged, heading: &Heading) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&format!("# Made by `persistcp plan import` from {}.", comment(&heading.made_from)));
    for note in &arranged.notes {
        note_lines(note).iter().for_each(|text| line(text));
    }
    line("");
    line("version = 1");
    let name = heading.name.as_ref().or(arranged.host.as_ref());
    out.extend(name.map(|name| format!("name = {}\n", quoted(name))));
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    for (key, value, example) in [("source", &heading.source, "/mnt/backup"), ("root", &heading.root, "/mnt")] {
        match value {
            Some(value) => line(&format!("{key} = {}", quoted(value))),
            None => line(&format!("# {key} = {}", quoted(example))),
        }
    }
    if !arranged.users.is_empty() || !arranged.groups.is_empty() {
        line("");
        line("# users.users and users.groups");
        line("[ids]");
        for (key, names) in [("users", &arranged.users), ("groups", &arranged.groups)] {
            if !names.is_empty() {
                let pairs: Vec<String> = names.iter().map(|(name, id)| format!("{} = {id}", key_of(name))).collect();
                line(&format!("{key} = {{ {} }}", pairs.join(", ")));
            }
        }
    }
    arranged.areas.iter().flat_map(area_lines).for_each(|text| line(&text));
    arranged.maps.iter().flat_map(map_lines).for_each(|text| line(&text));
    arranged.fixups.iter().flat_map(fixup_lines).for_each(|text| line(&text));
    out
}

fn note_lines(note: &ImportNote) -> Vec<String> {
    let word = match note.weight {
        NoteWeight::Remark => "note",
        NoteWeight::Warning => "WARNING",
        NoteWeight::NotInPlan => "NOT IN THIS PLAN",
    };
    vec!["#".to_string(), format!("# {word}: {}", note.line())]
}

fn area_lines(area: &TargetTable) -> Vec<String> {
    let mut out = vec![String::new(), "[[target]]".into(), format!("name = {}", quoted(&area.name))];
    out.push(format!("from = {}", path(&area.from)));
    out.push(format!("to = {}", path(&area.to)));
    let mut parents = owner_and_group(area.owner.as_ref(), area.group.as_ref());
    parents.push("mode = \"0755\"".into());
    out.push(format!("parents = {{ {} }}", parents.join(", ")));
    out.push("need = \"required\"".into());
    for (key, kind) in [("directories", DeclaredKind::Directory), ("files", DeclaredKind::File)] {
        let lines: Vec<&TargetTableEntry> = area.lines.iter().filter(|line| line.kind == kind).collect();
        if lines.is_empty() {
            continue;
        }
        out.push(format!("{key} = ["));
        let mut origin = "";
        for line in lines {
            if line.origin != origin {
                origin = &line.origin;
                out.push(format!("  # {}", comment(origin)));
            }
            out.push(format!("  {},", entry(line, area.from.is_root())));
        }
        out.push("]".into());
    }
    out
}

fn entry(line: &TargetTableEntry, of_the_system: bool) -> String {
    let slash = if of_the_system { "/" } else { "" };
    let text = quoted(&format!("{slash}{}", literal(&String::from_utf8_lossy(line.below.as_bytes()))));
    let mut pairs = vec![format!("path = {text}")];
    pairs.extend(owner_and_group(line.owner.as_ref(), line.group.as_ref()));
    pairs.extend(line.mode.iter().map(|mode| format!("mode = {}", quoted(DeclaredMode::text(mode)))));
    // The target's own need.
    if line.need != Need::Required {
        pairs.push(format!("need = \"{}\"", line.need.word()));
    }
    if pairs.len() == 1 { text } else { format!("{{ {} }}", pairs.join(", ")) }
}

fn map_lines(map: &WholeTree) -> Vec<String> {
    vec![
        String::new(),
        format!("# {}", comment(&map.origin)),
        "[[map]]".into(),
        format!("name = {}", quoted(&map.name)),
        format!("from = {}", path(&map.from)),
        format!("to = {}", path(&map.to)),
    ]
}

fn fixup_lines(fixup: &HomeFixup) -> Vec<String> {
    let mut out = vec![String::new(), "[[fixup]]".into(), format!("path = {}", path(&fixup.path))];
    out.extend(owner_and_group(fixup.owner.as_ref(), fixup.group.as_ref()));
    out.push(format!("mode = {}", quoted(&fixup.mode)));
    out
}

fn owner_and_group(owner: Option<&String>, group: Option<&String>) -> Vec<String> {
    let mut pairs = Vec::new();
    pairs.extend(owner.map(|owner| format!("owner = {}", quoted(owner))));
    pairs.extend(group.map(|group| format!("group = {}", quoted(group))));
    pairs
}

fn path(path: &RelPath) -> String {
    quoted(&format!("/{}", String::from_utf8_lossy(path.as_bytes())))
}

/// A bare key if TOML allows it.
fn key_of(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if bare { name.to_string() } else { quoted(name) }
}

/// Text that cannot end its comment.
fn comment(text: &str) -> String {
    escape(text.as_bytes()).into_owned()
}
