//! rsync, asked what it would still have to do.

use crate::kit::attributes::everything;
use crate::kit::disk::World;
use crate::kit::run::run;
use crate::kit::{need_root, need_tools, sh};
use std::process::Command;

/// What rsync would change to make the target the source.
fn rsync(world: &World) -> String {
    let mut command = Command::new("rsync");
    command.args(["-aHAXS", "--dry-run", "--itemize-changes", "--delete"]);
    // Sockets are not copied, and XFS shows each ACL a second time under a name of its own.
    command.args(["--exclude=/socket", "--filter=-x trusted.SGI_ACL_*"]);
    let out = command.arg(world.data().join("")).arg(world.target().join("")).output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn leaves_nothing_to_do(world: &World) {
    everything(world);
    run(&world.plan(""), &[]).exits(0);
    assert_eq!(rsync(world), "");
}

#[test]
fn rsync_finds_nothing_to_do_on_ext4() {
    need_root!();
    need_tools!("rsync");
    leaves_nothing_to_do(&World::ext4(64));
}

#[test]
fn rsync_finds_nothing_to_do_on_xfs() {
    need_root!();
    need_tools!("rsync");
    leaves_nothing_to_do(&World::new("xfs", 320, &[]));
}

#[test]
fn rsync_finds_nothing_to_do_on_btrfs() {
    need_root!();
    need_tools!("rsync");
    leaves_nothing_to_do(&World::new("btrfs", 160, &[]));
}

#[test]
fn rsync_would_notice() {
    need_root!();
    need_tools!("rsync");
    let world = World::ext4(64);
    leaves_nothing_to_do(&world);
    let at = |name: &str| world.target().join(name);
    xattr::set(at("attributes"), "trusted.t", b"other").unwrap();
    sh!("setfacl", "-m", "u:1234:rwx", at("sub/deep/file"));
    sh!("touch", "-d", "@-1000000000.000000006", at("empty"));
    sh!("rm", at("sub/linked"));
    sh!("cp", "-a", at("plain"), at("sub/linked"));
    let found = rsync(&world);
    for name in ["x attributes", "ax sub/deep/file", "t...... empty", "sub/linked"] {
        assert!(found.contains(name), "`{name}` is missing in:\n{found}");
    }
}
