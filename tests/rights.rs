//! Set-ID bits and capabilities where the plan gives another owner.

use crate::kit::disk::World;
use crate::kit::run::run;
use crate::kit::{need_root, sh};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

fn with(path: &Path, owner: u32, mode: u32) {
    chown(path, Some(owner), Some(owner)).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn state(path: &Path) -> (u32, u32, u32) {
    let meta = std::fs::symlink_metadata(path).unwrap();
    (meta.uid(), meta.gid(), meta.mode() & 0o7777)
}

/// Every way to look at the result once more finds nothing.
fn holds(plan: &Path) {
    let again = run(plan, &[]).exits(0);
    assert_eq!(again.total("copied"), 0, "{again}");
    for args in [&["--verify-only"][..], &["--verify-only", "--against", "source"], &["--repair"]] {
        run(plan, args).exits(0);
    }
}

#[test]
fn a_recursive_fixup_makes_nothing_set_user_id_root() {
    need_root!();
    let world = World::ext4(64);
    for (name, owner, mode) in [("su", 1000, 0o4755), ("sg", 1000, 0o2755), ("both", 1000, 0o6711), ("own", 0, 0o4755)]
    {
        with(&world.file(&format!("data/{name}"), "x"), owner, mode);
    }
    let capable = world.file("data/capable", "x");
    sh!("chown", "1000", capable);
    sh!("setcap", "cap_net_raw+ep", capable);
    std::fs::create_dir(world.data().join("dir")).unwrap();
    with(&world.data().join("dir"), 1000, 0o2775);
    let plan = world.plan("[[fixup]]\npath = \"/persist/data\"\nowner = 0\ngroup = 0\nrecursive = true\n");
    run(&plan, &[]).exits(0).says("and 3 more: set-user-ID and set-group-ID bits and capabilities were left out");
    for (name, mode) in [("su", 0o755), ("sg", 0o755), ("both", 0o711), ("own", 0o4755), ("dir", 0o2775)] {
        assert_eq!(state(&world.target().join(name)), (0, 0, mode), "{name}");
    }
    assert_eq!(xattr::get(world.target().join("capable"), "security.capability").unwrap(), None);
    holds(&plan);
}

#[test]
fn a_mode_of_the_plan_asks_for_the_bits() {
    need_root!();
    let world = World::ext4(64);
    for name in ["plain", "asked", "below/asked"] {
        with(&world.file(name, "x"), 1000, 0o6755);
    }
    sh!("chown", "1000:1000", world.source.join("below"));
    let plan = world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"s\"\nto = \"/persist/s\"\n\
         directories = [\"below\"]\n\
         files = [{{ path = \"plain\", owner = 0 }}, {{ path = \"asked\", group = 0, mode = \"4755\" }}]\n\
         [[fixup]]\npath = \"/persist/s/below\"\nowner = 0\nrecursive = true\nfile-mode = \"2711\"\n",
        world.source, world.root
    ));
    run(&plan, &[]).exits(0).says("/persist/s/plain: set-user-ID and set-group-ID bits");
    let at = |name: &str| state(&world.persist.join("s").join(name));
    assert_eq!(at("plain"), (0, 1000, 0o755));
    assert_eq!(at("asked"), (1000, 0, 0o4755));
    assert_eq!(at("below/asked"), (0, 1000, 0o2711));
    holds(&plan);
}

#[test]
fn a_fixup_lends_nothing_out_of_what_stood_there_before() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    std::fs::create_dir(world.target()).unwrap();
    let before = world.target().join("before");
    std::fs::write(&before, "x").unwrap();
    with(&before, 1000, 0o4755);
    let plan = world.plan("[[fixup]]\npath = \"/persist/data\"\nowner = 0\nrecursive = true\n");
    run(&plan, &["--allow-nonempty"]).exits(0).says("before: set-user-ID");
    assert_eq!(state(&before), (0, 1000, 0o755));
}
