//! Puts metadata on what was just written.
//!
//! The order matters: chown(2) clears set-user-ID bits and file capabilities, so
//! the owner comes first; setting attributes moves no times; an access ACL and
//! the mode widen, so they come last, the mode at the very end.

use super::xattrs::{ACL_ACCESS, ACL_DEFAULT};
use super::{Wanted, Xattrs};
use crate::path::{Name, RelPath};
use crate::problem::{Problem, ProblemKind};
use crate::sys::dir::TargetDir;
use crate::sys::xattr::{self, Holder};
use crate::sys::{Errno, file};
use rustix::fd::AsFd;

/// Failures of one inode, each an attribute that could not be kept.
type Failures = Vec<Problem>;

/// Dresses an open regular file.
pub fn apply_to_file(fd: impl AsFd, wanted: &Wanted, path: impl Fn() -> RelPath) -> Failures {
    apply_to_fd(fd, wanted, &path)
}

/// Dresses an open directory. Its children must be complete: they would move its times.
pub fn apply_to_directory(fd: impl AsFd, wanted: &Wanted, path: impl Fn() -> RelPath) -> Failures {
    apply_to_fd(fd, wanted, &path)
}

fn apply_to_fd(fd: impl AsFd, wanted: &Wanted, path: &dyn Fn() -> RelPath) -> Failures {
    let fd = fd.as_fd();
    let mut failures = Vec::new();
    let mut check = |result: Result<(), Errno>, kind, operation: String| {
        if let Err(errno) = result {
            failures.push(Problem::failed(path(), kind, &operation, errno));
        }
    };
    if let Some((uid, gid)) = wanted.owner {
        check(file::chown(fd, uid, gid), ProblemKind::Owner, format!("set owner {uid}:{gid}"));
    }
    let mut acl = Vec::new();
    if let Some(xattrs) = &wanted.xattrs {
        acl = apply_xattrs(Holder::File(fd), xattrs, path);
    }
    if let Some(mtime) = wanted.mtime {
        check(file::set_times(fd, wanted.atime, mtime), ProblemKind::Mtime, "set times".to_string());
    }
    if let Some(value) = wanted.xattrs.as_ref().and_then(|x| x.get(ACL_ACCESS))
        && let Err(errno) = xattr::set(Holder::File(fd), c"system.posix_acl_access", value)
    {
        acl.push(xattr_failure(path(), ACL_ACCESS, "set", errno));
    }
    check(file::chmod(fd, wanted.mode), ProblemKind::Mode, format!("set mode {:04o}", wanted.mode));
    failures.append(&mut acl);
    failures
}

/// Dresses a symlink by its name: a symlink has no mode, and no descriptor to write through.
pub fn apply_to_link(dir: &TargetDir, name: &Name, wanted: &Wanted, path: impl Fn() -> RelPath) -> Failures {
    let mut failures = Vec::new();
    apply_by_name(dir, name, wanted, &path, &mut failures);
    failures
}

/// Dresses a FIFO or device node without ever opening it.
pub fn apply_to_node(dir: &TargetDir, name: &Name, wanted: &Wanted, path: impl Fn() -> RelPath) -> Failures {
    let mut failures = Vec::new();
    let Some(handle) = apply_by_name(dir, name, wanted, &path, &mut failures) else { return failures };
    if let Some(value) = wanted.xattrs.as_ref().and_then(|x| x.get(ACL_ACCESS))
        && let Err(errno) = xattr::set(Holder::handle(&handle), c"system.posix_acl_access", value)
    {
        failures.push(xattr_failure(path(), ACL_ACCESS, "set", errno));
    }
    if let Err(errno) = file::chmod_handle(&handle, wanted.mode) {
        failures.push(Problem::failed(path(), ProblemKind::Mode, &format!("set mode {:04o}", wanted.mode), errno));
    }
    failures
}

/// Owner, attributes and times of what must not be opened.
fn apply_by_name(
    dir: &TargetDir,
    name: &Name,
    wanted: &Wanted,
    path: &dyn Fn() -> RelPath,
    failures: &mut Failures,
) -> Option<rustix::fd::OwnedFd> {
    if let Some((uid, gid)) = wanted.owner
        && let Err(errno) = dir.chown_at(name, uid, gid)
    {
        failures.push(Problem::failed(path(), ProblemKind::Owner, &format!("set owner {uid}:{gid}"), errno));
    }
    let handle = match dir.open_handle(name) {
        Ok(handle) => Some(handle),
        Err(errno) => {
            failures.push(Problem::failed(path(), ProblemKind::Io, "open the new entry", errno));
            None
        }
    };
    if let (Some(handle), Some(xattrs)) = (&handle, &wanted.xattrs) {
        failures.append(&mut apply_xattrs(Holder::handle(handle), xattrs, path));
    }
    if let Some(mtime) = wanted.mtime
        && let Err(errno) = dir.set_times_at(name, wanted.atime, mtime)
    {
        failures.push(Problem::failed(path(), ProblemKind::Mtime, "set times", errno));
    }
    handle
}

/// Sets every attribute but the access ACL, and removes what the inode has
/// beyond them: an ACL inherited from a default ACL, a label.
fn apply_xattrs(holder: Holder<'_>, wanted: &Xattrs, path: &dyn Fn() -> RelPath) -> Failures {
    let mut failures = Vec::new();
    match xattr::list(holder) {
        Ok(present) => {
            for name in present.iter().filter(|n| wanted.get(n.as_bytes()).is_none()) {
                match xattr::remove(holder, name) {
                    Ok(()) | Err(Errno::NODATA) => {}
                    // The kernel or its security module owns the label; the source has none to restore.
                    Err(_) if name.as_bytes().starts_with(b"security.") => {}
                    Err(errno) => failures.push(xattr_failure(path(), name.as_bytes(), "remove the inherited", errno)),
                }
            }
        }
        Err(errno) => failures.push(Problem::failed(path(), ProblemKind::Xattr, "list attributes", errno)),
    }
    for (name, value) in wanted.iter().filter(|(n, _)| n.as_bytes() != ACL_ACCESS) {
        if let Err(errno) = xattr::set(holder, name, value) {
            failures.push(xattr_failure(path(), name.as_bytes(), "set", errno));
        }
    }
    failures
}

fn xattr_failure(path: RelPath, name: &[u8], operation: &str, errno: Errno) -> Problem {
    let kind = if name == ACL_ACCESS || name == ACL_DEFAULT { ProblemKind::Acl } else { ProblemKind::Xattr };
    Problem::failed(path, kind, &format!("{operation} {}", crate::path::escape(name)), errno).about(name)
}
