//! Where a directory or file is in its file system, by whatever mount it is reached: what tells whether trees lie in
//! one another.

use crate::sys::mounts::Mount;
use crate::sys::root::real_path;
use crate::sys::{Errno, at};
use rustix::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path within a file system, wherever that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FsPath {
    /// `major:minor`.
    pub(super) device: String,
    pub(super) path: PathBuf,
}

impl FsPath {
    /// The rest of this path below `outer`; empty for the same path.
    pub(super) fn below(&self, outer: &Self) -> Option<&Path> {
        // Each entry is compared with each other one, and bytes are faster than components.
        let (inner, above) = (self.path.as_os_str().as_bytes(), outer.path.as_os_str().as_bytes());
        let may = self.device == outer.device && inner.starts_with(above);
        if may { self.path.strip_prefix(&outer.path).ok() } else { None }
    }
}

/// How deep mounts that show other directories may be stacked.
pub(super) const LAYERS: u32 = 8;

/// The mount that `held` is on.
pub(super) fn mount_of<'m>(held: &impl AsFd, table: &'m [Mount]) -> Result<Option<&'m Mount>, Errno> {
    let id = crate::sys::filesystem::mount_id(held)?;
    Ok(table.iter().find(|mount| mount.id == id))
}

/// Where `rest` below the open `held` is: in its own file system, and in those that this one shows.
pub(super) fn places(held: impl AsFd, rest: &Path, table: &[Mount], layers: u32) -> Result<Vec<FsPath>, Errno> {
    let Some(mount) = mount_of(&held, table)? else { return Ok(Vec::new()) };
    let real = real_path(&held)?;
    // A mount hidden by another one has no path here.
    let Ok(below) = real.strip_prefix(&mount.point) else { return Ok(Vec::new()) };
    let below = join(below, rest);
    let mut found = vec![FsPath { device: mount.device.clone(), path: join(&mount.root, &below) }];
    if layers > 0 {
        let below = join(mount.root.strip_prefix("/").unwrap_or(&mount.root), &below);
        for dir in shown_directories(mount) {
            match at::dir_handle(&dir) {
                Ok(layer) => found.extend(places(&layer, &below, table, layers - 1)?),
                Err(errno) if is_no_answer(errno) => return Err(errno),
                // What is no longer reachable by its path cannot be told.
                Err(_) => {}
            }
        }
    }
    Ok(found)
}

/// True for a failure that says nothing of what is there: trees may overlap all the same.
pub(super) fn is_no_answer(errno: Errno) -> bool {
    matches!(errno, Errno::IO | Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

/// As [`Path::join`], but without a slash at the end.
fn join(above: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { above.to_path_buf() } else { above.join(below) }
}

/// The directories that a mount shows under its mount point: the layers of an overlay, and the
/// mount's source if that is a directory, as with bindfs, gocryptfs and ecryptfs.
fn shown_directories(mount: &Mount) -> Vec<PathBuf> {
    if mount.kind == "overlay" {
        return mount.options.iter().flat_map(|option| layer_directories(option)).collect();
    }
    if mount.source.is_absolute() { vec![mount.source.clone()] } else { Vec::new() }
}

/// The directories that an option of an overlay names (Documentation/filesystems/overlayfs.rst).
fn layer_directories(option: &str) -> Vec<PathBuf> {
    let Some((key, value)) = option.split_once('=') else { return Vec::new() };
    if !["lowerdir", "lowerdir+", "datadir+", "upperdir"].contains(&key) {
        return Vec::new();
    }
    value.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::layer_directories;
    use std::path::PathBuf;

    #[test]
    fn an_overlay_names_its_layers() {
        assert_eq!(layer_directories("lowerdir=/a:/b"), [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(layer_directories("upperdir=/u"), [PathBuf::from("/u")]);
        assert!(layer_directories("workdir=/w").is_empty() && layer_directories("rw").is_empty());
    }
}
