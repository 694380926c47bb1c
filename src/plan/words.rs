//! What a mapping says of itself, for people: in the table of the plan, the report and the audit.

use crate::base::path::RelPath;
use crate::engine::mapping::model::{IdConflict, LeftOut, Link};

/// That an entry is copied without what the plan has elsewhere.
#[must_use]
pub fn left_out(left_out: &LeftOut) -> String {
    format!("{}: left out there, the plan has it at {}", left_out.place, left_out.declared)
}

/// What a symlink at an entry is and what becomes of it.
#[must_use]
pub fn link(link: &Link) -> String {
    let private = RelPath::shown("/var/lib/private");
    let dynamic = link.to.as_ref().filter(|to| to.parent().as_ref() == Some(&private));
    match dynamic {
        Some(to) => format!(
            "{}; a service with DynamicUser makes that link itself, and starts only if {to} is declared instead",
            led(link)
        ),
        None => led(link),
    }
}

fn led(link: &Link) -> String {
    match link {
        Link { is_on_the_way: true, to: Some(to), .. } => {
            format!("it is reached through a symlink and is at {to}")
        }
        Link { followed: true, to: Some(to), .. } => {
            format!("it is a symlink that leads to {to}, and what is there is copied")
        }
        Link { followed: false, to: Some(to), .. } => {
            format!("it is a symlink that leads to {to}, and is copied as a link")
        }
        Link { followed: false, to: None, .. } => "it is a symlink that leads nowhere, and is copied as a link".into(),
        Link { to: None, .. } => "it is a symlink that leads nowhere".into(),
    }
}

/// The same of an entry for `dst` of which the plan leaves it open, and how it can say otherwise.
#[must_use]
pub fn unasked_link(dst: &RelPath, link: &Link) -> String {
    if link.leads_home {
        return format!(
            "{dst}: in the backup it is a symlink to this very place, which is not shown there; what is there was in \
             use and stays as it is"
        );
    }
    let otherwise = match link {
        Link { is_on_the_way: true, .. } => "; the plan can name that place itself",
        Link { followed: true, .. } => "; `follow = false` copies the link instead",
        Link { followed: false, to: Some(_), .. } => "; `follow = true` copies what it leads to instead",
        Link { followed: false, to: None, .. } => "",
    };
    format!("{dst}: in the backup {}{otherwise}", self::link(link))
}

/// That a number changes hands.
#[must_use]
pub fn id_conflict(conflict: &IdConflict) -> String {
    let IdConflict { kind, id, backup, target } = conflict;
    let kind = kind.word();
    format!(
        "the {kind} number {id} is `{backup}` in the backup and `{target}` on the target, which knows no `{backup}`: \
         what such files there are become `{target}`'s; a number in the plan's [ids] and --remap-ids keep them apart"
    )
}
