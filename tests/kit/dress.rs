//! What a test puts on an inode: raw ACLs, capabilities, flags.

use rustix::fs::{CWD, FileType, IFlags, Mode, OFlags};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub(crate) const ACCESS: &str = "system.posix_acl_access";
pub(crate) const DEFAULT: &str = "system.posix_acl_default";

/// `posix_acl_xattr.h`: user and group entries by id, between the owner's and the others'.
pub(crate) fn acl(owner: u16, users: &[(u32, u16)], group: u16, groups: &[(u32, u16)], other: u16) -> Vec<u8> {
    let mut entries = vec![(1, owner, u32::MAX)];
    entries.extend(users.iter().map(|(id, perm)| (2, *perm, *id)));
    entries.push((4, group, u32::MAX));
    entries.extend(groups.iter().map(|(id, perm)| (8, *perm, *id)));
    if !users.is_empty() || !groups.is_empty() {
        let mask = users.iter().chain(groups).fold(group, |mask, (_, perm)| mask | perm);
        entries.push((16, mask, u32::MAX));
    }
    entries.push((32, other, u32::MAX));
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        let tag: u16 = tag;
        out.extend(tag.to_le_bytes());
        out.extend(perm.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    out
}

/// `security.capability`, revision 2: permitted capabilities, effective or not.
pub(crate) fn capability(permitted: u32, effective: bool) -> Vec<u8> {
    let words = [0x0200_0000 | u32::from(effective), permitted, 0, 0, 0];
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

pub(crate) fn node(path: &Path, kind: FileType, rdev: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), rdev)
        .unwrap_or_else(|e| panic!("{kind:?} {}: {e}", path.display()));
}

pub(crate) fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Adds flags, as chattr(1) does.
pub(crate) fn add_flags(path: &Path, flags: IFlags) {
    let file = open(path);
    let now = rustix::fs::ioctl_getflags(&file).unwrap();
    rustix::fs::ioctl_setflags(&file, now | flags)
        .unwrap_or_else(|e| panic!("flags {flags:?} on {}: {e}", path.display()));
}

/// Removes flags; nothing else can be changed while the immutable one is there.
pub(crate) fn drop_flags(path: &Path, flags: IFlags) {
    let file = open(path);
    let now = rustix::fs::ioctl_getflags(&file).unwrap();
    rustix::fs::ioctl_setflags(&file, now - flags).unwrap();
}

fn open(path: &Path) -> rustix::fd::OwnedFd {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
