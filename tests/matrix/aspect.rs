//! In which respects an entry can differ, and which problems tell it.

use crate::kit::snapshot::{Node, Snapshot};
use rustix::fs::{FileType, Mode, OFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    Type,
    Content,
    Size,
    Holes,
    Owner,
    Mode_,
    Mtime,
    Atime,
    User,
    Trusted,
    Security,
    Acl,
    Other,
    Links,
    Target,
    Device,
    Flags,
    Project,
}

impl Aspect {
    /// The kinds of problem that name it.
    pub(crate) fn kinds(self) -> &'static [&'static str] {
        match self {
            // Missing altogether: whatever kept it from being made.
            Self::Type => &["unsupported", "io", "type"],
            Self::Content => &["content"],
            Self::Size => &["size"],
            Self::Holes => &["holes"],
            Self::Owner => &["owner", "group"],
            Self::Mode_ => &["mode"],
            Self::Mtime => &["mtime"],
            Self::Atime => &["atime"],
            Self::User | Self::Trusted | Self::Security | Self::Other => &["xattr"],
            Self::Acl => &["acl"],
            Self::Links => &["link"],
            Self::Target => &["target"],
            Self::Device => &["type"],
            Self::Flags => &["flags"],
            Self::Project => &["project"],
        }
    }
}

/// What the snapshot does not have.
#[derive(Clone, Debug)]
pub(crate) struct More {
    atime: (i64, i64),
    flags: u32,
    project: String,
}

pub(crate) type Extra = BTreeMap<Vec<u8>, More>;

/// chattr's flags that somebody asked for; the layout (extents, inline data) is none.
const MEANT: u32 = 0x6093_ccff;

/// Access times, flags and project ids of what lies below `root`.
pub(crate) fn extra(root: &Path, snapshot: &Snapshot) -> Extra {
    use std::os::unix::ffi::OsStrExt;
    let mut extra = Extra::new();
    for (path, node) in snapshot {
        let full = root.join(std::ffi::OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)));
        let stat = rustix::fs::lstat(&full).unwrap();
        let (mut flags, mut project) = (0, "0".to_string());
        if matches!(node.kind, FileType::RegularFile | FileType::Directory) {
            let open = rustix::fs::open(&full, OFlags::RDONLY | OFlags::NOATIME, Mode::empty()).unwrap();
            flags = rustix::fs::ioctl_getflags(&open).map_or(0, |f| f.bits()) & MEANT;
        }
        // A process for each file would take too long; the case's file has this name.
        if path.ends_with(b"/f") {
            let out = Command::new("lsattr").arg("-pd").arg(&full).output().unwrap();
            if out.status.success() {
                project = String::from_utf8_lossy(&out.stdout).split_whitespace().next().unwrap_or("0").to_string();
            }
        }
        extra.insert(path.clone(), More { atime: (stat.st_atime, stat.st_atime_nsec as i64), flags, project });
    }
    extra
}

/// Every respect in which the copy of an entry differs, for each path.
pub(crate) fn differences(
    (source, more): (&Snapshot, &Extra),
    (target, than): (&Snapshot, &Extra),
) -> BTreeMap<Vec<u8>, BTreeSet<Aspect>> {
    let mut all = BTreeMap::new();
    for (path, want) in source {
        let mut found = BTreeSet::new();
        match target.get(path).filter(|have| have.kind == want.kind) {
            None => {
                found.insert(Aspect::Type);
            }
            Some(have) => {
                compare(want, have, &mut found);
                let (a, b) = (&more[path], &than[path]);
                let mut differs = |aspect, is: bool| if is { found.insert(aspect) } else { false };
                // Verification reads a symlink, and Linux has no way to do that without moving its time.
                differs(Aspect::Atime, want.kind != FileType::Symlink && a.atime != b.atime);
                // Flags that the target's own directories hand down are its admin's.
                differs(Aspect::Flags, a.flags & !b.flags != 0);
                differs(Aspect::Project, a.project != "0" && a.project != b.project);
            }
        }
        if !found.is_empty() {
            all.insert(path.clone(), found);
        }
    }
    all
}

fn compare(want: &Node, have: &Node, found: &mut BTreeSet<Aspect>) {
    let mut differs = |aspect, is: bool| if is { found.insert(aspect) } else { false };
    differs(Aspect::Content, want.content != have.content);
    differs(Aspect::Size, want.size != have.size);
    differs(Aspect::Holes, have.allocated > want.allocated + (1 << 20));
    differs(Aspect::Owner, want.owner != have.owner);
    differs(Aspect::Mode_, want.mode != have.mode);
    differs(Aspect::Mtime, want.mtime != have.mtime);
    differs(Aspect::Links, want.group != have.group);
    differs(Aspect::Target, want.link != have.link);
    differs(Aspect::Device, want.rdev != have.rdev);
    for name in want.xattrs.keys().chain(have.xattrs.keys()) {
        if want.xattrs.get(name) != have.xattrs.get(name) {
            let aspect = match name {
                _ if name.starts_with(b"user.") => Aspect::User,
                _ if name.starts_with(b"trusted.") => Aspect::Trusted,
                _ if name.starts_with(b"security.") => Aspect::Security,
                _ if name.starts_with(b"system.posix_acl_") => Aspect::Acl,
                // btrfs shows its compression flags a second time; a directory of the target hands them down.
                _ if !want.xattrs.contains_key(name) => continue,
                _ => Aspect::Other,
            };
            differs(aspect, true);
        }
    }
}
