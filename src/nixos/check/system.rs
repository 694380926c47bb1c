//! The installed NixOS system: whether it is running, its profile and its fstab.

use super::tree::{Read, SystemTree, rel};
use crate::base::path::RelPath;
use crate::sys::errno_words;
use crate::sys::mounts::unescape;

/// Whether the system below the root is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booted {
    /// Live paths must lead to the storage.
    Yes,
    /// Only the storage exists.
    No,
}

/// The profile that the boot loader's default entry was made from.
pub(super) fn profile() -> RelPath {
    rel("nix/var/nix/profiles/system")
}

/// The lines of the system's fstab with its path, or why there is none.
pub(super) type Fstab = Result<(RelPath, Vec<FstabLine>), String>;

/// A line of fstab(5).
pub(super) struct FstabLine {
    pub(super) device: String,
    pub(super) point: RelPath,
    pub(super) kind: String,
    pub(super) options: Vec<String>,
}

/// Reads it.
pub(super) fn fstab(tree: &SystemTree, booted: Booted) -> Fstab {
    let built = profile().join_path(&rel("etc/fstab"));
    let places = match booted {
        Booted::Yes => vec![rel("etc/fstab"), built],
        Booted::No => vec![built],
    };
    for path in &places {
        match tree.read(path) {
            Read::Bytes(bytes) => return Ok((path.clone(), parse(&bytes))),
            Read::Absent => {}
            Read::Failed(errno) => return Err(format!("{path} cannot be read: {}", errno_words(errno))),
        }
    }
    Err(format!("there is no {}", places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and no ")))
}

fn parse(bytes: &[u8]) -> Vec<FstabLine> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(line).collect()
}

fn line(text: &str) -> Option<FstabLine> {
    let mut fields = text.split_whitespace();
    let device = String::from_utf8_lossy(&unescape(fields.next()?.as_bytes())).into_owned();
    let point = RelPath::new(&unescape(fields.next()?.as_bytes())).ok()?;
    let kind = fields.next()?.to_string();
    let options = fields.next().unwrap_or("defaults").split(',').map(str::to_string).collect();
    Some(FstabLine { device, point, kind, options })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_fstab() {
        let lines = parse(b"# c\n\n/dev/disk/by-uuid/1 /per\\040sist ext4 noatime,x-initrd.mount 0 2\ntmpfs / tmpfs\n");
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0].device[..], &lines[0].point), ("/dev/disk/by-uuid/1", &rel("per sist")));
        assert_eq!(lines[0].options, ["noatime", "x-initrd.mount"]);
        assert!(lines[1].point.is_root());
    }
}
