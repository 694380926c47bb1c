//! Names and numbers: NixOS's maps are whole, and files belong to the users and groups that the plan
//! names.

use super::context::CheckContext;
use super::plan_file::PlanNumbers;
use super::row::CheckRow;
use super::tree::{Read, rel};
use crate::base::path::RelPath;
use crate::engine::mapping::model::{Entry, IdKind};
use crate::plan::id_file::parse_map;
use crate::plan::static_ids;
use crate::sys::stat::Kind;
use std::collections::BTreeSet;

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let mut rows = maps(context);
    rows.extend(names(context));
    rows.extend(context.tree.entries().filter_map(|entry| owner(context, entry)));
    rows.extend(id_conflicts(context));
    rows
}

fn maps(context: &CheckContext) -> Vec<CheckRow> {
    const ID: &str = "id-map";
    let live = rel("var/lib/nixos");
    let Some(stored) = context.tree.stored(&live) else {
        let why = "the plan does not keep it: users and groups may get other numbers at each boot";
        return vec![CheckRow::warn(ID, &live, why).advise("declare it in `directories`")];
    };
    if context.tree.stat_through(&stored).is_err() {
        return vec![CheckRow::skip(ID, &stored, "not on the storage")];
    }
    let mut rows = Vec::new();
    for name in ["uid-map", "gid-map", "auto-subuid-map"] {
        let path = stored.join_path(&rel(name));
        rows.push(match context.tree.read(&path) {
            Read::Bytes(bytes) => match parse_map(&bytes) {
                Ok(names) => CheckRow::pass(ID, &path, format!("names: {}", names.len())),
                Err(why) => CheckRow::fail(ID, &path, why).mend(context.bring_anew(&path)),
            },
            Read::Absent if name == "auto-subuid-map" => CheckRow::skip(ID, &path, "there is none"),
            Read::Absent => {
                let why = "is not there: names get numbers afresh, and files belong to others than before";
                CheckRow::fail(ID, &path, why).run(context.bring_back())
            }
            Read::Failed(errno) => CheckRow::unreadable(ID, &path, errno),
        });
    }
    for name in ["declarative-users", "declarative-groups"] {
        let path = stored.join_path(&rel(name));
        rows.push(match context.tree.read(&path) {
            Read::Bytes(bytes) if is_list(&bytes) => CheckRow::pass(ID, &path, "a list of names"),
            Read::Bytes(_) => {
                CheckRow::fail(ID, &path, "is not a list of names, as after a crash").mend(context.bring_anew(&path))
            }
            Read::Absent => CheckRow::skip(ID, &path, "there is none"),
            Read::Failed(errno) => CheckRow::unreadable(ID, &path, errno),
        });
    }
    let tables = [IdKind::User, IdKind::Group].into_iter().flat_map(|kind| context.ids.of(kind));
    for file in tables.filter(|file| !file.is_map) {
        rows.push(match &file.names {
            Ok(names) => CheckRow::pass(ID, &file.path, format!("names: {}", names.len())),
            Err(why) => CheckRow::fail(ID, &file.path, why).advise("restore it from the backup"),
        });
    }
    rows
}

/// Names with single spaces between them.
fn is_list(bytes: &[u8]) -> bool {
    let fine = |b: &u8| b.is_ascii_graphic() || *b == b' ';
    !bytes.is_empty() && bytes.strip_suffix(b"\n").unwrap_or(bytes).iter().all(fine)
}

/// Every name in the plan has one number on the new system.
fn names(context: &CheckContext) -> Vec<CheckRow> {
    const ID: &str = "id-name";
    let mut rows = Vec::new();
    for wanted in &context.file.names {
        let word = wanted.kind.word();
        let (id, map, key) = match wanted.kind {
            IdKind::User => ("uid", "uid-map", "users.users"),
            IdKind::Group => ("gid", "gid-map", "users.groups"),
        };
        let file = rel("var/lib/nixos").join_path(&rel(map));
        let path = context.tree.stored(&file).unwrap_or(file);
        let name = &wanted.name;
        let here = context.ids.number(wanted.kind, name);
        let fixed = static_ids::find(wanted.kind, name);
        // With a damaged file it is not known what is missing; its own row reports it.
        if here.is_none() && context.ids.damaged(wanted.kind) {
            rows.push(CheckRow::skip(ID, &path, format!("{word} {name}: the map is damaged")));
            continue;
        }
        rows.push(match (here.or(fixed), wanted.number) {
            (Some(here), Some(plan)) if here != plan => {
                CheckRow::fail(ID, &path, format!("{word} {name} is {here} here, but {plan} in the plan's [ids]"))
                    .advise(format!("set {key}.{name}.{id} = {plan}, or correct [ids] and run the plan again"))
            }
            (Some(number), _) => CheckRow::pass(ID, &path, format!("{word} {name} is {number}")),
            (None, Some(plan)) => {
                let why =
                    format!("{word} {name} is not in the map: the new system may give it another number than {plan}");
                CheckRow::warn(ID, &path, why).advise(format!("set {key}.{name}.{id} = {plan}"))
            }
            (None, None) if context.file.numbers == PlanNumbers::Known => {
                let why =
                    format!("{word} {name} is not in the map: only what is absent needs it, or the backup knows it");
                CheckRow::skip(ID, &path, why)
            }
            (None, None) => CheckRow::fail(ID, &path, format!("the number of the {word} {name} is not known"))
                .advise(format!("set {key}.{name}.{id}, and give the same number in the plan's [ids]")),
        });
    }
    rows
}

/// An entry with its own owner or group in the plan has that on the disk.
fn owner(context: &CheckContext, entry: &Entry) -> Option<CheckRow> {
    const ID: &str = "id-owner";
    if entry.uid.is_none() && entry.gid.is_none() {
        return None;
    }
    let path = &entry.dst;
    let stat = context.tree.stat_through(path).ok()?;
    let wanted = (entry.uid.unwrap_or(stat.uid), entry.gid.unwrap_or(stat.gid));
    if wanted == (stat.uid, stat.gid) {
        return Some(CheckRow::pass(ID, path, format!("{}:{}", stat.uid, stat.gid)));
    }
    let why = format!("belongs to {}:{}, but the plan says {}:{}", stat.uid, stat.gid, wanted.0, wanted.1);
    let change = format!("--from={}:{} {}:{}", stat.uid, stat.gid, wanted.0, wanted.1);
    let mend = context.tree.command(path, |at| match stat.kind {
        Kind::Directory => format!("chown -hR {change} {}", at.inside()),
        _ => at.chown(&change),
    });
    Some(CheckRow::fail(ID, path, why).mend(mend))
}

/// Numbers that own an entry and belong to no name.
fn id_conflicts(context: &CheckContext) -> Vec<CheckRow> {
    const ID: &str = "id-known";
    let mut rows = Vec::new();
    let mut seen = BTreeSet::new();
    let mut there = 0_usize;
    for entry in context.tree.entries() {
        let Ok(stat) = context.tree.stat_through(&entry.dst) else { continue };
        there += 1;
        for (kind, id) in [(IdKind::User, stat.uid), (IdKind::Group, stat.gid)] {
            if is_known(context, kind, id) || !seen.insert((kind, id)) {
                continue;
            }
            let word = kind.word();
            let why = format!("belongs to the {word} {id}, whom no map names: it belongs to whoever gets that number");
            let find = if kind == IdKind::User { "uid" } else { "gid" };
            let command = format!("find {} -xdev -{find} {id} -ls", context.tree.word(&entry.dst));
            rows.push(CheckRow::warn(ID, &entry.dst, why).run(command));
        }
    }
    if there == 0 {
        rows.push(CheckRow::skip(ID, &RelPath::root(), "no entry is on the storage"));
    } else if rows.is_empty() {
        rows.push(CheckRow::pass(ID, &RelPath::root(), "every entry belongs to somebody"));
    }
    rows
}

fn is_known(context: &CheckContext, kind: IdKind, id: u32) -> bool {
    // systemd gives these to services while they run.
    let dynamic = (61_184..=65_519).contains(&id);
    let by_plan = context.file.names.iter().any(|name| name.kind == kind && name.number == Some(id));
    // It is not known what a damaged map contained.
    id == 0
        || dynamic
        || by_plan
        || static_ids::name(kind, id).is_some()
        || context.ids.knows(kind, id)
        || context.ids.damaged(kind)
}
