//! The names in one directory of the backup, by jwalk: the only file that uses it.

use crate::base::path::Name;
use crate::sys::Errno;
use jwalk::{Parallelism, WalkDir};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

/// The names that `wanted` keeps, sorted. A name that is not UTF-8 is never asked about.
pub(super) fn names(dir: impl AsFd, wanted: fn(&str) -> bool) -> Result<Vec<Name>, Errno> {
    // The handle was opened below the backup's root, and this path leads nowhere else.
    let path = format!("/proc/self/fd/{}/.", dir.as_fd().as_raw_fd());
    let walk = WalkDir::new(path).max_depth(1).skip_hidden(false).parallelism(Parallelism::Serial).process_read_dir(
        move |depth, _, (), children| {
            let keeps = |name: &OsStr| name.to_str().is_some_and(wanted);
            // The directory itself comes first, without a depth. Errors are kept.
            children.retain(|child| depth.is_none() || child.as_ref().map_or(true, |child| keeps(&child.file_name)));
        },
    );
    let mut found = Vec::new();
    for entry in walk {
        let entry = entry.map_err(|error| errno(&error))?;
        match entry.read_children_error {
            Some(error) => return Err(errno(&error)),
            None if entry.depth == 0 => {}
            None => found.extend(Name::new(entry.file_name.as_bytes())),
        }
    }
    found.sort();
    Ok(found)
}

fn errno(error: &jwalk::Error) -> Errno {
    error.io_error().and_then(|error| error.raw_os_error()).map_or(Errno::IO, Errno::from_raw_os_error)
}
