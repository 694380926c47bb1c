//! The shipped plan, whole: on the demo's backup tree, and on a machine that boots afterwards.

pub(crate) mod machine;
mod whole_way;

use crate::kit::disk::World;
use crate::kit::run::run;
use crate::kit::{need_root, sh, snapshot};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[test]
fn the_shipped_plan_moves_the_whole_inventory() {
    need_root!();
    let world = World::ext4(256);
    let nix = world.root.join("nix");
    std::fs::create_dir(&nix).unwrap();
    let second = World::ext4(64);
    sh!("mount", "--bind", second.persist, nix);
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    sh!(home.join("scripts/make-demo-tree").to_str().unwrap(), world.source);
    let plan = world.path().join("mapping.toml");
    std::fs::copy(home.join("examples/emberroot/mapping.toml"), &plan).unwrap();
    let place = ["--source", world.source.to_str().unwrap(), "--root", world.root.to_str().unwrap()];
    let ran = run(&plan, &place);
    sh!("umount", "-l", nix);
    let ran = ran.exits(0);
    assert_eq!(ran.report["absent"].as_array().unwrap().len(), 0, "{ran}");
    let entries = |from: &str, to: &str, paths: &[&str]| {
        for path in paths {
            snapshot::assert_same(&world.source.join(from).join(path), &world.persist.join(to).join(path));
        }
    };
    entries(
        "",
        "system",
        &["var/log", "var/lib/docker/overlay2/base", "var/lib/nixos", "var/lib/libvirt", "etc/machine-id"],
    );
    entries("home/sinh", "home/sinh", &[".ssh", ".gnupg", ".steam", "git-repos", ".config/monitors.xml"]);
    snapshot::assert_same(&world.source.join("nix/store"), &second.persist.join("store"));
    let stat = |path: &str| {
        let meta = std::fs::metadata(world.persist.join(path)).unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    };
    assert_eq!(stat("home/sinh"), (0o700, 1000, 100));
    assert_eq!(stat("home/sinh/.local/share"), (0o755, 1000, 100));
    assert_eq!(stat("home"), (0o755, 0, 0));
    assert_eq!(ran.report["fixups"][0]["result"], "changed");
}
