//! A tree of things that must stay closed, and a run that no umask helps.

use super::disk::World;
use super::sh;
use rustix::fs::{CWD, FileType, Mode};
use std::os::unix::fs::{PermissionsExt, chown};

/// Path below the target, owner, group, mode, and what setfacl adds.
pub(crate) type Secret = (&'static str, u32, u32, u32, &'static str);

pub(crate) const FILES: &[Secret] = &[
    ("etc/ssh/ssh_host_ed25519_key", 0, 0, 0o600, ""),
    ("etc/ssh/ssh_host_ed25519_key.pub", 0, 0, 0o644, ""),
    ("etc/NetworkManager/system-connections/home.nmconnection", 0, 0, 0o600, ""),
    ("etc/shadow", 0, 42, 0o640, ""),
    ("etc/none", 0, 0, 0o000, ""),
    ("bin/su", 0, 0, 0o4755, ""),
    ("bin/as-another", 1000, 100, 0o6755, ""),
    ("bin/wall", 0, 5, 0o2755, ""),
    ("acl/restricted", 0, 0, 0o600, "u:1234:r,g::-,m::r"),
    ("acl/masked", 1000, 100, 0o664, "u:1234:rw,g:5:rw,g::-"),
    ("home/u/.ssh/id_ed25519", 1000, 100, 0o600, ""),
    ("home/u/notes", 1000, 100, 0o644, ""),
    ("fixed/token", 0, 0, 0o644, ""),
    ("fixed/tree/inside", 0, 0, 0o666, "u:1234:rw"),
];

const DIRECTORIES: &[Secret] = &[
    ("etc/NetworkManager/system-connections", 0, 0, 0o700, ""),
    ("home/u/.ssh", 1000, 100, 0o700, ""),
    ("home/u", 1000, 100, 0o700, ""),
    ("fixed/tree", 0, 0, 0o777, ""),
    ("spool", 0, 0, 0o1777, "u:1234:rwx"),
    ("shared", 0, 100, 0o2770, ""),
];

/// `copies` trees with every kind of secret, so that the run lasts.
pub(crate) fn plant(world: &World, copies: usize) {
    for copy in 0..copies {
        let dir = world.data().join(copy.to_string());
        for name in ["spool", "shared"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        for (path, ..) in FILES {
            world.file(&format!("data/{copy}/{path}"), path.repeat(20));
        }
        for (name, kind) in [("fifo", FileType::Fifo), ("disk", FileType::BlockDevice)] {
            let device = rustix::fs::makedev(7, 99);
            rustix::fs::mknodat(CWD, dir.join(name), kind, Mode::empty(), device).unwrap();
        }
        let nodes = [("fifo", 1000, 5, 0o620, ""), ("disk", 0, 6, 0o660, "")];
        for (path, uid, gid, mode, acl) in FILES.iter().chain(&nodes).chain(DIRECTORIES) {
            let path = dir.join(path);
            chown(&path, Some(*uid), Some(*gid)).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(*mode)).unwrap();
            if !acl.is_empty() {
                sh!("setfacl", "-m", acl, path);
            }
        }
    }
}

/// Fixups that narrow, in the first tree.
pub(crate) const FIXUPS: &str = r#"
[[fixup]]
path = "/persist/data/0/fixed/token"
mode = "0600"
[[fixup]]
path = "/persist/data/0/fixed/tree"
owner = 1000
group = 100
mode = "0700"
recursive = true
dir-mode = "0700"
file-mode = "0600"
"#;

/// Starts the binary without the help of a umask.
pub(crate) fn bare() -> Vec<String> {
    ["sh", "-c", "umask 0; exec \"$@\"", "sh"].map(str::to_string).to_vec()
}
