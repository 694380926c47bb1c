//! Chooses the name under which something new is created: its own or, if that is taken, a
//! temporary one beside it until the new content is durable.

use crate::base::path::Name;
use crate::engine::tree::temporary::temporary_name;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Kind;

/// Calls `make` with `name`, or with its temporary name if `name` is taken; returns the name
/// used. `fresh` is true for a directory that this run made: it can only contain what came
/// from the same source directory.
///
/// `EISDIR` when a non-empty directory has the name, which nothing here replaces;
/// `ENOTUNIQ` when the target's file system folds another name of the source into this one.
pub(super) fn make_beside<T>(
    dir: &TargetDir,
    name: &Name,
    fresh: bool,
    make: impl Fn(&Name) -> Result<T, Errno>,
) -> Result<(T, Option<Name>), Errno> {
    match make(name) {
        Err(Errno::EXIST) if fresh => return Err(Errno::NOTUNIQ),
        Err(Errno::EXIST) => {}
        made => return made.map(|made| (made, None)),
    }
    if clear_empty_directory(dir, name)? {
        return make(name).map(|made| (made, None));
    }
    let temporary = temporary_name(name);
    let made = match make(&temporary) {
        Err(Errno::EXIST) => {
            // No run leaves a directory under a temporary name.
            dir.unlink(&temporary).map_err(|e| if e == Errno::ISDIR { Errno::EXIST } else { e })?;
            make(&temporary)
        }
        made => made,
    };
    made.map(|made| (made, Some(temporary)))
}

/// Removes an empty directory, as a first boot without the old state leaves behind; false
/// when the name belongs to something else.
fn clear_empty_directory(dir: &TargetDir, name: &Name) -> Result<bool, Errno> {
    match dir.stat_at(name) {
        Ok(stat) if stat.kind == Kind::Directory => {}
        Ok(_) => return Ok(false),
        Err(Errno::NOENT) => return Ok(true),
        Err(errno) => return Err(errno),
    }
    match dir.remove_dir(name) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTDIR) => Ok(false),
        // A mount point is as good as content.
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Err(Errno::ISDIR),
        Err(errno) => Err(errno),
    }
}
