//! Under which name something new is born: its own, or a temporary one beside
//! what has the name until the new content is durable.

use crate::path::Name;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Kind;

/// The name that stands in for `name` until its content is durable. It follows
/// from the name, so the next attempt finds and removes what a crash left.
pub(crate) fn temporary_name(name: &Name) -> Name {
    let hash = blake3::hash(name.as_bytes()).to_hex();
    // 30 bytes of letters, digits, dots and dashes are always a name.
    Name::new(format!(".persistcp-{}.tmp", &hash[..16]).as_bytes()).unwrap_or_else(|_| name.clone())
}

/// True for a name that [`temporary_name`] may give.
pub(crate) fn is_temporary(name: &Name) -> bool {
    let hash = name.as_bytes().strip_prefix(b".persistcp-").and_then(|rest| rest.strip_suffix(b".tmp"));
    hash.is_some_and(|hash| hash.len() == 16 && hash.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Calls `make` with `name`, or with its temporary name when something has the
/// name already; comes back with that. `fresh` is true for a directory that this
/// run made: nothing can be in it but what came from the same source directory.
///
/// `EISDIR` when a directory with content stands there, which nothing here
/// replaces; `ENOTUNIQ` when another name of the source is the same to the
/// target's file system.
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
            // A directory under this name is nobody's leftover.
            dir.unlink(&temporary).map_err(|e| if e == Errno::ISDIR { Errno::EXIST } else { e })?;
            make(&temporary)
        }
        made => made,
    };
    made.map(|made| (made, Some(temporary)))
}

/// Removes an empty directory, as a first boot without the state leaves them;
/// false when something else has the name.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_is_recognised_and_nothing_else_is() {
        let name = |text: &str| Name::new(text.as_bytes()).expect("valid");
        assert!(is_temporary(&temporary_name(&name("id_ed25519"))));
        assert!(!is_temporary(&name(".persistcp-0123456789abcdeF.tmp")));
        assert!(!is_temporary(&name(".persistcp-0123456789abcdef")));
        assert!(!is_temporary(&name(".persistcp")));
    }
}
