//! The declared set for programs. `docs/nix-export.md` describes every key.

use super::declared::{Area, DeclaredPlan, Item, Origin};
use super::place::Placement;
use super::text::{Export, ExportNote};
use crate::base::json::exact;
use crate::base::path::RelPath;
use crate::engine::mapping::mode::Mode;
use crate::plan::{IdRef, IdValue};
use serde_json::{Value, json};

/// The version of this format.
const VERSION: u32 = 1;

pub(super) fn write(declared: &DeclaredPlan<'_>) -> Export {
    let areas: Vec<Value> = declared.areas.iter().map(|of| area(declared, of)).collect();
    let mut notes = declared.notes.clone();
    if !declared.has_backup() {
        for (area, entry) in declared.areas.iter().flat_map(|a| a.open.iter().map(move |entry| (a, entry))) {
            let pattern = area.draft.from.join_path(&entry.path);
            notes.push(ExportNote::Caveat(format!(
                "{pattern} stays a pattern: only the backup can expand it (--source)"
            )));
        }
    }
    let value = json!({"version": VERSION, "plan": declared.plan.name, "areas": areas});
    Export::new(format!("{value:#}\n"), notes)
}

fn area(declared: &DeclaredPlan<'_>, area: &Area<'_>) -> Value {
    let draft = area.draft;
    let storage = match Placement::of(&draft.from, &draft.to) {
        Placement::Bound { storage } => Some(storage.to_string()),
        Placement::Unmoved => Some("/".to_string()),
        Placement::Elsewhere => draft.from.is_root().then(|| draft.to.to_string()),
    };
    let items = area.items.iter().map(entry);
    let open = area.open.iter().map(|draft| {
        json!({
            "live": null, "stored": null, "kind": draft.kind.word(), "need": draft.need, "owner": id(&draft.owner),
            "group": id(&draft.group), "mode": draft.mode.as_ref().map(Mode::to_string), "glob": area.draft.from.join_path(&draft.path).to_string(),
        })
    });
    json!({
        "name": draft.name,
        "from": draft.from.to_string(),
        "to": draft.to.to_string(),
        "storage": storage,
        "home": declared.home(&draft.from).map(|home| home.user),
        "exclude": draft.exclude,
        "entries": items.chain(open).collect::<Vec<_>>(),
    })
}

fn entry(item: &Item<'_>) -> Value {
    let draft = item.draft;
    let mut value = json!({
        "live": item.live.to_string(), "stored": item.stored.to_string(), "kind": draft.kind.word(),
        "need": draft.need, "owner": id(&draft.owner), "group": id(&draft.group), "mode": draft.mode.as_ref().map(Mode::to_string),
    });
    if let Some(pattern) = item.glob() {
        value["glob"] = json!(pattern.to_string());
    }
    if let Some(follow) = draft.follow {
        value["follow"] = json!(follow);
    }
    if item.origin == Origin::Guessed {
        value["guessed"] = json!(true);
    }
    let mut bytes = |key: &str, path: &RelPath| {
        if let Some(exact) = exact(path) {
            value[key] = json!(exact);
        }
    };
    bytes("path_bytes", &item.live);
    bytes("stored_bytes", &item.stored);
    value
}

/// A name as text, a number as a number.
fn id(reference: &Option<IdRef>) -> Value {
    match reference.as_ref().map(|reference| &reference.value) {
        None => Value::Null,
        Some(IdValue::Name(name)) => json!(name),
        Some(IdValue::Number(id)) => json!(id),
    }
}
