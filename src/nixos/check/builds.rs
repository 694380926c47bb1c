//! Where Nix builds: in /tmp, unless it is 2.30 or newer or told otherwise; and /tmp may be in memory.

use super::context::CheckContext;
use super::row::CheckRow;
use super::system::{FstabLine, profile};
use super::tree::{Read, rel};
use crate::base::path::RelPath;
use rustix::fs::OFlags;

/// `None` if the system is not known, or /tmp is on a disk.
pub(super) fn check(context: &CheckContext) -> Option<CheckRow> {
    const ID: &str = "build-memory";
    let (_, lines) = context.fstab.as_ref().ok()?;
    let tmp = rel("tmp");
    in_memory(lines, &tmp)?;
    if let Some(dir) = build_dir(context) {
        let path = RelPath::new(dir.as_bytes()).ok()?;
        return Some(match in_memory(lines, &path) {
            None => CheckRow::pass(ID, &tmp, format!("is in memory, and Nix builds in {path}")),
            Some(size) => note(ID, &path, &size),
        });
    }
    let version = version(context);
    Some(match version {
        Some(version) if version >= (2, 30) => {
            CheckRow::pass(ID, &tmp, "is in memory, and this Nix builds in /nix/var/nix/builds")
        }
        _ => note(ID, &tmp, &in_memory(lines, &tmp)?),
    })
}

fn note(id: &'static str, path: &RelPath, size: &str) -> CheckRow {
    let why = format!(
        "note: is in memory ({size}), and Nix before 2.30 builds there: a large build ends with \"No space left on \
         device\"; nix.settings.build-dir = \"/nix/var/nix/builds\" moves it to the disk"
    );
    CheckRow::skip(id, path, why)
}

/// The size of the tmpfs that `path` is on, by fstab.
fn in_memory(lines: &[FstabLine], path: &RelPath) -> Option<String> {
    let line = lines.iter().filter(|line| path.strip_prefix(&line.point).is_some()).max_by_key(|l| l.point.depth())?;
    let size = line.options.iter().find(|option| option.starts_with("size="));
    ["tmpfs", "ramfs"]
        .contains(&line.kind.as_str())
        .then(|| size.cloned().unwrap_or_else(|| "half of the memory".into()))
}

/// `build-dir` of the installed system's nix.conf.
fn build_dir(context: &CheckContext) -> Option<String> {
    let Read::Bytes(bytes) = context.tree.read(&profile().join_path(&rel("etc/nix/nix.conf"))) else { return None };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut values = text.lines().filter_map(|line| line.split_once('=')).filter(|(key, _)| key.trim() == "build-dir");
    values.next_back().map(|(_, value)| value.trim().to_string())
}

/// The installed Nix's version, by the name of its store path.
fn version(context: &CheckContext) -> Option<(u32, u32)> {
    let nix = profile().join_path(&rel("sw/bin/nix"));
    let held = context.tree.root.open_in(&nix, OFlags::PATH).ok()?;
    let path = crate::sys::root::real_path(&held).ok()?;
    let name =
        path.components().filter_map(|part| part.as_os_str().to_str()).find_map(|name| name.split_once("-nix-"))?;
    let mut numbers = name.1.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
