//! On the running system: each live path is the storage's own inode, by a mount or a link.

use super::context::CheckContext;
use super::row::{CheckRow, Remedy, RowStatus};
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
        Some(mount) if mount.has("ro") => CheckRow::warn(ID, live, format!("is {stored}, but mounted read-only")).mend(
            context.tree.command(live, |at| match at.mount_option() {
                "" => format!("mount -o remount,bind,rw {}", at.word()),
                // mount(8) looks a lone mount point up by its path.
                option => format!("mount {option}-o remount,bind,rw none {}", at.word()),
            }),
        ),
        _ => CheckRow::pass(ID, live, format!("is {stored}")),
    }
}

fn another(context: &CheckContext, live: &RelPath, stored: &RelPath, seen: &Stat) -> CheckRow {
    let bind = bind(context, live, stored);
    if !seen.mount_root {
        return match seen.kind {
            Kind::File if seen.size > 0 => {
                let why = format!("\"A file already exists at {live}!\": {stored} was not mounted over it");
                // `set -C`: a symlink that somebody has put there by then is not followed.
                let emptied = context.tree.command_by_name(live, |word| {
                    format!("mv -T --backup=numbered {word} {word}.aside && (set -C; : > {word})")
                });
                CheckRow::fail(ID, live, why).mend(emptied.then(bind))
            }
            Kind::Directory if let Some(name) = context.tree.list(live).unwrap_or_default().first() => {
                let why = format!("is not {stored}: nothing is mounted there, and {name} in it is lost at reboot");
                CheckRow::fail(ID, live, why).advise(format!(
                    "a mount would only hide what is in it: copy what is newer there to {stored}, empty {live}, and \
                     check again"
                ))
            }
            _ => {
                let why = format!("is not {stored}: nothing is mounted there, and what is written is lost at reboot");
                CheckRow::fail(ID, live, why).mend(bind)
            }
        };
    }
    let mount = context.tree.mount_id(live).ok().and_then(|id| context.mount(id));
    let what = mount.map_or_else(
        || "another mount".to_string(),
        |mount| format!("{} of {} ({})", mount.root.display(), mount.source.display(), mount.kind),
    );
    let row = CheckRow::fail(ID, live, format!("is not {stored}: {what} is mounted there"));
    if context.tree.is_roots(&live.parent().unwrap_or_default()) {
        return row.mend(Remedy::Run(format!("umount {}", context.tree.word(live))).then(bind));
    }
    // umount(8) goes by the path, in which somebody else can put a symlink.
    row.advise("unmount what is mounted there, and check again")
}

fn bind(context: &CheckContext, live: &RelPath, stored: &RelPath) -> Remedy {
    context.tree.command_for_two((stored, live), |from, to| {
        format!("mount {}--bind {} {}", from.mount_option(), from.word(), to.word())
    })
}

fn absent(context: &CheckContext, entry: &Entry) -> CheckRow {
    let (live, stored) = (&entry.src, &entry.dst);
    if let Some(row) = host_key(context, live, stored) {
        return row;
    }
    let kind = if entry.kind == EntryKind::File { Kind::File } else { Kind::Directory };
    let why = format!("is not there: {stored} is not mounted");
    CheckRow::fail(ID, live, why).mend(context.tree.make(live, kind).then(bind(context, live, stored)))
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
