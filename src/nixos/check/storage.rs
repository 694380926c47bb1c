//! The file systems that must outlive a reboot: mounted, early, writable, with free space.

use super::context::CheckContext;
use super::row::CheckRow;
use super::system::Booted;
use super::system::Fstab;
use super::tree::rel;
use crate::base::path::RelPath;
use crate::sys::filesystem::{Space, space};
use crate::sys::mounts::Mount;
use crate::sys::{Errno, errno_words};
use rustix::fs::OFlags;

/// Where a storage of the plan is.
enum StorageLocation {
    /// On a mount of its own, at this point.
    Own {
        point: RelPath,
        id: u64,
        space: Space,
    },
    /// On the root's own file system.
    Root(RelPath),
    /// On one that loses everything at reboot.
    Volatile(RelPath, Option<String>),
    Absent(RelPath),
    Unknown(RelPath, Errno),
}

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let mut rows = Vec::new();
    if let Err(errno) = &context.mounts {
        let why = format!("unknown: the table of mounts cannot be read: {}", errno_words(*errno));
        let mend = format!("mount -t proc proc {}", context.tree.word(&rel("proc")));
        rows.push(CheckRow::warn("mount-table", &rel("proc"), why).run(mend));
    }
    if context.booted == Booted::Yes {
        rows.push(root(context));
    }
    rows.extend(root_mode(context));
    rows.extend(super::builds::check(context));
    let mut seen = Vec::new();
    let mut wanted: Vec<RelPath> = context.tree.plan.targets.iter().map(|t| t.to.clone()).collect();
    wanted.push(rel("nix"));
    for to in wanted {
        let place = place(context, &to);
        let point = match &place {
            StorageLocation::Own { point, .. } => point,
            StorageLocation::Root(path)
            | StorageLocation::Volatile(path, _)
            | StorageLocation::Absent(path)
            | StorageLocation::Unknown(path, _) => path,
        };
        if !seen.contains(point) {
            seen.push(point.clone());
            rows.extend(storage(context, &place));
        }
    }
    rows
}

/// `df -T /` shows tmpfs.
fn root(context: &CheckContext) -> CheckRow {
    let (id, path) = ("root-volatile", RelPath::root());
    let space = match space(&context.tree.root) {
        Ok(space) => space,
        Err(errno) => return CheckRow::unreadable(id, &path, errno),
    };
    let kind = context.tree.mount_id(&path).ok().and_then(|mount| context.mount(mount)).map(|m| m.kind.clone());
    match kind {
        _ if space.is_memory() => CheckRow::pass(id, &path, "is a tmpfs: what is not declared is forgotten"),
        None => CheckRow::warn(id, &path, "unknown: without /proc it is not known what is mounted here"),
        // These can be rolled back at boot instead.
        Some(kind) if ["btrfs", "zfs", "bcachefs", "overlay"].contains(&&kind[..]) => {
            CheckRow::warn(id, &path, format!("is {kind}: it forgets only what the initrd rolls back"))
                .advise("see that the initrd rolls the root back")
        }
        Some(kind) => CheckRow::fail(id, &path, format!("is {kind}, not tmpfs: nothing is forgotten"))
            .advise("set fileSystems.\"/\" to a tmpfs with mode=755"),
    }
}

/// A tmpfs is 1777 unless its options say otherwise: then anybody may rename what is in the root.
fn root_mode(context: &CheckContext) -> Option<CheckRow> {
    const ID: &str = "root-mode";
    let (file, lines) = context.fstab.as_ref().ok()?;
    let line = lines.iter().find(|line| line.point.is_root() && ["tmpfs", "ramfs"].contains(&line.kind.as_str()))?;
    let modes: Vec<&str> = line.options.iter().filter_map(|option| option.strip_prefix("mode=")).collect();
    let root = RelPath::root();
    Some(match modes.last().map(|mode| mode.trim_start_matches('0')) {
        Some("755") => CheckRow::pass(ID, &root, "0755"),
        said => {
            let why = match said {
                Some(mode) => format!("{file} gives it mode={mode}, not 755"),
                None => format!("{file} gives it no mode: a tmpfs is 1777, so that everybody can write in /"),
            };
            CheckRow::fail(ID, &root, why).advise("add \"mode=755\" to fileSystems.\"/\".options and rebuild")
        }
    })
}

fn place(context: &CheckContext, to: &RelPath) -> StorageLocation {
    // The topmost name represents what is not mounted.
    let top = to.names().next().map(|name| RelPath::root().join(&name)).unwrap_or_default();
    let opened = context.tree.root.open_in(to, OFlags::PATH).or_else(|_| context.tree.root.open_in(&top, OFlags::PATH));
    let fd = match opened {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return StorageLocation::Absent(top),
        Err(errno) => return StorageLocation::Unknown(top, errno),
    };
    let answers = crate::sys::filesystem::mount_id(&fd)
        .and_then(|id| context.tree.mount_id(&RelPath::root()).map(|root| (id, root)))
        .and_then(|(id, root)| space(&fd).map(|space| (id, root, space)));
    match answers {
        Err(errno) => StorageLocation::Unknown(top, errno),
        Ok((id, root, _)) if id == root => StorageLocation::Root(top),
        Ok((id, _, space)) => {
            let mount = context.mount(id);
            let point = mount.and_then(|m| context.tree.below_root(m)).unwrap_or(top);
            if space.is_volatile() {
                return StorageLocation::Volatile(point, mount.map(|m| m.kind.clone()));
            }
            StorageLocation::Own { point, id, space }
        }
    }
}

fn storage(context: &CheckContext, place: &StorageLocation) -> Vec<CheckRow> {
    const ID: &str = "storage-mounted";
    let (point, mount_id, space) = match place {
        StorageLocation::Own { point, id, space } => (point, *id, space),
        StorageLocation::Root(path) => {
            let why = "is not a mount of its own: it is on the root, and is lost or hidden at the next boot";
            return vec![mount_it(context, path, CheckRow::fail(ID, path, why))];
        }
        StorageLocation::Volatile(path, kind) => {
            let kind = kind.as_deref().unwrap_or("a file system in memory");
            let why = format!("is mounted from {kind}: all of it is lost at the next boot");
            return vec![mount_it(context, path, CheckRow::fail(ID, path, why))];
        }
        StorageLocation::Absent(path) => {
            return vec![mount_it(context, path, CheckRow::fail(ID, path, "is not there"))];
        }
        StorageLocation::Unknown(path, errno) => return vec![CheckRow::unreadable(ID, path, *errno)],
    };
    let mount = context.mount(mount_id);
    let mut rows = vec![match mount {
        Some(mount) => CheckRow::pass(ID, point, format!("{} on {}", mount.kind, mount.source.display())),
        None => CheckRow::warn(ID, point, "unknown: without /proc it is not known what is mounted here"),
    }];
    rows.push(early(point, &context.fstab));
    rows.extend(mount.map(|mount| options(context, point, mount)));
    rows.push(room(point, space));
    rows
}

/// How to mount what is missing: by a command where fstab names the device.
fn mount_it(context: &CheckContext, path: &RelPath, row: CheckRow) -> CheckRow {
    let then = context.run_plan("");
    match mount_command(context, path) {
        Some(mount) => row.run(format!("{mount} && {then}")),
        None => {
            let point = context.tree.word(path);
            row.advise(format!("mount its file system at {point} (lsblk -f shows them), then: {then}"))
        }
    }
}

/// The command that mounts what fstab names for `path`, with its subvolume and other options.
pub(super) fn mount_command(context: &CheckContext, path: &RelPath) -> Option<String> {
    let (_, lines) = context.fstab.as_ref().ok()?;
    let line = lines.iter().find(|line| line.point == *path)?;
    // A bind mount's device is a path of the new root, and what is in memory brings nothing back.
    if line.options.iter().any(|option| ["bind", "rbind"].contains(&option.as_str())) || line.kind == "tmpfs" {
        return None;
    }
    let for_systemd = ["defaults", "auto", "noauto", "nofail", "_netdev"];
    let options: Vec<&str> = line.options.iter().map(String::as_str).collect();
    let options: Vec<&str> =
        options.into_iter().filter(|option| !option.starts_with("x-") && !for_systemd.contains(option)).collect();
    let word = |text: &str| crate::base::shell::word(text.as_bytes());
    let with = if options.is_empty() { String::new() } else { format!(" -o {}", word(&options.join(","))) };
    let (kind, device) = (word(&line.kind), word(&line.device));
    Some(format!("mount --mkdir -t {kind}{with} {device} {}", context.tree.word(path)))
}

/// What the initrd mounts before it switches to the new root.
fn early(point: &RelPath, fstab: &Fstab) -> CheckRow {
    const ID: &str = "storage-early";
    let advice = format!("set fileSystems.\"{point}\".neededForBoot = true and rebuild");
    let (file, lines) = match fstab {
        Ok(fstab) => fstab,
        Err(why) => return CheckRow::warn(ID, point, format!("unknown: {why}")).advise(advice),
    };
    let Some(line) = lines.iter().find(|line| line.point == *point) else {
        let why = format!("{file} does not mention it: after a reboot it is not mounted at all");
        return CheckRow::fail(ID, point, why)
            .advise(format!("declare fileSystems.\"{point}\" with neededForBoot = true and rebuild"));
    };
    if line.options.iter().any(|o| o == "x-initrd.mount") {
        return CheckRow::pass(ID, point, "the initrd mounts it (x-initrd.mount)");
    }
    let why = format!("{file} has no x-initrd.mount for it: it comes too late for activation, which finds it empty");
    CheckRow::fail(ID, point, why).advise(advice)
}

fn options(context: &CheckContext, point: &RelPath, mount: &Mount) -> CheckRow {
    const ID: &str = "storage-options";
    let remount = |option| format!("mount -o remount,bind,{option} {}", context.tree.word(point));
    // Only the store mounted over it is read-only; the disk below is not.
    if mount.has("ro") {
        return CheckRow::fail(ID, point, "is mounted read-only")
            .run(format!("mount -o remount,rw {}", context.tree.word(point)));
    }
    if mount.has("noexec") {
        let row = if *point == rel("nix") { CheckRow::fail } else { CheckRow::warn };
        return row(ID, point, "is mounted noexec: no program on it starts").run(remount("exec"));
    }
    CheckRow::pass(ID, point, "read-write, programs may run")
}

fn room(point: &RelPath, space: &Space) -> CheckRow {
    const ID: &str = "storage-space";
    let percent = |free: u64, all: u64| if all == 0 { 100.0 } else { free as f64 * 100.0 / all as f64 };
    let (bytes, inodes) = (percent(space.available, space.size), percent(space.inodes_free, space.inodes));
    let why = format!("{bytes:.1} % of the bytes and {inodes:.1} % of the inodes are free");
    let row = match bytes.min(inodes) {
        least if least < 1.0 => CheckRow::fail(ID, point, why),
        least if least < 10.0 => CheckRow::warn(ID, point, why),
        _ => return CheckRow::pass(ID, point, why),
    };
    row.advise("free space, or use a larger disk")
}
