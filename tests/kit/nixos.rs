//! What `check` reads of an installed NixOS, and a key that sops-nix would take.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// The system's closure below the root.
const SYSTEM: &str = "nix/store/aaaa-nixos-system";

// Devices that every kernel has: the row is about whether they are there.
const FSTAB: &str = "tmpfs / tmpfs size=4G,mode=755 0 0\n/dev/zero /nix ext4 noatime,x-initrd.mount 0 2\n\
                     /dev/full /persist ext4 noatime,x-initrd.mount 0 2\n";

/// Puts a system below `root`: its profile, fstab, and `spec`, the users that activation makes.
pub(crate) fn install(root: &Path, spec: &str) {
    let put = |path: &str, content: &str, mode: u32| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    };
    for name in ["init", "kernel", "initrd"] {
        put(&format!("{SYSTEM}/{name}"), name, 0o444);
    }
    put(&format!("{SYSTEM}/etc/fstab"), FSTAB, 0o444);
    let users = "/nix/store/bbbb-users-groups.json";
    put(&format!("{SYSTEM}/activate"), &format!("#!/bin/sh\nperl update-users-groups.pl {users}\n"), 0o555);
    put(&users[1..], spec, 0o444);
    let profiles = root.join("nix/var/nix/profiles");
    std::fs::create_dir_all(&profiles).unwrap();
    symlink(format!("/{SYSTEM}"), profiles.join("system-1-link")).unwrap();
    symlink("system-1-link", profiles.join("system")).unwrap();
}

/// A good age key, always the same.
pub(crate) fn age_key() -> String {
    let prefix = bech32::Hrp::parse("AGE-SECRET-KEY-").unwrap();
    bech32::encode_upper::<bech32::Bech32>(prefix, &[7; 32]).unwrap()
}
