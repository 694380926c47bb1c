//! The resolved plan as a table and as JSON.

use super::words;
use crate::base::json::exact;
use crate::engine::mapping::mode::Mode;
use crate::engine::mapping::model::{Attrs, Drift, Entry, Mapping, Presence};
use crate::sys::errno_words;
use serde_json::{Value, json};
use std::fmt::Write;

/// For people: what is wrong stands out.
fn presence(entry: &Entry) -> String {
    match &entry.presence {
        Presence::Present => "present".into(),
        Presence::Absent => "ABSENT".into(),
        Presence::WrongKind { found } => format!("WRONG KIND: {found}"),
        Presence::Unreadable { errno } => format!("UNREADABLE: {}", errno_words(*errno)),
    }
}

fn link(entry: &Entry) -> String {
    entry.link.as_ref().map(|link| format!("; {}", words::link(link))).unwrap_or_default()
}

fn attributes(uid: Option<u32>, gid: Option<u32>, mode: Option<&Mode>) -> String {
    let number = |id: Option<u32>| id.map_or_else(|| "-".to_string(), |id| id.to_string());
    match (uid, gid, mode) {
        (None, None, None) => "as in the backup".into(),
        (uid, gid, None) => format!("{}:{}", number(uid), number(gid)),
        (uid, gid, Some(mode)) => format!("{}:{} {mode}", number(uid), number(gid)),
    }
}

/// A table for people.
#[must_use]
pub fn table(plan: &Mapping) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(format!("plan {}: {} -> {}", plan.name, plan.source.display(), plan.root.display()));
    for target in &plan.targets {
        line(String::new());
        let Attrs { uid, gid, mode } = target.parents;
        line(format!("target {}: {} -> {} (new parents {uid}:{gid} {mode:04o})", target.name, target.from, target.to));
        let width = target.entries.iter().map(|e| e.src.to_string().chars().count()).max().unwrap_or(0).min(60);
        for entry in &target.entries {
            let need = entry.need.word();
            line(format!(
                "  {need:<11} {:<9} {:<width$}  -> {}  [{}; {}{}]",
                entry.kind.word(),
                entry.src.to_string(),
                entry.dst,
                attributes(entry.uid, entry.gid, entry.mode.as_ref()),
                presence(entry),
                link(entry),
            ));
        }
        for pattern in &target.exclude {
            line(format!("  exclude          {pattern}"));
        }
    }
    let left_out = plan.left_out();
    if !left_out.is_empty() || !plan.fixups.is_empty() {
        line(String::new());
    }
    left_out.iter().for_each(|left_out| line(words::left_out(left_out)));
    for fixup in &plan.fixups {
        let below = if fixup.recursive { " and everything below" } else { "" };
        line(format!("fixup {}{below}: {}", fixup.path, attributes(fixup.uid, fixup.gid, fixup.mode.as_ref())));
    }
    out.push_str(&drift(&plan.drift));
    for conflict in &plan.id_conflicts {
        writeln!(out, "warning: {}", words::id_conflict(conflict)).ok();
    }
    for warning in plan.id_warnings.iter().chain(&plan.notes) {
        writeln!(out, "warning: {warning}").ok();
    }
    out
}

/// The table of names whose number differs; empty when there are none.
#[must_use]
pub fn drift(ids: &[Drift]) -> String {
    let mut out = String::new();
    if let Some(first) = ids.first() {
        let now = if first.remapped {
            "files got the number of the target"
        } else {
            "files keep the number of the backup, unless --remap-ids gives them the target's"
        };
        writeln!(out, "\nids that differ ({now}):\n  kind   name                 backup  target").ok();
    }
    for d in ids {
        let kind = d.kind.word();
        writeln!(out, "  {kind:<6} {:<20} {:>6}  {:>6}", d.name, d.backup, d.target).ok();
    }
    out
}

/// The version of the JSON in `docs/report.md`.
const VERSION: u32 = 2;

/// The resolved plan as JSON, described in `docs/report.md`.
#[must_use]
pub fn json(plan: &Mapping) -> Value {
    let shown = |mode: &Option<Mode>| mode.as_ref().map(Mode::to_string);
    let entry = |e: &Entry| {
        let mut value = json!({
            "source": e.src.to_string(), "destination": e.dst.to_string(), "kind": e.kind.word(), "need": e.need,
            "uid": e.uid, "gid": e.gid, "mode": shown(&e.mode), "presence": e.presence.word(),
        });
        if let Some(detail) = e.presence.detail() {
            value["detail"] = json!(detail);
        }
        if let Some(link) = &e.link {
            value["link"] = json!({ "to": link.to.as_ref().map(ToString::to_string), "followed": link.followed });
        }
        if let Some(bytes) = exact(&e.src) {
            value["path_bytes"] = json!(bytes);
        }
        value
    };
    json!({
        "version": VERSION,
        "name": plan.name,
        "source": plan.source.to_string_lossy(),
        "root": plan.root.to_string_lossy(),
        "targets": plan.targets.iter().map(|t| json!({
            "name": t.name, "from": t.from.to_string(), "to": t.to.to_string(),
            "parents": {"uid": t.parents.uid, "gid": t.parents.gid, "mode": format!("{:04o}", t.parents.mode)},
            "exclude": t.exclude,
            "entries": t.entries.iter().map(entry).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "fixups": plan.fixups.iter().map(|f| json!({
            "path": f.path.to_string(), "uid": f.uid, "gid": f.gid, "mode": shown(&f.mode),
            "recursive": f.recursive, "dir_mode": shown(&f.dir_mode), "file_mode": shown(&f.file_mode),
        })).collect::<Vec<_>>(),
        "left_out": plan.left_out().iter().map(|left_out| json!({
            "place": left_out.place.to_string(), "declared": left_out.declared.to_string(),
        })).collect::<Vec<_>>(),
        "ids": plan.drift,
    })
}
