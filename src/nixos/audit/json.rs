//! The audit as JSON, schema version 1.

use super::finding::Finding;
use super::outcome::{Audit, DestinationSeen, OnTarget};
use super::sum::Total;
use super::tally::{Listing, Standings};
use crate::base::clock::Moment;
use crate::base::json::exact;
use crate::base::path::RelPath;
use crate::plan::words;
use serde_json::{Value, json};

/// The version of the schema in `docs/audit.md`.
const VERSION: u32 = 1;

/// The whole audit.
#[must_use]
pub fn json(audit: &Audit) -> Value {
    let plan = &audit.plan;
    let absent = audit.absent().into_iter().map(|(target, entry)| {
        let (how, detail) = (entry.presence.word(), entry.presence.detail());
        at(&entry.src, json!({"target": target.name, "need": entry.need, "how": how, "detail": detail}))
    });
    let left_out = audit.left_out.iter().map(|left| {
        let mut value = json!({"reason": left.reason, "things": left.things, "total": total(&left.total)});
        if audit.listing == Listing::All {
            value["paths"] = left.paths.iter().map(|path| at(path, json!({}))).collect();
        }
        value
    });
    let areas = audit.areas.iter().map(|area| {
        let mut value = at(&area.path, standings(&area.sums));
        if audit.listing == Listing::All {
            value["directories"] = area.lines.iter().map(|(path, sums)| at(path, standings(sums))).collect();
        }
        value
    });
    json!({
        "version": VERSION,
        "tool": concat!("persistcp ", env!("CARGO_PKG_VERSION")),
        "plan": plan.name,
        "source": plan.source.to_string_lossy(),
        "root": plan.root.to_string_lossy(),
        "outcome": audit.outcome().word(),
        "absent": absent.collect::<Vec<_>>(),
        "links": links(audit),
        "findings": audit.findings.iter().map(finding).collect::<Vec<_>>(),
        "left_out": left_out.collect::<Vec<_>>(),
        "places": areas.collect::<Vec<_>>(),
        "not_entered": reasons(&audit.not_entered),
        "unreadable_count": audit.unread_count,
        "unreadable": reasons(&audit.unread),
        "unit_files": audit.unit_files,
        "links_counted_again": audit.links_counted_again,
        "on_target": audit.on_target.iter().map(on_target).collect::<Vec<_>>(),
    })
}

fn links(audit: &Audit) -> Vec<Value> {
    let entries = audit.plan.targets.iter().flat_map(|target| &target.entries);
    entries
        .filter_map(|entry| entry.link.as_ref().map(|link| (entry, link)))
        .map(|(entry, link)| {
            let to = link.to.as_ref().map(ToString::to_string);
            at(&entry.src, json!({"to": to, "followed": link.followed, "why": words::link(link)}))
        })
        .collect()
}

fn reasons(list: &[(RelPath, String)]) -> Value {
    list.iter().map(|(path, why)| at(path, json!({"why": why}))).collect()
}

fn on_target(on: &OnTarget) -> Value {
    let mut value = json!({"target": on.name, "to": on.to.to_string()});
    let thing = |f: &Finding| at(&f.path, json!({"kind": f.what.word(), "total": total(&f.total)}));
    let seen = match &on.seen {
        DestinationSeen::Absent => "absent",
        DestinationSeen::Covered => "covered",
        DestinationSeen::Unreadable(why) => {
            value["why"] = json!(why);
            "unreadable"
        }
        DestinationSeen::Undeclared { list, not_entered } => {
            value["undeclared"] = list.iter().map(thing).collect();
            value["not_entered"] = reasons(not_entered);
            "seen"
        }
    };
    value["seen"] = json!(seen);
    value
}

/// `rest` preceded by the path, with its exact bytes if the text is escaped.
fn at(path: &RelPath, mut rest: Value) -> Value {
    rest["path"] = json!(path.to_string());
    if let Some(bytes) = exact(path) {
        rest["path_bytes"] = json!(bytes);
    }
    rest
}

fn total(total: &Total) -> Value {
    let newest = total.newest.map(|at| Moment::from_unix(at).rfc3339());
    json!({"files": total.files, "allocated_bytes": total.bytes, "newest": newest})
}

fn standings(sums: &Standings) -> Value {
    let Standings { declared, undeclared, left_out } = sums;
    json!({"declared": total(declared), "undeclared": total(undeclared), "left_out": total(left_out)})
}

fn finding(finding: &Finding) -> Value {
    let (uid, gid, mode) = finding.attrs;
    let rest = json!({
        "kind": finding.what.word(),
        "severity": finding.severity,
        "class": finding.class,
        "why": finding.why,
        "holds": finding.holds,
        "units": finding.units,
        "advice": finding.advice,
        "rule": finding.rule,
        "total": total(&finding.total),
        "uid": uid,
        "gid": gid,
        "mode": format!("{mode:04o}"),
    });
    at(&finding.path, rest)
}
