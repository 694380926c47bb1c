//! On the running system: each live path is the storage's own inode, by a mount or a link.

use super::context::CheckContext;
use super::row::{CheckRow, RowStatus};
use super::system::Booted;
use super::tree::{Read, rel};
use crate::base::path::RelPath;
use crate::engine::mapping::model::{Entry, EntryKind};
use crate::sys::leads_nowhere;
use crate::sys::stat::{Kind, Stat};

const ID: &str = "live";

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    if context.booted == Booted::No {
        return vec![CheckRow::skip(ID, &RelPath::root(), "nothing has booted from this root yet")];
    }
    let mut rows: Vec<CheckRow> =
        context.tree.entries().filter(|e| e.src != e.dst).filter_map(|e| one(context, e)).collect();
    if context.mounts.is_err() {
        // The inodes are right, but how they got there, and with which options, is not known.
        let good = rows.extract_if(.., |row| row.status == RowStatus::Pass).count();
        let why =
            format!("unknown for {good} paths: the storage is there, but without /proc it is not known by which mount");
        rows.push(CheckRow::warn(ID, &RelPath::root(), why));
    }
    rows
}

/// `None` if the storage does not have it, which another row reports.
fn one(context: &CheckContext, entry: &Entry) -> Option<CheckRow> {
    let (live, stored) = (&entry.src, &entry.dst);
    let kept = context.tree.stat_through(stored).ok()?;
    let fits = match entry.kind {
        EntryKind::Directory => kept.kind == Kind::Directory,
        EntryKind::File => kept.kind != Kind::Directory,
        EntryKind::Tree => true,
    };
    if !fits {
        return None;
    }
    Some(match context.tree.stat_through(live) {
        Ok(seen) if (seen.dev, seen.ino) == (kept.dev, kept.ino) => same(context, live, stored),
        Ok(seen) => another(context, live, stored, &seen),
        Err(errno) if leads_nowhere(errno) => absent(context, entry),
        Err(errno) => CheckRow::unreadable(ID, live, errno),
    })
}

fn same(context: &CheckContext, live: &RelPath, stored: &RelPath) -> CheckRow {
    let mount = context.tree.mount_id(live).ok().and_then(|id| context.mount(id));
    match mount {
        Some(mount) if mount.has("ro") => CheckRow::warn(ID, live, format!("is {stored}, but mounted read-only"))
            .run(format!("mount -o remount,bind,rw {}", context.tree.word(live))),
        _ => CheckRow::pass(ID, live, format!("is {stored}")),
    }
}

fn another(context: &CheckContext, live: &RelPath, stored: &RelPath, seen: &Stat) -> CheckRow {
    let (from, to) = (context.tree.word(stored), context.tree.word(live));
    let bind = format!("mount --bind {from} {to}");
    if !seen.mount_root {
        return match seen.kind {
            Kind::File if seen.size > 0 => {
                let why = format!("\"A file already exists at {live}!\": {stored} was not mounted over it");
                CheckRow::fail(ID, live, why).run(format!("mv {to} {to}.aside && touch {to} && {bind}"))
            }
            _ => {
                let why = format!("is not {stored}: nothing is mounted there, and what is written is lost at reboot");
                CheckRow::fail(ID, live, why).run(bind)
            }
        };
    }
    let mount = context.tree.mount_id(live).ok().and_then(|id| context.mount(id));
    let what = mount.map_or_else(
        || "another mount".to_string(),
        |mount| format!("{} of {} ({})", mount.root.display(), mount.source.display(), mount.kind),
    );
    CheckRow::fail(ID, live, format!("is not {stored}: {what} is mounted there")).run(format!("umount {to} && {bind}"))
}

fn absent(context: &CheckContext, entry: &Entry) -> CheckRow {
    let (live, stored) = (&entry.src, &entry.dst);
    if let Some(row) = host_key(context, live, stored) {
        return row;
    }
    let (from, to) = (context.tree.word(stored), context.tree.word(live));
    let parent = context.tree.word(&live.parent().unwrap_or_default());
    let make = match entry.kind {
        EntryKind::File => format!("mkdir -p {parent} && touch {to}"),
        EntryKind::Directory | EntryKind::Tree => format!("mkdir -p {to}"),
    };
    let why = format!("is not there: {stored} is not mounted");
    CheckRow::fail(ID, live, why).run(format!("{make} && mount --bind {from} {to}"))
}

/// sshd may be configured to read its keys from the storage itself; then no live path is needed.
fn host_key(context: &CheckContext, live: &RelPath, stored: &RelPath) -> Option<CheckRow> {
    let name = live.last()?;
    let is_key = live.parent()? == rel("etc/ssh") && name.as_bytes().starts_with(b"ssh_host_");
    let text = match context.tree.read(&rel("etc/ssh/sshd_config")) {
        Read::Bytes(bytes) if is_key => String::from_utf8_lossy(&bytes).into_owned(),
        _ => return None,
    };
    let key = stored.to_string();
    let key = key.strip_suffix(".pub").unwrap_or(&key);
    let names = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("HostKey")) && words.next() == Some(key)
    };
    text.lines().any(names).then(|| CheckRow::pass(ID, live, format!("sshd takes it from {key}")))
}
