//! Homes, and every directory between a home and what is kept of it: the storage's owners and modes
//! are mirrored to the live side at each boot.

use super::context::CheckContext;
use super::home::Home;
use super::row::CheckRow;
use super::system::Booted;
use super::tree::rel;
use crate::base::path::RelPath;
use crate::sys::leads_nowhere;
use crate::sys::stat::{Kind, Stat};
use std::collections::BTreeSet;

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let mut rows = Vec::new();
    let tops: BTreeSet<RelPath> = context
        .homes
        .iter()
        .filter(|home| home.live.depth() == 2)
        .filter_map(|home| home.stored.parent())
        .filter(|top| !top.is_root())
        .collect();
    rows.extend(tops.iter().filter_map(|top| above(context, top)));
    for home in &context.homes {
        rows.extend(one(context, home));
    }
    rows.extend(private(context));
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
            let word = context.tree.word(path);
            CheckRow::fail(ID, path, why).run(format!("chown 0:0 {word} && chmod 0755 {word}"))
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
        let word = context.tree.word(path);
        rows.push(CheckRow::fail(ID, path, why).run(format!(
            "chown {} {word} && chmod {:04o} {word}",
            home.owner(),
            home.mode
        )));
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
    Some(CheckRow::fail(ID, &path, why).run(format!("chown {} {}", home.owner(), context.tree.word(&path))))
}

/// A directory such as .local that is not declared: if it is root's, it locks the user out.
fn parent(context: &CheckContext, path: &RelPath, home: &Home, uid: u32) -> Option<CheckRow> {
    const ID: &str = "home-parent";
    let stat = match stat(context, ID, path)? {
        Ok(stat) => stat,
        Err(row) => return Some(row),
    };
    let word = context.tree.word(path);
    if stat.uid != uid {
        let why = format!("belongs to {}, not to {uid}: {} can make nothing in it", stat.uid, home.user);
        return Some(CheckRow::fail(ID, path, why).run(format!("chown {} {word}", home.owner())));
    }
    if stat.mode & 0o700 != 0o700 {
        let why = format!("has mode {:04o}: {} cannot use it", stat.mode, home.user);
        return Some(CheckRow::fail(ID, path, why).run(format!("chmod u+rwx {word}")));
    }
    if stat.mode & 0o002 != 0 && stat.mode & 0o1000 == 0 {
        let why = format!("has mode {:04o}: everybody can replace what is in it", stat.mode);
        return Some(CheckRow::fail(ID, path, why).run(format!("chmod o-w {word}")));
    }
    Some(CheckRow::pass(ID, path, format!("{}:{} {:04o}", stat.uid, stat.gid, stat.mode)))
}

/// systemd refuses services with a `DynamicUser` when this is open to others.
fn private(context: &CheckContext) -> Option<CheckRow> {
    const ID: &str = "private-state";
    let path = context.tree.stored_directory(&rel("var/lib/private"))?;
    Some(match stat(context, ID, &path)? {
        Err(row) => row,
        Ok(stat) if (stat.uid, stat.gid, stat.mode) == (0, 0, 0o700) => CheckRow::pass(ID, &path, "0:0 0700"),
        Ok(stat) => {
            let why = format!(
                "is {}:{} {:04o}, not 0:0 0700: systemd refuses to start what lives in it",
                stat.uid, stat.gid, stat.mode
            );
            let word = context.tree.word(&path);
            CheckRow::fail(ID, &path, why).run(format!("chown 0:0 {word} && chmod 0700 {word}"))
        }
    })
}

/// `None` if there is no directory, which the rows of declared entries report.
fn stat(context: &CheckContext, id: &'static str, path: &RelPath) -> Option<Result<Stat, CheckRow>> {
    match context.tree.stat(path) {
        Ok(stat) => (stat.kind == Kind::Directory).then_some(Ok(stat)),
        Err(errno) if leads_nowhere(errno) => None,
        Err(errno) => Some(Err(CheckRow::unreadable(id, path, errno))),
    }
}
