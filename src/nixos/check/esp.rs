//! The EFI system partition: a boot loader, and entries whose files are there.

use super::context::CheckContext;
use super::row::CheckRow;
use super::storage::mount_command;
use super::tree::{Read, rel};
use crate::base::path::RelPath;
use crate::sys::leads_nowhere;

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    const ID: &str = "boot-loader";
    let places = [rel("boot/efi"), rel("boot"), rel("efi")];
    let Some(esp) = places.iter().find(|path| find(context, path, "EFI").is_some()) else {
        let grub = rel("boot/grub/grub.cfg");
        if context.tree.stat(&grub).is_ok() {
            return vec![CheckRow::pass(ID, &grub, "GRUB, without EFI")];
        }
        let why = "neither /boot nor /boot/efi holds EFI programs: not mounted, or nothing is installed";
        let said = places.iter().find(|path| mount_command(context, path).is_some());
        return vec![mount_it(context, said.unwrap_or(&rel("boot")), CheckRow::warn(ID, &rel("boot"), why))];
    };
    let loader = loaders(context, esp);
    let Some(loader) = loader.first() else {
        let why = "holds neither systemd-boot nor GRUB nor a fallback loader: the firmware finds nothing";
        return vec![
            CheckRow::fail(ID, esp, why)
                .advise("install the boot loader: nixos-install, or nixos-rebuild boot in the system"),
        ];
    };
    let mut rows = vec![mounted(context, esp), CheckRow::pass(ID, loader, "there")];
    rows.extend(entries(context, esp));
    rows
}

/// The firmware does not see a boot loader on the root itself.
fn mounted(context: &CheckContext, esp: &RelPath) -> CheckRow {
    const ID: &str = "boot-mounted";
    match (context.tree.mount_id(esp), context.tree.mount_id(&RelPath::root())) {
        (Ok(here), Ok(root)) if here == root => {
            let why = "is not a mount of its own: this boot loader is on the root, where the firmware does not look";
            mount_it(context, esp, CheckRow::warn(ID, esp, why))
        }
        (Ok(_), Ok(_)) => CheckRow::pass(ID, esp, "a mount of its own"),
        (Err(errno), _) | (_, Err(errno)) => CheckRow::unreadable(ID, esp, errno),
    }
}

/// How to mount the EFI partition: by a command where fstab names it.
fn mount_it(context: &CheckContext, path: &RelPath, row: CheckRow) -> CheckRow {
    match mount_command(context, path) {
        Some(mount) => row.run(mount),
        None => row.advise(format!("mount the EFI partition at {} (lsblk -f shows it)", context.tree.word(path))),
    }
}

/// Finds a name in a directory of a case-insensitive file system.
fn find(context: &CheckContext, dir: &RelPath, name: &str) -> Option<RelPath> {
    let names = context.tree.list(dir).ok()?;
    names.iter().find(|n| n.as_bytes().eq_ignore_ascii_case(name.as_bytes())).map(|n| dir.join(n))
}

fn loaders(context: &CheckContext, esp: &RelPath) -> Vec<RelPath> {
    let Some(efi) = find(context, esp, "EFI") else { return Vec::new() };
    let mut found = Vec::new();
    for vendor in context.tree.list(&efi).unwrap_or_default() {
        let dir = efi.join(&vendor);
        for name in context.tree.list(&dir).unwrap_or_default() {
            let lower = name.as_bytes().to_ascii_lowercase();
            let starts = [&b"systemd-boot"[..], b"boot", b"grub", b"shim"].iter().any(|start| lower.starts_with(start));
            if starts && lower.ends_with(b".efi") && context.tree.stat(&dir.join(&name)).is_ok_and(|stat| stat.size > 0)
            {
                found.push(dir.join(&name));
            }
        }
    }
    // The installed loader counts before the fallback.
    found.sort_by_key(|path| path.as_bytes().to_ascii_lowercase().windows(4).any(|part| part == b"/boo"));
    found
}

fn entries(context: &CheckContext, esp: &RelPath) -> Vec<CheckRow> {
    const ID: &str = "boot-entry";
    // Kernels may be on a partition of their own, at /boot (XBOOTLDR).
    let below = |base: &RelPath| base.join_path(&rel("loader/entries"));
    let boot = rel("boot");
    let esp = [esp, &boot].into_iter().find(|base| context.tree.stat(&below(base)).is_ok()).unwrap_or(esp);
    let dir = below(esp);
    let names = match context.tree.list(&dir) {
        Ok(names) => names,
        // GRUB has no such entries.
        Err(errno) if leads_nowhere(errno) => return vec![CheckRow::skip(ID, &dir, "there are none")],
        Err(errno) => return vec![CheckRow::unreadable(ID, &dir, errno)],
    };
    let rows: Vec<CheckRow> =
        names.iter().filter(|n| n.as_bytes().ends_with(b".conf")).map(|n| entry(context, esp, &dir.join(n))).collect();
    if rows.is_empty() {
        let why = "systemd-boot is there, but no entry: it has nothing to start";
        return vec![CheckRow::fail(ID, &dir, why).advise("nixos-install, or nixos-rebuild boot in the system")];
    }
    rows
}

/// One boot loader entry: its kernel and initrd are on the partition.
fn entry(context: &CheckContext, esp: &RelPath, path: &RelPath) -> CheckRow {
    const ID: &str = "boot-entry";
    let bytes = match context.tree.read(path) {
        Read::Bytes(bytes) => bytes,
        Read::Absent => return CheckRow::skip(ID, path, "it has vanished meanwhile"),
        Read::Failed(errno) => return CheckRow::unreadable(ID, path, errno),
    };
    let text = String::from_utf8_lossy(&bytes);
    let install = "nixos-install, or nixos-rebuild boot in the system";
    let mut files = 0;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some("linux" | "initrd" | "efi" | "uki"), Some(file)) = (words.next(), words.next()) else { continue };
        let Ok(file) = RelPath::new(file.replace('\\', "/").as_bytes()) else {
            return CheckRow::fail(ID, path, format!("names {file}, which is not a path")).advise(install);
        };
        match context.tree.stat_through(&esp.join_path(&file)) {
            Ok(stat) if stat.size > 0 => files += 1,
            Ok(_) => return CheckRow::fail(ID, path, format!("needs {file}, which is empty")).advise(install),
            Err(_) => return CheckRow::fail(ID, path, format!("needs {file}, which is not there")).advise(install),
        }
    }
    match files {
        0 => CheckRow::fail(ID, path, "names no kernel").advise(install),
        n => CheckRow::pass(ID, path, format!("its {n} files are there")),
    }
}
