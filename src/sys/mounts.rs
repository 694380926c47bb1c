//! The mount table, and which mount a directory is on.

use super::stat::device_number;
use super::{Errno, filesystem};
use rustix::fd::AsFd;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::OnceLock;

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The id that statx(2) gives as `stx_mnt_id`.
    pub id: u64,
    /// `major:minor` of the file system's device.
    pub device: String,
    /// The directory or file of the file system that is mounted: `/` unless it is a bind mount.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// The options of this mount, then those of its file system.
    pub options: Vec<String>,
    /// The file system's type.
    pub kind: String,
    /// What was mounted: a device, or any word.
    pub source: PathBuf,
}

impl Mount {
    /// True when it was mounted with `option`.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }
}

/// Every mount of this mount namespace. An error if `/proc` is not mounted.
pub fn table() -> Result<Vec<Mount>, Errno> {
    let table = std::fs::read("/proc/self/mountinfo").map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    Ok(parse(&table))
}

/// The mount that `fd` is on; `None` if it is not in this mount namespace.
pub fn of(fd: impl AsFd) -> Result<Option<Mount>, Errno> {
    let id = filesystem::mount_id(fd)?;
    Ok(table()?.into_iter().find(|mount| mount.id == id))
}

/// File systems in which the kernel shows its state (`/proc`, `/sys`, `/dev`): no files to copy.
const KERNEL: [&str; 21] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// True for the device number of a file system that shows the kernel's state, or holds that of the running system
/// in memory (`/run`, `/dev/shm`), as mounted when this is first asked.
#[must_use]
pub fn shows_running_system(dev: u64) -> bool {
    static DEVICES: OnceLock<HashSet<String>> = OnceLock::new();
    let is_one = |mount: &Mount| {
        let in_memory = || mount.kind == "tmpfs" && ["/run", "/dev"].iter().any(|dir| mount.point.starts_with(dir));
        KERNEL.contains(&mount.kind.as_str()) || in_memory()
    };
    // Without /proc nothing is known of any mount, and preflight has refused the run.
    let devices = DEVICES
        .get_or_init(|| table().unwrap_or_default().into_iter().filter(is_one).map(|mount| mount.device).collect());
    devices.contains(&device_number(dev))
}

fn parse(table: &[u8]) -> Vec<Mount> {
    table.split(|b| *b == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mount> {
    use std::os::unix::ffi::OsStringExt;
    let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let id = std::str::from_utf8(fields.first()?).ok()?.parse().ok()?;
    let dash = fields.iter().position(|f| *f == b"-")?;
    let text = |field: &&[u8]| String::from_utf8_lossy(field).into_owned();
    let path = |field: &&[u8]| PathBuf::from(std::ffi::OsString::from_vec(unescape(field)));
    let options = [fields.get(5)?, fields.get(dash + 3)?];
    Some(Mount {
        id,
        device: text(fields.get(2)?),
        root: path(fields.get(3)?),
        point: path(fields.get(4)?),
        options: options.iter().flat_map(|o| text(o).split(',').map(str::to_string).collect::<Vec<_>>()).collect(),
        kind: text(fields.get(dash + 1)?),
        source: path(fields.get(dash + 2)?),
    })
}

/// Spaces, tabs, newlines and backslashes are written as three octal digits, as in fstab(5).
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\');
        match code.and_then(|c| std::str::from_utf8(c).ok()).and_then(|c| u8::from_str_radix(c, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_space() {
        let table = b"36 35 98:0 /mnt1 /mnt\\040x rw,noatime master:1 - ext3 /dev/root rw,errors=continue\nnonsense\n";
        let mounts = parse(table);
        let [mount] = &mounts[..] else { panic!("one mount: {mounts:?}") };
        assert_eq!((mount.id, &mount.device[..], &mount.kind[..]), (36, "98:0", "ext3"));
        assert_eq!((&mount.root, &mount.point), (&PathBuf::from("/mnt1"), &PathBuf::from("/mnt x")));
        assert_eq!(mount.source, PathBuf::from("/dev/root"));
        assert!(mount.has("noatime") && mount.has("errors=continue") && !mount.has("ro"));
    }
}
