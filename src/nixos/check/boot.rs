//! The installed system itself: its profile, its kernel, and the disks that it names.

use super::context::CheckContext;
use super::row::CheckRow;
use super::system::profile;
use super::tree::rel;
use crate::base::path::RelPath;
use crate::sys::root::is_absent;
use crate::sys::stat::Kind;
use std::path::{Path, PathBuf};

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let mut rows = vec![installed(context)];
    rows.extend(devices(context));
    rows
}

fn installed(context: &CheckContext) -> CheckRow {
    const ID: &str = "system-profile";
    let path = profile();
    let install =
        format!("nixos-install --root {} --no-root-passwd --flake FLAKE#HOST", context.tree.word(&RelPath::root()));
    match context.tree.stat_through(&path) {
        Ok(stat) if stat.kind == Kind::Directory => {}
        Ok(_) => return CheckRow::fail(ID, &path, "is not a directory").advise(install),
        Err(_) => {
            let why = match context.tree.stat(&path) {
                Ok(_) => "leads nowhere: the system is not in the store",
                Err(_) => "is not there: no system is installed",
            };
            return CheckRow::fail(ID, &path, why).advise(install);
        }
    }
    let missing: Vec<&str> = ["init", "kernel", "initrd"]
        .into_iter()
        .filter(|name| context.tree.stat_through(&path.join_path(&rel(name))).is_err())
        .collect();
    if missing.is_empty() {
        return CheckRow::pass(ID, &path, "init, kernel and initrd are in the store");
    }
    CheckRow::fail(ID, &path, format!("has no {}: it cannot boot", missing.join(", "))).advise(install)
}

/// The disks of fstab, as this machine's /dev shows them.
fn devices(context: &CheckContext) -> Vec<CheckRow> {
    const ID: &str = "fstab-device";
    let Ok((file, lines)) = &context.fstab else { return Vec::new() };
    if is_absent(Path::new("/dev/null")) {
        return vec![CheckRow::skip(ID, file, "there is no /dev here to look for disks in")];
    }
    let mut rows = Vec::new();
    for line in lines.iter().filter(|line| line.kind != "swap" || line.device.starts_with("/dev/")) {
        let Some(device) = device(&line.device) else { continue };
        if is_absent(&device) {
            let why = format!("names {} for {}, which this machine does not have", line.device, line.point);
            rows.push(CheckRow::warn(ID, file, why).run("lsblk -o NAME,UUID,LABEL,MOUNTPOINTS"));
        }
    }
    if rows.is_empty() {
        rows.push(CheckRow::pass(ID, file, "every disk that it names is there"));
    }
    rows
}

/// The path of a line's device; `None` for anything but a device.
fn device(field: &str) -> Option<PathBuf> {
    for (key, dir) in [("UUID=", "uuid"), ("LABEL=", "label"), ("PARTUUID=", "partuuid"), ("PARTLABEL=", "partlabel")] {
        if let Some(value) = field.strip_prefix(key) {
            return Some(Path::new("/dev/disk").join(format!("by-{dir}")).join(value.trim_matches('"')));
        }
    }
    field.starts_with("/dev/").then(|| PathBuf::from(field))
}

#[cfg(test)]
mod tests {
    use super::device;
    use std::path::PathBuf;

    #[test]
    fn devices_of_fstab() {
        assert_eq!(device("UUID=ab-cd"), Some(PathBuf::from("/dev/disk/by-uuid/ab-cd")));
        assert_eq!(device("/dev/disk/by-label/x"), Some(PathBuf::from("/dev/disk/by-label/x")));
        assert_eq!(device("none"), None);
        assert_eq!(device("tmpfs"), None);
    }
}
