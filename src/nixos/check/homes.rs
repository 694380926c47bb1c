//! Homes, and every directory between a home and what is kept of it: the storage's owners and modes
//! are mirrored to the live side at each boot.

use super::context::CheckContext;
use super::home::Home;
use super::row::{CheckRow, Remedy};
use super::system::Booted;
use super::tree::rel;
use crate::base::path::RelPath;
use crate::engine::mapping::model::EntryKind;
use crate::nixos::audit::Units;
use crate::sys::leads_nowhere;
use crate::sys::stat::{Kind, Stat};
use std::collections::BTreeSet;

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let mut rows = Vec::new();
    let tops: BTreeSet<RelPath> = context
        .homes
        .iter()
        .filter(|home| home.live.parent() == Some(rel("home")))
        .filter_map(|home| home.stored.parent())
        .filter(|top| !top.is_root())
        .collect();
    rows.extend(tops.iter().filter_map(|top| above(context, top)));
    for home in &context.homes {
        rows.extend(one(context, home));
    }
    rows.extend(system_parents(context));
    rows.extend(private(context));
    rows.extend(dynamic_users(context));
    rows
}

/// A service with `DynamicUser` keeps its state in /var/lib/private and makes a link to it; a directory
/// that is mounted in the link's place keeps it from starting (systemd.exec(5)).
fn dynamic_users(context: &CheckContext) -> Vec<CheckRow> {
    const ID: &str = "dynamic-user";
    let state = rel("var/lib");
    let declared = context.tree.entries().filter(|entry| entry.src.parent().as_ref() == Some(&state));
    let declared: Vec<_> = declared.filter(|entry| entry.kind == EntryKind::Directory).collect();
    if declared.is_empty() {
        return Vec::new();
    }
    let units = Units::read(&context.tree.root);
    let mut rows = Vec::new();
    for entry in declared {
        let Some(name) = entry.src.last() else { continue };
        let private = rel("var/lib/private").join(&name);
        if let Some(services) = units.directories.get(&private) {
            let why = format!("{} has DynamicUser, and keeps its state in {private}", services.join(", "));
            rows.push(
                CheckRow::fail(ID, &entry.dst, why).advise(format!(
                    "declare {private} instead of {}, in the plan and in the configuration",
                    entry.src
                )),
            );
        }
    }
    rows
}

/// The directory of the homes is root's, and everybody may search it.
fn above(context: &CheckContext, path: &RelPath) -> Option<CheckRow> {
    const ID: &str = "home-above";
    let stat = stat(context, ID, path)?;
    Some(match stat {
        Err(row) => row,
        Ok(stat) if (stat.uid, stat.gid, stat.mode) == (0, 0, 0o755) => CheckRow::pass(ID, path, "0:0 0755"),
        Ok(stat) => {
            let why = format!("is {}:{} {:04o}, not 0:0 0755: it becomes what /home is", stat.uid, stat.gid, stat.mode);
            CheckRow::fail(ID, path, why).mend(roots(context, "0755", path))
        }
    })
}

fn one(context: &CheckContext, home: &Home) -> Vec<CheckRow> {
    const ID: &str = "home";
    let path = &home.stored;
    let mut rows = Vec::new();
    let stat = match stat(context, ID, path) {
        Some(Ok(stat)) => stat,
        Some(Err(row)) => return vec![row],
        None => return vec![CheckRow::skip(ID, path, "not on the storage")],
    };
    if home.uid.is_none() {
        let why = format!("unknown: no map and no [ids] has a number for {}", home.user);
        return vec![CheckRow::warn(ID, path, why).advise("give the number in the plan's [ids]")];
    }
    let (uid, gid) = (home.uid.unwrap_or(stat.uid), home.gid.unwrap_or(stat.gid));
    if (stat.uid, stat.gid, stat.mode) == (uid, gid, home.mode) {
        rows.push(CheckRow::pass(ID, path, format!("{uid}:{gid} {:04o}", stat.mode)));
    } else {
        let why = format!(
            "is {}:{} {:04o}, not {uid}:{gid} {:04o}: {} cannot use it, or others can",
            stat.uid, stat.gid, stat.mode, home.mode, home.user
        );
        let mode = format!("{:04o}", home.mode);
        let mend = context.tree.command(path, |at| format!("{} && {}", at.chown(&home.owner()), at.chmod(&mode)));
        rows.push(CheckRow::fail(ID, path, why).mend(mend));
    }
    let mut parents = BTreeSet::new();
    for entry in &home.entries {
        let mut above = entry.parent();
        while let Some(path) = above.filter(|path| path.depth() > home.stored.depth()) {
            above = path.parent();
            parents.insert(path);
        }
    }
    rows.extend(parents.iter().filter_map(|path| parent(context, path, home, uid)));
    rows.extend(home.entries.iter().filter_map(|path| entry(context, path, home, uid)));
    if context.booted == Booted::Yes {
        let all = std::iter::once(&home.stored).chain(&parents);
        rows.extend(all.filter_map(|stored| live(context, stored, home, uid)));
    }
    rows
}

/// The live side is created at boot, with the storage's owners; but a service that started earlier may
/// already have created it as root.
fn live(context: &CheckContext, stored: &RelPath, home: &Home, uid: u32) -> Option<CheckRow> {
    const ID: &str = "home-live";
    let path = home.live.join_path(&stored.strip_prefix(&home.stored)?);
    let stat = match stat(context, ID, &path)? {
        Ok(stat) => stat,
        Err(row) => return Some(row),
    };
    if stat.uid == uid {
        return Some(CheckRow::pass(ID, &path, format!("{}:{} {:04o}", stat.uid, stat.gid, stat.mode)));
    }
    let why = format!("belongs to {}, not to {uid}: {} can make nothing in it", stat.uid, home.user);
    Some(CheckRow::fail(ID, &path, why).mend(context.tree.command(&path, |at| at.chown(&home.owner()))))
}

/// A directory such as .local that is not declared: if it is root's, it locks the user out.
fn parent(context: &CheckContext, path: &RelPath, home: &Home, uid: u32) -> Option<CheckRow> {
    const ID: &str = "home-parent";
    let stat = match stat(context, ID, path)? {
        Ok(stat) => stat,
        Err(row) => return Some(row),
    };
    if stat.uid != uid {
        let why = format!("belongs to {}, not to {uid}: {} can make nothing in it", stat.uid, home.user);
        return Some(CheckRow::fail(ID, path, why).mend(context.tree.command(path, |at| at.chown(&home.owner()))));
    }
    if stat.mode & 0o700 != 0o700 {
        let why = format!("has mode {:04o}: {} cannot use it", stat.mode, home.user);
        return Some(CheckRow::fail(ID, path, why).mend(context.tree.command(path, |at| at.chmod("u+rwx"))));
    }
    if stat.mode & 0o002 != 0 && stat.mode & 0o1000 == 0 {
        let why = format!("has mode {:04o}: everybody can replace what is in it", stat.mode);
        return Some(CheckRow::fail(ID, path, why).mend(context.tree.command(path, |at| at.chmod("o-w"))));
    }
    Some(CheckRow::pass(ID, path, format!("{}:{} {:04o}", stat.uid, stat.gid, stat.mode)))
}

/// A directory above the system's entries, such as /persist/var/lib: it is mirrored to the live side.
fn system_parents(context: &CheckContext) -> Vec<CheckRow> {
    const ID: &str = "system-parent";
    let mut parents = BTreeSet::new();
    for target in context.tree.plan.targets.iter().filter(|target| target.from.is_root()) {
        for entry in target.entries.iter().filter(|entry| entry.src != entry.dst) {
            let in_home = context.homes.iter().any(|home| entry.dst.strip_prefix(&home.stored).is_some());
            let above = std::iter::successors(entry.dst.parent(), RelPath::parent);
            let own = above.take_while(|path| path.depth() >= target.to.depth() && !path.is_root());
            parents.extend(own.filter(|_| !in_home));
        }
    }
    let one = |path: &RelPath| {
        let stat = match stat(context, ID, path)? {
            Ok(stat) => stat,
            Err(row) => return Some(row),
        };
        let open = stat.mode & 0o022 != 0 && stat.mode & 0o1000 == 0;
        // An entry of the plan may be another's directory.
        if context.tree.entries().any(|entry| entry.dst == *path) || (stat.uid == 0 && !open) {
            return None;
        }
        let why = format!(
            "is {}:{} {:04o}: who can write in it can replace what the system keeps",
            stat.uid, stat.gid, stat.mode
        );
        Some(CheckRow::fail(ID, path, why).mend(roots(context, "go-w", path)))
    };
    parents.iter().filter_map(one).collect()
}

/// What is declared in a home and root's, as after a copy by hand: the user cannot change it.
fn entry(context: &CheckContext, path: &RelPath, home: &Home, uid: u32) -> Option<CheckRow> {
    const ID: &str = "home-entry";
    let declared = context.tree.entries().find(|entry| entry.dst == *path)?;
    // Keys and GnuPG's directory have rows of their own, and so does an owner that the plan gives.
    let own_row =
        declared.uid.is_some() || path.names().any(|name| [&b".ssh"[..], b".gnupg"].contains(&name.as_bytes()));
    let stat = context.tree.stat(path).ok()?;
    // Another type than declared is a row already.
    let fits = match declared.kind {
        EntryKind::Directory => stat.kind == Kind::Directory,
        EntryKind::File => stat.kind == Kind::File,
        EntryKind::Tree => true,
    };
    if own_row || !fits || stat.uid != 0 || uid == 0 {
        return None;
    }
    let why = format!("belongs to root, not to {uid}: {} cannot change it", home.user);
    Some(CheckRow::fail(ID, path, why).mend(context.tree.command(path, |at| at.chown(&home.owner()))))
}

/// systemd refuses services with a `DynamicUser` when this is open to others.
fn private(context: &CheckContext) -> Vec<CheckRow> {
    let live = rel("var/lib/private");
    let mut places: Vec<RelPath> = context.tree.stored_directory(&live).into_iter().collect();
    if context.booted == Booted::Yes && !places.contains(&live) {
        places.push(live);
    }
    places.iter().filter_map(|path| private_directory(context, path)).collect()
}

fn private_directory(context: &CheckContext, path: &RelPath) -> Option<CheckRow> {
    const ID: &str = "private-state";
    Some(match stat(context, ID, path)? {
        Err(row) => row,
        Ok(stat) if (stat.uid, stat.gid, stat.mode) == (0, 0, 0o700) => CheckRow::pass(ID, path, "0:0 0700"),
        Ok(stat) => {
            let why = format!(
                "is {}:{} {:04o}, not 0:0 0700: systemd refuses to start what lives in it",
                stat.uid, stat.gid, stat.mode
            );
            CheckRow::fail(ID, path, why).mend(roots(context, "0700", path))
        }
    })
}

/// The command that makes a directory root's, with a mode.
fn roots(context: &CheckContext, mode: &str, path: &RelPath) -> Remedy {
    context.tree.command(path, |at| format!("{} && {}", at.chown("0:0"), at.chmod(mode)))
}

/// `None` if there is no directory, which the rows of declared entries report.
fn stat(context: &CheckContext, id: &'static str, path: &RelPath) -> Option<Result<Stat, CheckRow>> {
    match context.tree.stat(path) {
        Ok(stat) => (stat.kind == Kind::Directory).then_some(Ok(stat)),
        Err(errno) if leads_nowhere(errno) => None,
        Err(errno) => Some(Err(CheckRow::unreadable(id, path, errno))),
    }
}
