//! Lines of tmpfiles.d(5) that create the storage areas and the declared directories: only `d`, never
//! `Z`, and no mode that opens what exists.

use super::attributes::{Planned, holds};
use super::declared::{Area, BackupState, DeclaredPlan};
use super::place::Placement;
use super::private;
use super::text::{Export, ExportNote};
use crate::base::path::{RelPath, escape, is_unprintable};
use crate::engine::mapping::model::EntryKind;
use crate::plan::{IdRef, IdValue};
use std::collections::BTreeMap;

/// A field of a line.
enum Field {
    /// The plan's value: set at every boot.
    Fixed(String),
    /// Given to a new directory, and to no other.
    New(String),
}

impl Field {
    fn text(&self) -> String {
        match self {
            Self::Fixed(text) => text.clone(),
            Self::New(text) => format!(":{text}"),
        }
    }
}

struct TmpfilesLine {
    mode: Field,
    user: Field,
    group: Field,
}

#[derive(Default)]
struct TmpfilesLines {
    by_path: BTreeMap<RelPath, TmpfilesLine>,
    notes: Vec<ExportNote>,
    remarks: Vec<String>,
}

/// The lines, parents first.
pub(super) fn write(declared: &DeclaredPlan<'_>) -> Export {
    let mut lines = TmpfilesLines::default();
    for area in &declared.areas {
        lines.area(declared, area);
    }
    let mut text = String::from("# Made by `persistcp plan export --format tmpfiles`\n");
    text.push_str(&format!("# from the plan {}: change the plan, not this file.\n", declared.plan.name));
    text.push_str("# A field that begins with a colon counts only for a directory that is made.\n");
    if !declared.has_backup() {
        text.push_str("# The backup was not at hand: modes are the plan's, or usual ones of private paths.\n");
    }
    let TmpfilesLines { by_path, mut notes, remarks } = lines;
    for (path, line) in &by_path {
        match quoted(path, &mut notes) {
            Some(path) => {
                let (mode, user, group) = (line.mode.text(), line.user.text(), line.group.text());
                text.push_str(&format!("d {path} {mode} {user} {group} -\n"));
            }
            None => {
                text.push_str(&format!("# not said: {path}\n"));
                notes.push(ExportNote::Unsaid(format!("{path}: tmpfiles.d has no form for a name that is not UTF-8")));
            }
        }
    }
    for remark in &remarks {
        text.push_str(&format!("# {}\n", escape(remark.as_bytes())));
    }
    Export::new(text, [declared.notes.clone(), notes].concat())
}

impl TmpfilesLines {
    fn area(&mut self, declared: &DeclaredPlan<'_>, area: &Area<'_>) {
        let draft = area.draft;
        if Placement::of(&draft.from, &draft.to) == Placement::Unmoved {
            self.remarks.push(format!("{} is a mount of its own", draft.to));
            return;
        }
        for item in &area.items {
            let mut dir = match holds(item) {
                EntryKind::File => item.stored.parent(),
                EntryKind::Directory | EntryKind::Tree => Some(item.stored.clone()),
            };
            while let Some(path) = dir.filter(|path| !path.is_root()) {
                dir = path.parent();
                let is_entry = path == item.stored;
                if is_entry || !self.by_path.contains_key(&path) {
                    let planned = if is_entry { Planned::of(declared, item) } else { Planned::default() };
                    let line = line(declared, area, &path, planned, &mut self.notes);
                    self.by_path.insert(path, line);
                }
            }
        }
        for entry in &area.open {
            let pattern = draft.from.join_path(&entry.path);
            let text = format!("{pattern}: only the backup can expand it (--source)");
            match entry.kind {
                // Only directories are created.
                EntryKind::File => {}
                _ if declared.has_backup() => self.remarks.push(format!("{pattern} matches nothing in the backup")),
                _ => self.notes.push(ExportNote::Unsaid(text)),
            }
        }
    }
}

fn line<'p>(
    declared: &DeclaredPlan<'p>,
    area: &Area<'_>,
    path: &RelPath,
    mut planned: Planned<'p>,
    notes: &mut Vec<ExportNote>,
) -> TmpfilesLine {
    let draft = area.draft;
    planned.fix(&declared.plan.fixups, path, EntryKind::Directory);
    let below = path.strip_prefix(&draft.to);
    let live = below.as_ref().map(|below| draft.from.join_path(below));
    let seen = match live.as_ref().map(|live| declared.look(live)) {
        Some(BackupState::There(stat)) => Some(stat),
        _ => None,
    };
    // Above the area there is only what contains every storage.
    let parents = below.as_ref().and(draft.parents.as_ref());
    let home = live.as_ref().and_then(|live| declared.home(live));
    let mode = seen.map(|stat| stat.mode).or_else(|| {
        let usual = live.as_ref().and_then(|live| private::usual_mode_at(home.as_ref(), live, EntryKind::Directory));
        usual.or(parents.and_then(|parents| parents.mode))
    });
    let user = home.map_or_else(|| "root".to_string(), |home| home.user);
    TmpfilesLine {
        mode: match planned.mode(seen.map(|stat| stat.mode), EntryKind::Directory, path, notes) {
            Some(mode) => Field::Fixed(format!("{mode:04o}")),
            None => Field::New(format!("{:04o}", mode.unwrap_or(0o755))),
        },
        user: id(planned.owner, seen.map(|s| s.uid), parents.and_then(|p| p.owner.as_ref()), &user),
        group: id(planned.group, seen.map(|s| s.gid), parents.and_then(|p| p.group.as_ref()), "root"),
    }
}

/// The plan's name, else the backup's number, else what new parents get.
fn id(planned: Option<&IdRef>, seen: Option<u32>, parents: Option<&IdRef>, default: &str) -> Field {
    let text = |reference: &IdRef| match &reference.value {
        IdValue::Name(name) => name.clone(),
        IdValue::Number(id) => id.to_string(),
    };
    match (planned, seen, parents) {
        (Some(planned), _, _) => Field::Fixed(text(planned)),
        (None, Some(id), _) => Field::New(id.to_string()),
        (None, None, Some(parents)) => Field::New(text(parents)),
        (None, None, None) => Field::New(default.to_string()),
    }
}

/// The path as a field of a line: specifiers doubled, quoted, escapes as in C.
fn quoted(path: &RelPath, notes: &mut Vec<ExportNote>) -> Option<String> {
    let text = std::str::from_utf8(path.as_bytes()).ok()?;
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@,=".contains(c);
    if text.chars().all(plain) {
        return Some(format!("/{text}"));
    }
    let mut out = String::from("\"/");
    for c in text.chars() {
        match c {
            '%' => out.push_str("%%"),
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            // Each of them fits in four digits.
            c if is_unprintable(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    if text.contains(is_unprintable) {
        notes.push(ExportNote::Caveat(format!(
            "{path} needs the escapes of tmpfiles.d(5), which systemd 252 and earlier take for letters"
        )));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_as_tmpfiles_reads_it() {
        let field = |bytes: &[u8]| quoted(&RelPath::new(bytes).expect("a path"), &mut Vec::new());
        assert_eq!(field(b"var/log").as_deref(), Some("/var/log"));
        assert_eq!(field(b"a b%c").as_deref(), Some("\"/a b%%c\""));
        assert_eq!(field(b"q\"b\\s").as_deref(), Some("\"/q\\\"b\\\\s\""));
        assert_eq!(field(b"n\nt\x01").as_deref(), Some("\"/n\\nt\\x01\""));
        assert_eq!(field("a\u{202e}b".as_bytes()).as_deref(), Some("\"/a\\u202eb\""));
        assert_eq!(field(b"\xff"), None);
    }
}
